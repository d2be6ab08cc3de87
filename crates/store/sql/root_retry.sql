-- Moves a root that ended badly back to its beginning. $1 id
update tasks
set state = case kind when 'open' then 'queued' else 'pending' end, live = true, cause = null, reason = null,
    progress = null, agent = case kind when 'open' then null else agent end, ended_at = null, settled_at = null,
    announced_at = now(), queued_at = case kind when 'open' then now() end
where id = $1 and root_id = id and state in ('failed', 'cancelled')
returning id, kind, state, priority, traceparent
