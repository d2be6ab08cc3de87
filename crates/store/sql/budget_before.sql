-- Sums what a scope was charged before a moment, which is so long ago that nothing of then is still being booked.
-- $1 scope  $2 name  $3 before
select coalesce(sum(c.nanos), 0)::bigint
from charges c
where c.booked_at < $3::timestamptz
    and ($1::text = 'all' or ($1 = 'agent' and c.agent = $2::text) or ($1 = 'provider' and c.provider = $2))
