-- Lists budgets in the order of their keys. $1 $2 $3 after this scope, name and period  $4 scope  $5 at most so many
with page as materialized (
    select b.scope, b.name, b.period from budgets b
    where (b.scope, b.name, b.period) > (coalesce($1::text, ''), coalesce($2::text, ''), coalesce($3::text, ''))
        and b.scope >= coalesce($4::text, '') and b.scope <= coalesce($4, '~')
    order by b.scope, b.name, b.period
    limit $5::bigint
)
select b.scope, b.name, b.period, b.limit_nanos,
    case when b.period = 'day' and b.day < (now() at time zone 'utc')::date then 0 else b.spent_nanos end,
    b.reserved_nanos, b.updated_at, t.title, t.state
from page
join budgets b on (b.scope, b.name, b.period) = (page.scope, page.name, page.period)
left join tasks t on t.id = case when b.scope = 'order' then b.name::uuid end
order by b.scope, b.name, b.period
