-- Sets money aside for asks that wait for another batch, and takes those out for which there is none: they are to be
-- held. Their leases begin, so that a death before that hurts nobody. $1 tasks  $2 lease in ms
with waiting as materialized (
    select task_id, attempt, root_id, agent, provider, estimate_nanos
    from batch_items
    where task_id = any ($1::uuid[]) and state = 'queued'
), asked as materialized (
    select array_agg(task_id order by task_id) as ids, array_agg(attempt order by task_id) as attempts,
        array_agg(root_id order by task_id) as roots, array_agg(agent order by task_id) as agents,
        array_agg(provider order by task_id) as providers, array_agg(estimate_nanos order by task_id) as amounts
    from waiting
), refused as materialized (
    select r.*
    from asked a
    cross join lateral budget_reserve(a.ids, a.attempts, a.roots, a.agents, a.providers, a.amounts) r
), ended as (
    update batch_items i
    set state = 'cancelled', body = null, ended_at = now(), reason = 'There was no money to ask it again.'
    from refused r
    where i.task_id = r.refused and i.attempt = r.refused_attempt
), leased as (
    update tasks t
    set lease_until = now() + $2::bigint * interval '1 ms'
    where t.id = any (array(select refused from refused)) and t.state = 'in_progress' and t.lease_until is null
)
select r.refused, r.refused_attempt, r.by_scope, r.by_name, r.by_period, r.the_limit, r.the_rest, r.the_amount, w.provider
from refused r
join waiting w on w.task_id = r.refused and w.attempt = r.refused_attempt
