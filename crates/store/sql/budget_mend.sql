-- Sets nothing aside any more for attempts that are over and said nothing: their performer died, or their task ended
-- under them.
delete from reservations r
where not exists (
    select from tasks t where t.id = r.task_id and t.attempt = r.attempt and t.state = 'in_progress'
) and not exists (
    select from batch_items i
    where i.task_id = r.task_id and i.attempt = r.attempt and i.state in ('queued', 'submitted')
)
