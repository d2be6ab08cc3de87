-- Reads playbooks, current or not. $1 hashes
select hash, name, description, source, origin, current, created_at from playbooks where hash = any($1::text[])
