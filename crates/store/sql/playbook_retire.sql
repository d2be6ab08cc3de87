-- Takes back the names of playbooks that are replaced or gone; those that came over the API stay.
-- The caller holds the lock for it. $1 hashes that are current now
update playbooks
set current = false
where current and origin <> 'api' and hash <> all($1::text[])
