-- Queues again whatever is held for the end of a provider's blackout, and names it to be announced. $1 provider
with trees as materialized (
    select distinct root_id from tasks where live
), held as materialized (
    select t.id
    from trees
    cross join lateral (
        select id from tasks
        where root_id = trees.root_id and state = 'held' and held_for = 'blackout' and held_provider = $1::text
        offset 0
    ) t
), free as materialized (
    select t.id
    from held
    join tasks t on t.id = held.id
    where t.state = 'held'
    order by t.id
    for no key update of t
)
update tasks t
set state = 'queued', queued_at = now(), announced_at = now(), not_before = null, progress = null, held_for = null,
    held_nanos = null, held_provider = null
from free
where t.id = free.id and t.state = 'held'
returning t.id, t.root_id, t.kind, t.pace, t.traceparent, t.priority
