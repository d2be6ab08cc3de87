-- Lists roots, newest first, each with the cost of its tree.
-- $1 older than this id  $2 state  $3 kind  $4 agent  $5 text searched  $6 at most so many
with page as materialized (
    select t.id from tasks t
    where t.parent_id is null and t.id < coalesce($1::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff')
        and ($2::text is null or t.state = $2) and ($3::text is null or t.kind = $3)
        and ($4::text is null or t.agent = $4)
        and ($5::text is null or strpos(lower(t.title), lower($5)) > 0 or strpos(lower(t.description), lower($5)) > 0)
    order by t.id desc
    limit $6::bigint
)
select t.id, t.root_id, t.parent_id, t.step, t.item, t.kind, t.state, t.priority, t.title, t.description, t.agent,
    t.pace, t.deadline, t.playbook, t.deliver, t.agents, t.cause, t.reason, t.progress, t.attempt, t.worker, t.model,
    t.emulated, t.traceparent, t.created_by, t.created_at, t.queued_at, t.not_before, t.started_at, t.ended_at,
    spent.input, spent.cache_read, spent.cache_write, spent.cache_write_hour, spent.output, spent.nanos, spent.calls,
    spent.list_nanos, t.pace_reason, t.held_for, t.held_nanos, t.held_provider,
    (
        select b.limit_nanos from budgets b
        where b.scope = 'order' and b.name = t.id::text and b.period = 'total' and t.parent_id is null
    )
from page
join tasks t on t.id = page.id
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
order by t.id desc
