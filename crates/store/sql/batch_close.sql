-- Makes a batch of a group's oldest items, if the group is due: the oldest has waited long enough, somebody wants it
-- sent, or it is full. Items whose task has moved on are ended instead. The items cannot change under the numbering:
-- the group's lock keeps other closes out, and rows that are locked just now are left for the next batch.
-- $1 batch id  $2 group  $3 window in ms  $4 most items  $5 most bytes
with due as materialized (
    select 1 as yes
    where current_setting('chavion.closing') = 'true' and (
        (
            select min(collected_at) from batch_items where grp = $2::text and state = 'queued'
        ) <= now() - $3::bigint * interval '1 ms'
        or exists (select from batch_items where grp = $2 and state = 'queued' and flush)
        or (
            select count(*) >= $4::bigint or sum(bytes) >= $5::bigint
            from (select bytes from batch_items where grp = $2 and state = 'queued' limit $4) q
        )
    )
), waiting as materialized (
    select i.task_id, i.attempt, i.provider, i.bytes, i.collected_at
    from due cross join batch_items i
    where i.grp = $2 and i.state = 'queued'
    order by i.collected_at, i.task_id
    limit $4
    for no key update of i skip locked
), judged as materialized (
    select w.*, t.state = 'in_progress' and t.attempt = w.attempt as live
    from waiting w
    join tasks t on t.id = w.task_id
), ranked as materialized (
    select task_id, attempt, provider, bytes, row_number() over oldest as place, sum(bytes) over oldest as upto
    from judged
    where live
    window oldest as (order by collected_at, task_id rows unbounded preceding)
), taken as materialized (
    select task_id, attempt, provider, bytes, place::integer - 1 as seq
    from ranked
    where place = 1 or upto <= $5
), batch as (
    insert into batches (id, provider, model, items, bytes)
    select $1::uuid, min(provider), nullif($2, min(provider)), count(*), sum(bytes)
    from taken
    having count(*) > 0
    returning *
), assigned as (
    update batch_items i
    set state = 'submitted', batch_id = $1, seq = t.seq
    from taken t
    where i.task_id = t.task_id and i.attempt = t.attempt
), dropped as (
    update batch_items i
    set state = 'cancelled', body = null, reason = 'Its task had moved on before it was sent.', ended_at = now()
    from judged j
    where not j.live and i.task_id = j.task_id and i.attempt = j.attempt
), unspent as (
    delete from reservations r
    using judged j
    where not j.live and r.task_id = j.task_id and r.attempt = j.attempt
)
select id, provider, model, state, submission, items, bytes, hold, input_file, intent_at, remote_id,
    remote_state, output_file, error_file, done_items, unknown_since, note, cancel_wanted_at, cancel_then, created_at, submitted_at,
    expires_at, ended_at, settled_at, cleaned_at, now()
from batch
