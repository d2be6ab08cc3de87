-- Tells in which of these batches no task waits for an item any more. $1 batches
select b.id
from batches b
where b.id = any ($1::uuid[]) and b.state in ('submitting', 'running') and not exists (
    select from batch_items i
    join tasks t on t.id = i.task_id
    where i.batch_id = b.id and i.state = 'submitted' and i.abandoned_at is null
        and t.state = 'in_progress' and t.attempt = i.attempt
)
