-- Extends the leases that a worker still holds and names them. A row that is locked just now is being ended or
-- taken away: it is not waited for, and counts as held until that is committed. A task that a batch keeps has no
-- lease, and gets none.
-- $1 ids  $2 attempts  $3 worker  $4 lease in ms
with durability as materialized (
    select set_config('synchronous_commit', 'off', true) as setting
), held as materialized (
    select t.id, t.attempt
    from unnest($1::uuid[], $2::integer[]) as given(id, attempt)
    join tasks t on t.id = given.id and t.attempt = given.attempt
    where t.state = 'in_progress' and t.worker = $3::text and t.lease_until is not null
), free as materialized (
    select t.id, held.attempt
    from held
    join tasks t on t.id = held.id
    where t.state = 'in_progress' and t.lease_until is not null
    order by t.id
    for no key update of t skip locked
), renewed as (
    update tasks t
    set lease_until = now() + $4::bigint * interval '1 ms'
    from free, durability
    where t.id = free.id and t.attempt = free.attempt and t.state = 'in_progress' and t.lease_until is not null
    returning t.id
)
-- Free, but not renewed: it was taken away between the snapshot and the lock.
select id from held where id in (select id from renewed) or id not in (select id from free)
