-- Reads what a task and, if it is a root, its tree brought. $1 id
select m.id, m.parent_id, m.step, m.item, m.kind, m.state, m.agent, m.title, m.cause, m.reason, m.model, m.emulated,
    m.result
from tasks t
join tasks m on m.root_id = t.root_id and (t.parent_id is null or m.id = t.id)
where t.id = $1
order by m.parent_id is not null, m.id
