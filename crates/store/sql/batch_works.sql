-- Reads what asks ask. $1 ids
select id, work from tasks where id = any ($1::uuid[]) and work is not null
