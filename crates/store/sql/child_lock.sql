-- Locks what is open under locked roots, in id order: an advance ends some of it now and may end the rest when it
-- commits, and must not take these locks in two passes. $1 root ids
with open as materialized (
    select t.id
    from unnest($1::uuid[]) as given(id)
    cross join lateral (
        select id from tasks
        where root_id = given.id and parent_id is not null and state in ('queued', 'in_progress', 'held')
        offset 0
    ) t
)
select t.id
from open
join tasks t on t.id = open.id
where t.state in ('queued', 'in_progress', 'held')
order by t.id
for no key update of t
