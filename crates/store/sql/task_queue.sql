-- Moves pending children to queued, with their work.
-- $1 ids  $2 agents  $3 titles  $4 works  $5 paces  $6 reasons of the paces  $7 fingerprints
update tasks t
set state = 'queued', agent = coalesce(g.agent, t.agent), title = g.title, work = g.work::json, pace = g.pace,
    pace_reason = g.pace_reason, fingerprint = g.fingerprint, queued_at = now(), announced_at = now()
from unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::bigint[])
    as g(id, agent, title, work, pace, pace_reason, fingerprint)
where t.id = g.id and t.parent_id is not null and t.state = 'pending'
