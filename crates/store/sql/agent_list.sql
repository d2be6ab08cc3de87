-- Lists the agents, each with how many tasks it works on.
with trees as materialized (
    select distinct root_id from tasks where live
), busy as (
    select t.agent, count(*) as tasks
    from trees
    cross join lateral (
        select agent from tasks
        where root_id = trees.root_id and state = 'in_progress' and agent is not null
        offset 0
    ) t
    group by t.agent
)
select a.name, a.title, a.department, a.role, a.models, a.resident, a.last_seen_at, coalesce(busy.tasks, 0)
from agents a
left join busy on busy.agent = a.name
order by a.department nulls last, a.role, a.name
