-- Locks root tasks in id order and reads them. Whoever changes a tree as a whole holds its root's lock first.
-- $1 ids
select id, state, title, description, playbook, playbook_hash, pace, deadline, deliver, agents, traceparent,
    priority, created_by
from tasks
where id = any($1::uuid[]) and parent_id is null
order by id
for no key update
