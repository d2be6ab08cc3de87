-- Lists the budgets that something may still fall under: those of ended orders are left out.
-- $1 $2 $3 after this scope, name and period  $4 scope  $5 at most so many  $6 only those that are spent to so many percent
with live as materialized (
    select b.scope, b.name, b.period from budgets b where b.scope in ('agent', 'all', 'provider')
    union all
    select b.scope, b.name, b.period
    from tasks t
    join budgets b on b.scope = 'order' and b.name = t.id::text
    where t.live
), page as materialized (
    select b.scope, b.name, b.period
    from live
    join budgets b on (b.scope, b.name, b.period) = (live.scope, live.name, live.period)
    where (b.scope, b.name, b.period) > (coalesce($1::text, ''), coalesce($2::text, ''), coalesce($3::text, ''))
        and ($4::text is null or b.scope = $4)
        and b.reserved_nanos + case
            when b.period = 'day' and b.day < (now() at time zone 'utc')::date then 0 else b.spent_nanos
        end >= b.limit_nanos / 100 * coalesce($6::integer, -100)
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
