-- Lists the budgets of agents, of providers and of all, with what is spent and set aside; those of orders are too many
-- for figures. $1 at most so many
select scope, name, period, limit_nanos,
    case when period = 'day' and day < (now() at time zone 'utc')::date then 0 else spent_nanos end, reserved_nanos
from budgets
where scope in ('agent', 'all', 'provider')
order by scope, name, period
limit $1::bigint
