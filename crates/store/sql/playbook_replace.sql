-- Takes back the name of a playbook that came over the API, for its next version.
-- The caller holds the lock for it. $1 name  $2 hash of the next version
update playbooks set current = false where name = $1::text and current and origin = 'api' and hash <> $2::text
