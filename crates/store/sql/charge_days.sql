-- Sums what was spent in the last days (UTC), by provider and model. $1 days, today included
select (booked_at at time zone 'UTC')::date as day, provider, model, emulated, count(*), sum(input)::bigint,
    sum(cache_read)::bigint, sum(cache_write)::bigint, sum(cache_write_hour)::bigint, sum(output)::bigint,
    sum(nanos)::bigint, sum(list_nanos)::bigint
from charges
where booked_at >= date_trunc('day', now(), 'UTC') - ($1::integer - 1) * interval '1 day'
group by 1, 2, 3, 4
order by 1 desc, 2, 3, 4
