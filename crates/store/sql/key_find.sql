-- Finds the key that is still good by its hash. $1 hash
select id, name, role, agent_name, created_at, revoked_at from api_keys where hash = $1 and revoked_at is null
