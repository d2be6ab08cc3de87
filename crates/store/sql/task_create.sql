-- Inserts the children of locked roots; a place that is taken stays as it is, a root that ended gets none.
-- $1 roots  $2 ids  $3 steps  $4 items  $5 kinds  $6 states  $7 titles  $8 agents  $9 paces  $10 works  $11 causes
-- $12 reasons  $13 priorities  $14 traceparents  $15 reasons of the paces  $16 fingerprints
insert into tasks (
    id, root_id, parent_id, step, item, kind, state, title, agent, pace, work, cause, reason, priority,
    traceparent, pace_reason, fingerprint, deadline, announced_at, queued_at, ended_at, settled_at
)
select
    g.id, r.id, r.id, g.step, g.item, g.kind, g.state, g.title, g.agent, g.pace, g.work::json, g.cause, g.reason,
    g.priority, g.traceparent, g.pace_reason, g.fingerprint, r.deadline, now(), case g.state when 'queued' then now() end,
    case when g.state in ('cancelled', 'failed') then now() end,
    case when g.state in ('cancelled', 'failed') then now() end
from unnest(
    $1::uuid[], $2::uuid[], $3::text[], $4::integer[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[],
    $10::text[], $11::text[], $12::text[], $13::smallint[], $14::text[], $15::text[], $16::bigint[]
) as g(root, id, step, item, kind, state, title, agent, pace, work, cause, reason, priority, traceparent, pace_reason,
    fingerprint)
join tasks r on r.id = g.root and r.root_id = r.id
where r.state in ('pending', 'in_progress')
on conflict do nothing
