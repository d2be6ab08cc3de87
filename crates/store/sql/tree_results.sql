-- Reads what a task and, if it is a root, its tree brought, each with its own cost. $1 id
select m.id, m.parent_id, m.step, m.item, m.kind, m.state, m.agent, m.title, m.cause, m.reason, m.model, m.emulated,
    m.result, m.pace, spent.nanos, spent.list_nanos
from tasks t
join tasks m on m.root_id = t.root_id and (t.parent_id is null or m.id = t.id)
cross join lateral (
    select coalesce(sum(c.nanos), 0)::bigint as nanos, coalesce(sum(c.list_nanos), 0)::bigint as list_nanos
    from charges c
    where c.task_id = m.id
) spent
where t.id = $1
order by m.parent_id is not null, m.id
