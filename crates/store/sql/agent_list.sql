-- Lists the agents, each with how many tasks it works on.
with trees as materialized (
    select distinct root_id from tasks where live
), busy as (
    select t.agent, count(*) as tasks
    from trees join tasks t on t.root_id = trees.root_id
    where t.state = 'in_progress' and t.agent is not null
    group by t.agent
)
select a.name, a.title, a.department, a.role, a.models, a.resident, a.last_seen_at, coalesce(busy.tasks, 0)
from agents a
left join busy on busy.agent = a.name
order by a.department nulls last, a.role, a.name
