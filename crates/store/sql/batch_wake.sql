-- Makes batches due now. $1 ids
with due as materialized (
    select id from batches where id = any ($1::uuid[]) and cleaned_at is null order by id for no key update
)
update batches b
set due_at = now()
from due
where b.id = due.id
