-- Marks ended children whose end a decision has taken in. $1 ids
update tasks
set settled_at = now()
where id = any($1::uuid[]) and settled_at is null and state in ('completed', 'failed', 'cancelled')
