-- Moves pending roots to in_progress. $1 ids
update tasks t
set state = 'in_progress', started_at = coalesce(t.started_at, now())
from unnest($1::uuid[]) as given(id)
where t.id = given.id and t.root_id = t.id and t.state = 'pending'
