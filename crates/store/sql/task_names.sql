-- Reads what an event says about tasks. $1 ids
select t.id, t.root_id, t.parent_id, t.kind, t.state, t.step, t.item, t.agent, t.title, coalesce(t.reason, t.progress),
    t.emulated, spent.nanos, spent.list_nanos, t.pace, t.held_for, t.held_nanos
from unnest($1::uuid[]) as given(id)
join tasks t on t.id = given.id
cross join lateral (
    select coalesce(sum(c.nanos), 0)::bigint as nanos, coalesce(sum(c.list_nanos), 0)::bigint as list_nanos
    from charges c
    where c.task_id = t.id
) spent
order by t.id
