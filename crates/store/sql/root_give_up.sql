-- Ends an order that this version cannot carry forward, by ids alone: the root fails, what is alive below it is
-- cancelled. $1 root id  $2 reason
with alive as materialized (
    select t.id
    from tasks t
    where t.root_id = $1::uuid and t.state in ('pending', 'queued', 'in_progress', 'held')
    order by t.parent_id is not null, t.id
    for no key update of t
)
update tasks t
set state = case when t.parent_id is null then 'failed' else 'cancelled' end, live = false, cause = 'internal',
    reason = $2::text, lease_until = null, held_for = null, held_nanos = null, held_provider = null, ended_at = now(), settled_at = now()
from alive
where t.id = alive.id
returning t.id
