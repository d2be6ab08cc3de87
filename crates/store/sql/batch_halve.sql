-- Makes two batches of one that its provider refused for what is in it, and ends it; nothing when fewer than two items
-- are left, or when so many pieces of the first one have been refused that halving finds nobody at fault.
-- $1 id  $2 hold  $3 id of the first half  $4 id of the second  $5 note  $6 most refusals
with held as materialized (
    select id, provider, model, coalesce(origin, id) as origin, created_at
    from batches
    where id = $1::uuid and hold = $2::integer and state in ('submitting', 'running')
    for no key update
), whole as materialized (
    select h.* from held h
    where (
        -- (the offset keeps the index of what has failed out of this)
        select count(*) from (select state from batches where origin = h.origin offset 0) b where b.state = 'failed'
    ) < $6::bigint
), waiting as materialized (
    select i.task_id, i.attempt, i.seq, i.bytes
    from whole
    join batch_items i on i.batch_id = whole.id
    where i.state = 'submitted'
    order by i.task_id, i.attempt
    for no key update of i
), placed as materialized (
    select w.*, row_number() over (order by seq) - 1 as place, (count(*) over () + 1) / 2 as half, count(*) over () as n
    from waiting w
), pieces as materialized (
    select task_id, attempt, bytes, case when place < half then $3::uuid else $4::uuid end as batch_id,
        (case when place < half then place else place - half end)::integer as seq
    from placed
    where n > 1
), made as (
    insert into batches (id, provider, model, origin, items, bytes, created_at)
    select p.batch_id, w.provider, w.model, w.origin, p.items, p.bytes, w.created_at
    from (select batch_id, count(*) as items, sum(bytes) as bytes from pieces group by batch_id) p
    cross join whole w
    returning id
), moved as (
    update batch_items i
    set batch_id = p.batch_id, seq = p.seq
    from pieces p
    where i.task_id = p.task_id and i.attempt = p.attempt
), over as (
    update batches b
    set state = 'failed', ended_at = now(), note = $5::text, tally = '{"counts":{},"nanos":0,"list_nanos":0}'
    from whole w
    where b.id = w.id and exists (select from pieces)
)
select id from made order by id
