-- Keeps a new key's hash. $1 id  $2 name  $3 role  $4 agent_name  $5 hash
insert into api_keys (id, name, role, agent_name, hash) values ($1, $2, $3, $4, $5)
