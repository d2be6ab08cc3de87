-- Reads the children of locked roots, as far as a decision needs them.
-- $1 root ids
select t.*
from unnest($1::uuid[]) as given(id)
cross join lateral (
    select root_id, id, step, item, state, agent, cause, reason, emulated, settled_at is not null, fingerprint,
        attempt - holds
    from tasks
    where root_id = given.id and parent_id is not null
    offset 0
) t
order by t.id
