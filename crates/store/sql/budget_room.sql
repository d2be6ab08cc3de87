-- Queues again what is held for money and fits by now, in the order of the ids, and names it to be announced. What does
-- not fit even alone is not reckoned with; the others are taken together, so that they do not all come for the same rest.
with trees as materialized (
    select distinct root_id from tasks where live
), held as materialized (
    select t.*
    from trees
    cross join lateral (
        select id, root_id, agent, held_provider, coalesce(held_nanos, 0) as nanos
        from tasks
        where root_id = trees.root_id and state = 'held' and held_for = 'budget'
        offset 0
    ) t
), pairs as materialized (
    select h.id, h.nanos, b.scope, b.name, b.period,
        b.limit_nanos - b.reserved_nanos - case
            when b.period = 'day' and b.day < (now() at time zone 'utc')::date then 0 else b.spent_nanos
        end as rest
    from held h
    cross join lateral (
        select * from budgets where scope = 'all'
        union all
        select * from budgets where scope = 'order' and name = h.root_id::text
        union all
        select * from budgets where scope = 'agent' and name = h.agent
        union all
        select * from budgets where scope = 'provider' and name = h.held_provider
    ) b
), sums as materialized (
    select id, nanos > rest as over,
        sum(nanos) filter (where fits) over (partition by scope, name, period order by id) > rest as late
    from (select p.*, bool_and(nanos <= rest) over (partition by id) as fits from pairs p) p
), free as materialized (
    select t.id
    from held h
    join tasks t on t.id = h.id
    where t.state = 'held' and not h.id in (select id from sums where over or late)
    order by t.id
    for no key update of t skip locked
)
update tasks t
set state = 'queued', queued_at = now(), announced_at = now(), not_before = null, progress = null, held_for = null,
    held_nanos = null, held_provider = null
from free
where t.id = free.id and t.state = 'held'
returning t.id, t.root_id, t.kind, t.pace, t.traceparent, t.priority
