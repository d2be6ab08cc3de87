-- Reads the batches that a task, or a part of an order, waits for. $1 the order  $2 the task, or null for all of them
select t.id, i.batch_id, i.provider, coalesce(b.state, i.state), i.collected_at, b.submitted_at, b.expires_at
from tasks t
join batch_items i on i.task_id = t.id and i.attempt = t.attempt
left join batches b on b.id = i.batch_id
where t.root_id = $1::uuid and ($2::uuid is null or t.id = $2) and t.state = 'in_progress'
    and i.state in ('queued', 'submitted') and i.abandoned_at is null
order by t.id
