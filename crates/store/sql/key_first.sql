-- Keeps the first master key's hash, unless a master key is there. The caller holds the lock for it.
-- $1 id  $2 name  $3 hash
insert into api_keys (id, name, role, hash)
select $1::uuid, $2::text, 'master', $3::bytea
where not exists (select from api_keys where role = 'master' and revoked_at is null)
returning id
