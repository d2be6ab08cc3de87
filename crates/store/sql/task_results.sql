-- Reads what tasks brought. $1 ids
select id, result from tasks where id = any($1::uuid[]) and result is not null
