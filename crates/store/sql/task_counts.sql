-- Counts the tasks of live trees by kind and state, and tells how many ms ago the oldest of each was created.
with trees as materialized (
    select distinct root_id from tasks where live
)
select t.kind, t.state, count(*), (extract(epoch from now() - min(t.created_at)) * 1000)::bigint
from trees
cross join lateral (
    select kind, state, created_at from tasks
    where root_id = trees.root_id and state in ('pending', 'queued', 'in_progress', 'held')
    offset 0
) t
group by t.kind, t.state
order by t.kind, t.state
