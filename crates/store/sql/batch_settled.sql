-- Notes that every item of a batch has ended, unless one has not, and keeps the sums. $1 id  $2 hold
with counted as materialized (
    select state, count(*) as n, sum(nanos) as nanos, sum(list_nanos) as list_nanos
    from batch_items
    where batch_id = $1::uuid
    group by state
)
update batches
set state = 'settled', settled_at = now(), tally = (
        select json_build_object(
            'counts', coalesce(json_object_agg(state, n), '{}'), 'nanos', coalesce(sum(nanos), 0),
            'list_nanos', coalesce(sum(list_nanos), 0)
        )
        from counted
    )
where id = $1 and hold = $2::integer and state = 'ended' and not exists (select from counted where state = 'submitted')
returning id
