-- Moves children that ended badly back to pending, for a root that is tried again. $1 ids
update tasks
set state = 'pending', cause = null, reason = null, progress = null, result = null, worker = null,
    not_before = null, ended_at = null, settled_at = null
where id = any($1::uuid[]) and parent_id is not null and state in ('failed', 'cancelled')
