-- Sums the next day that is over, once nothing of it can still be being booked.
with next as materialized (
    select coalesce((select max(day) + 1 from money_days where day > '-infinity'), (
        select (t.created_at at time zone 'utc')::date from tasks t
        where t.id > '00000000-0000-0000-0000-000000000000' order by t.id limit 1
    )) as day
)
insert into money_days (day, calls, nanos, list_nanos)
select next.day, sums.calls, sums.nanos, sums.list_nanos
from next
cross join lateral (
    select count(*) as calls, coalesce(sum(c.nanos), 0)::bigint as nanos,
        coalesce(sum(c.list_nanos), 0)::bigint as list_nanos
    from charges c
    where c.booked_at >= next.day::timestamp at time zone 'utc'
        and c.booked_at < (next.day + 1)::timestamp at time zone 'utc'
) sums
where now() > (next.day + 1)::timestamp at time zone 'utc' + interval '10 minutes'
on conflict (day) do nothing
returning day
