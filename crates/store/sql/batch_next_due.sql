-- Tells in how many ms something is to be done for a batch or a group: a batch falls due or its lease runs out, a
-- group has waited long enough or is to be sent now, an item is to be given up. $1 window in ms
with recursive groups as (
    (
        select grp, collected_at from batch_items where state = 'queued' order by grp, collected_at limit 1
    )
    union all
    select n.grp, n.collected_at
    from groups g
    cross join lateral (
        select grp, collected_at from batch_items
        where state = 'queued' and grp > g.grp
        order by grp, collected_at
        limit 1
    ) n
), due as (
    select greatest(due_at, lease_until) as at from batches where cleaned_at is null and due_at > '-infinity'
    union all
    select collected_at + $1::bigint * interval '1 ms' from groups
    union all
    select now() where exists (select from batch_items where state = 'queued' and flush)
    union all
    select min(give_up_at) from batch_items
    where state in ('queued', 'submitted') and abandoned_at is null and give_up_at is not null
)
select (extract(epoch from min(at) - now()) * 1000)::bigint from due
