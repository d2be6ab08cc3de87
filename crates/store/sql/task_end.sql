-- Ends children without a performer: the named ones (live → cancelled, pending → failed) and whatever is alive
-- under roots that end. One statement for all of them, so that rows are locked in id order.
-- $1 ids  $2 states  $3 causes  $4 reasons  $5 roots that end
with given as materialized (
    select * from unnest($1::uuid[], $2::text[], $3::text[], $4::text[]) as g(id, state, cause, reason)
), named as (
    select g.id, g.state, g.cause, g.reason from given g
    union all
    select t.id, 'cancelled', 'cancelled', 'The order ended before this task was needed.'
    from unnest($5::uuid[]) as ending(id)
    cross join lateral (
        select id from tasks
        where root_id = ending.id and parent_id is not null
            and state in ('pending', 'queued', 'in_progress', 'held')
        offset 0
    ) t
    where t.id <> all($1)
), alive as materialized (
    select n.id, n.state, n.cause, n.reason
    from named n
    join tasks t on t.id = n.id
    where t.parent_id is not null and t.state in ('pending', 'queued', 'in_progress', 'held')
    order by t.id
    for no key update of t
)
update tasks t
set state = a.state, cause = a.cause, reason = a.reason, lease_until = null, held_for = null,
    held_nanos = null, held_provider = null, ended_at = now(),
    settled_at = now()
from alive a
where t.id = a.id and t.state in ('pending', 'queued', 'in_progress', 'held')
    and (a.state = 'cancelled' or t.state = 'pending')
