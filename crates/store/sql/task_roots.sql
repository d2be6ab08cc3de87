-- Tells whose tasks these are.
-- $1 ids
select id, root_id from tasks where id = any ($1::uuid[])
