-- Moves children that ended badly back to pending, for a root that is tried again. $1 ids
update tasks t
set state = 'pending', cause = null, reason = null, progress = null, result = null, worker = null,
    not_before = null, ended_at = null, settled_at = null
from unnest($1::uuid[]) as given(id)
where t.id = given.id and t.parent_id is not null and t.state in ('failed', 'cancelled')
