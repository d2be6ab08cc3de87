-- Deletes a budget and what is set aside under it. $1 scope  $2 name  $3 period
delete from budgets where (scope, name, period) = ($1::text, $2::text, $3::text) returning limit_nanos
