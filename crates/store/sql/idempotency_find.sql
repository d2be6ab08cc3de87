-- Finds what was answered to a key. $1 key_id  $2 key
select request_hash, status, body, task_id from idempotency where key_id = $1 and key = $2
