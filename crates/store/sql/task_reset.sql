-- Moves children that ended badly back to pending, for a root that is tried again. The attempt that is over cannot
-- speak for the next one. $1 ids
update tasks t
set state = 'pending', attempt = attempt + 1, cause = null, reason = null, progress = null, result = null, worker = null,
    not_before = null, held_for = null, held_nanos = null, held_provider = null, ended_at = null, settled_at = null
from unnest($1::uuid[]) as given(id)
where t.id = given.id and t.parent_id is not null and t.state in ('failed', 'cancelled')
