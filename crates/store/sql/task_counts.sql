-- Counts the tasks of live trees by kind, state and what they are held for, and tells how many ms ago the oldest of each
-- was created and, of those that are queued and may be begun or are held, how many ms the oldest has been waiting.
with trees as materialized (
    select distinct root_id from tasks where live
)
select t.kind, t.state, t.held_for, count(*), (extract(epoch from now() - min(t.created_at)) * 1000)::bigint,
    (extract(epoch from now() - min(coalesce(t.queued_at, t.created_at)) filter (
        where t.state = 'held' or t.state = 'queued' and (t.not_before is null or t.not_before <= now())
    )) * 1000)::bigint
from trees
cross join lateral (
    select kind, state, held_for, created_at, queued_at, not_before from tasks
    where root_id = trees.root_id and state in ('pending', 'queued', 'in_progress', 'held')
    offset 0
) t
group by t.kind, t.state, t.held_for
order by t.kind, t.state, t.held_for
