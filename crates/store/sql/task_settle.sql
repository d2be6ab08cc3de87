-- Marks ended children whose end a decision has taken in. $1 ids
update tasks t
set settled_at = now()
from unnest($1::uuid[]) as given(id)
where t.id = given.id and t.settled_at is null and t.state in ('completed', 'failed', 'cancelled')
