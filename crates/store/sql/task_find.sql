-- Reads one task with what it cost; a root's cost is its tree's. $1 id
select t.id, t.root_id, t.parent_id, t.step, t.item, t.kind, t.state, t.priority, t.title, t.description, t.agent,
    t.pace, t.deadline, t.playbook, t.deliver, t.agents, t.cause, t.reason, t.progress, t.attempt, t.worker, t.model,
    t.emulated, t.traceparent, t.created_by, t.created_at, t.queued_at, t.not_before, t.started_at, t.ended_at,
    spent.input, spent.cache_read, spent.cache_write, spent.cache_write_hour, spent.output, spent.nanos, spent.calls,
    spent.list_nanos, t.pace_reason, t.held_for, t.held_nanos, t.held_provider,
    (
        select b.limit_nanos from budgets b
        where b.scope = 'order' and b.name = t.id::text and b.period = 'total' and t.parent_id is null
    )
from tasks t
cross join lateral (
    select coalesce(sum(c.input), 0)::bigint as input, coalesce(sum(c.cache_read), 0)::bigint as cache_read,
        coalesce(sum(c.cache_write), 0)::bigint as cache_write,
        coalesce(sum(c.cache_write_hour), 0)::bigint as cache_write_hour,
        coalesce(sum(c.output), 0)::bigint as output, coalesce(sum(c.nanos), 0)::bigint as nanos, count(*) as calls,
        coalesce(sum(c.list_nanos), 0)::bigint as list_nanos
    from charges c
    where c.task_id in (
        select member.id from tasks member
        where member.root_id = t.root_id and (t.parent_id is null or member.id = t.id)
    )
) spent
where t.id = $1
