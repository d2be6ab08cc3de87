-- Ends children without a performer: the named ones (live → cancelled, pending → failed) and whatever is alive
-- under roots that end. One statement for all of them, so that rows are locked in id order.
-- $1 ids  $2 states  $3 causes  $4 reasons  $5 roots that end
with given as materialized (
    select * from unnest($1::uuid[], $2::text[], $3::text[], $4::text[]) as g(id, state, cause, reason)
), named as (
    select g.id, g.state, g.cause, g.reason from given g
    union all
    select t.id, 'cancelled', 'cancelled', 'The order ended before this task was needed.'
    from tasks t
    where t.root_id = any($5::uuid[]) and t.parent_id is not null and t.kind <> 'deliver'
        and t.state in ('pending', 'queued', 'in_progress', 'held')
        and not exists (select from given g where g.id = t.id)
), alive as materialized (
    select t.id from tasks t
    where t.id in (select id from named) and t.parent_id is not null
        and t.state in ('pending', 'queued', 'in_progress', 'held')
    order by t.id
    for no key update
)
update tasks t
set state = n.state, live = false, cause = n.cause, reason = n.reason, lease_until = null, ended_at = now(),
    settled_at = now()
from named n
join alive on alive.id = n.id
where t.id = n.id and t.state in ('pending', 'queued', 'in_progress', 'held')
    and (n.state = 'cancelled' or t.state = 'pending')
