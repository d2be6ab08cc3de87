-- Notes that a provider took none of a batch and every item of it has gone another way, unless one has not; keeps the
-- sums. $1 id  $2 hold  $3 note
with counted as materialized (
    select state, count(*) as n, sum(nanos) as nanos, sum(list_nanos) as list_nanos
    from batch_items
    where batch_id = $1::uuid
    group by state
)
update batches
set state = 'failed', ended_at = coalesce(ended_at, now()), note = $3::text, tally = (
        select json_build_object(
            'counts', coalesce(json_object_agg(state, n), '{}'), 'nanos', coalesce(sum(nanos), 0),
            'list_nanos', coalesce(sum(list_nanos), 0)
        )
        from counted
    )
where id = $1 and hold = $2::integer and state in ('submitting', 'running', 'ended')
    and not exists (select from counted where state = 'submitted')
returning id
