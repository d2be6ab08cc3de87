-- Locks root tasks in id order and reads them. Whoever changes a tree as a whole holds its root's lock first.
-- (A root is recognised by root_id: parent_id would let the planner walk the list of all roots.) $1 ids
select t.id, t.state, t.title, t.description, t.playbook, t.playbook_hash, t.pace, t.deadline, t.deliver, t.agents,
    t.traceparent, t.priority, t.created_by
from unnest($1::uuid[]) as given(id)
join tasks t on t.id = given.id and t.root_id = t.id
order by t.id
for no key update of t
