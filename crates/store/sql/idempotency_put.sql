-- Keeps an answer for a key; the first one stays. $1 key_id  $2 key  $3 request_hash  $4 task_id  $5 status  $6 body
insert into idempotency (key_id, key, request_hash, task_id, status, body)
values ($1, $2, $3, $4, $5, $6::text::json)
on conflict (key_id, key) do nothing
returning key
