-- Changes the limit of a budget that is there, and tells what it was. $1 scope  $2 name  $3 period  $4 limit
with found as materialized (
    select scope, name, period, limit_nanos from budgets where (scope, name, period) = ($1::text, $2::text, $3::text)
    for no key update
)
update budgets b
set limit_nanos = $4::bigint, updated_at = now()
from found
where (b.scope, b.name, b.period) = (found.scope, found.name, found.period)
returning found.limit_nanos
