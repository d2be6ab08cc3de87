-- Sets free what is set aside for asks that wait for another batch because their answers misfitted; what follows in the
-- same transaction sets aside what they may really cost. $1 tasks
with waiting as materialized (
    select i.task_id, i.attempt
    from batch_items i
    join tasks t on t.id = i.task_id
    where i.task_id = any ($1::uuid[]) and i.state = 'queued'
    order by i.task_id, i.attempt
    for no key update of i, t
)
delete from reservations r
using waiting w
where r.task_id = w.task_id and r.attempt = w.attempt
