-- Has the groups that wait close at once, and tells how many asks of each that are. $1 provider
with waiting as materialized (
    select task_id, attempt from batch_items
    where state = 'queued' and ($1::text is null or provider = $1)
    order by task_id, attempt
    for no key update
), flushed as (
    update batch_items i
    set flush = true
    from waiting w
    where i.task_id = w.task_id and i.attempt = w.attempt and i.state = 'queued'
    returning i.grp
)
select grp, count(*) from flushed group by grp order by grp
