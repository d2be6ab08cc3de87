-- Queues claimed asks again at another pace, with the reason. $1 ids  $2 attempts  $3 paces  $4 reasons
with mine as materialized (
    select g.*
    from unnest($1::uuid[], $2::integer[], $3::text[], $4::text[]) as g(id, attempt, pace, reason)
    join tasks t on t.id = g.id
    where t.state = 'in_progress' and t.attempt = g.attempt and t.lease_until is not null
    order by t.id
    for no key update of t
), unspent as (
    delete from reservations r
    using mine m
    where r.task_id = m.id and r.attempt = m.attempt
)
update tasks t
set state = 'queued', pace = m.pace, pace_reason = m.reason, worker = null, lease_until = null,
    queued_at = now(), announced_at = now()
from mine m
where t.id = m.id
returning t.id, t.root_id, t.kind, t.pace, t.traceparent, t.priority
