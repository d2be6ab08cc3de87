-- Gives up items that would come too late: queued ones end, submitted ones are abandoned (what they still bring is
-- booked and nothing else), and their tasks are queued to be asked at once. An item that is locked just now is being
-- ended or sent, and is looked at again; so is one whose batch has just ended, for its answer is being taken in.
-- $1 reason  $2 at most
with due as materialized (
    select i.task_id, i.attempt, i.state, i.batch_id
    from batch_items i
    where i.state in ('queued', 'submitted') and i.abandoned_at is null and i.give_up_at is not null
        and i.give_up_at <= now() and not exists (
            select from batches b
            where b.id = i.batch_id and b.state = 'ended' and b.ended_at > now() - interval '1 minute'
        )
    order by i.give_up_at
    limit $2::bigint
    for no key update of i skip locked
), judged as materialized (
    select d.*, t.attempt = d.attempt and t.state = 'in_progress' as moves
    from due d
    join tasks t on t.id = d.task_id
    order by t.id
    for no key update of t
), moved as (
    update tasks t
    set state = 'queued', pace = 'now', pace_reason = $1::text, worker = null, lease_until = null, progress = null,
        queued_at = now(), announced_at = now()
    from judged j
    where t.id = j.task_id and j.moves
    returning t.id, t.root_id, t.kind, t.pace, t.traceparent, t.priority, j.batch_id
), left_behind as (
    update batch_items i
    set state = case i.state when 'queued' then 'cancelled' else i.state end,
        body = case i.state when 'queued' then null else i.body end,
        ended_at = case i.state when 'queued' then now() end,
        abandoned_at = now(),
        reason = $1
    from judged j
    where i.task_id = j.task_id and i.attempt = j.attempt
), unspent as (
    delete from reservations r
    using judged j
    where j.state = 'queued' and r.task_id = j.task_id and r.attempt = j.attempt
)
select * from moved
union all
select null, null, null, null, null, null, batch_id from judged where not moves
