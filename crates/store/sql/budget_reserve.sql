-- Sets money aside for attempts and returns those for which there is not enough; the function says how.
-- $1 tasks  $2 attempts  $3 roots  $4 agents  $5 providers  $6 amounts
select refused, refused_attempt, by_scope, by_name, by_period, the_limit, the_rest, the_amount
from budget_reserve($1::uuid[], $2::integer[], $3::uuid[], $4::text[], $5::text[], $6::bigint[])
