-- Locks the root of a task. $1 id of any task of the tree
select root.id
from tasks root
where root.id = (select root_id from tasks where id = $1::uuid)
for no key update
