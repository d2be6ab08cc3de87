-- Moves pending children to queued, with their work. $1 ids  $2 agents  $3 titles  $4 works
update tasks t
set state = 'queued', agent = coalesce(g.agent, t.agent), title = g.title, work = g.work::json,
    queued_at = now(), announced_at = now()
from unnest($1::uuid[], $2::text[], $3::text[], $4::text[]) as g(id, agent, title, work)
where t.id = g.id and t.parent_id is not null and t.state = 'pending'
