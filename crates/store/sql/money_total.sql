-- Sums what was ever spent: the days that are over from their sums, the rest from the charges.
with past as materialized (
    select max(day) as day, coalesce(sum(calls), 0)::bigint as calls, coalesce(sum(nanos), 0)::bigint as nanos,
        coalesce(sum(list_nanos), 0)::bigint as list_nanos
    from money_days
)
select past.calls + recent.calls, past.nanos + recent.nanos, past.list_nanos + recent.list_nanos
from past
cross join lateral (
    select count(*) as calls, coalesce(sum(c.nanos), 0)::bigint as nanos,
        coalesce(sum(c.list_nanos), 0)::bigint as list_nanos
    from charges c
    where c.booked_at >= coalesce((past.day + 1)::timestamp at time zone 'utc', '-infinity')
) recent
