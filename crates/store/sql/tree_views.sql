-- Reads the children of locked roots, as far as a decision needs them. Deliveries are no part of a decision.
-- $1 root ids
select root_id, id, step, item, state, agent, cause, reason, emulated, settled_at is not null
from tasks
where root_id = any($1::uuid[]) and parent_id is not null and kind <> 'deliver'
order by id
