-- Reads where a task stands and how many of its tree stand where. $1 id
select t.id, t.root_id, t.kind, t.state, t.agent, t.progress, t.cause, t.reason, t.not_before, t.ended_at,
    counted.done, counted.total, t.pace, t.pace_reason, t.held_for, t.held_nanos
from tasks t
cross join lateral (
    select count(*) filter (where m.state in ('completed', 'failed', 'cancelled')) as done, count(*) as total
    from tasks m
    where m.root_id = t.root_id and m.parent_id is not null and (t.parent_id is null or m.id = t.id)
) counted
where t.id = $1
