-- Reads what an event says about tasks. $1 ids
select t.id, t.root_id, t.parent_id, t.kind, t.state, t.step, t.item, t.agent, t.title, coalesce(t.reason, t.progress),
    t.emulated, (select coalesce(sum(c.nanos), 0)::bigint from charges c where c.task_id = t.id)
from unnest($1::uuid[]) as given(id)
join tasks t on t.id = given.id
order by t.id
