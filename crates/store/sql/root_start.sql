-- Moves pending roots to in_progress. $1 ids
update tasks
set state = 'in_progress', started_at = coalesce(started_at, now())
where id = any($1::uuid[]) and parent_id is null and state = 'pending'
