-- Extends the leases of batches in hand and names those that still are. $1 worker  $2 ids  $3 holds  $4 lease in ms
with held as materialized (
    select b.id
    from unnest($2::uuid[], $3::integer[]) as given(id, hold)
    join batches b on b.id = given.id
    where b.hold = given.hold and b.worker = $1::text
    order by b.id
    for no key update of b
)
update batches b
set lease_until = now() + $4::bigint * interval '1 ms'
from held
where b.id = held.id
returning b.id
