-- Lists all keys, the oldest first.
select id, name, role, agent_name, created_at, revoked_at from api_keys order by created_at, id
