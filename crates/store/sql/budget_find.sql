-- Reads one budget. $1 scope  $2 name  $3 period
select b.scope, b.name, b.period, b.limit_nanos,
    case when b.period = 'day' and b.day < (now() at time zone 'utc')::date then 0 else b.spent_nanos end,
    b.reserved_nanos, b.updated_at, t.title, t.state
from budgets b
left join tasks t on t.id = case when b.scope = 'order' then b.name::uuid end
where (b.scope, b.name, b.period) = ($1::text, $2::text, $3::text)
