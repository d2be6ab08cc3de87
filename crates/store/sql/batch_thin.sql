-- Takes those items out of a batch that has not been sent whose tasks wait for them no more, and tells how many items
-- and bytes are left. $1 id  $2 hold
with held as materialized (
    select id from batches
    where id = $1::uuid and hold = $2::integer and state = 'submitting' and input_file is null and intent_at is null
    for no key update
), unwanted as materialized (
    select i.task_id, i.attempt, i.bytes
    from held
    join batch_items i on i.batch_id = held.id
    join tasks t on t.id = i.task_id
    where i.state = 'submitted' and not (i.abandoned_at is null and t.state = 'in_progress' and t.attempt = i.attempt)
    order by i.task_id, i.attempt
    for no key update of i
), ended as (
    update batch_items i
    set state = 'cancelled', batch_id = null, seq = null, body = null, ended_at = now(),
        reason = coalesce(i.reason, 'Its task had moved on before it was sent.')
    from unwanted u
    where i.task_id = u.task_id and i.attempt = u.attempt
), unspent as (
    delete from reservations r
    using unwanted u
    where r.task_id = u.task_id and r.attempt = u.attempt
)
update batches b
set items = b.items - u.items, bytes = b.bytes - u.bytes
from held
cross join (select count(*) as items, coalesce(sum(bytes), 0) as bytes from unwanted) u
where b.id = held.id
returning b.items, b.bytes
