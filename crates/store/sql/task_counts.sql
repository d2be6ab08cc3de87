-- Counts the tasks of live trees by kind and state, and tells how many ms ago the oldest of each was created.
with trees as materialized (
    select distinct root_id from tasks where live
)
select t.kind, t.state, count(*), (extract(epoch from now() - min(t.created_at)) * 1000)::bigint
from trees
join tasks t on t.root_id = trees.root_id
where t.state in ('pending', 'queued', 'in_progress', 'held')
group by t.kind, t.state
order by t.kind, t.state
