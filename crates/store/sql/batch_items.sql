-- Reads items by their numbers in a batch, with what settling needs of their tasks. $1 batch  $2 numbers
select i.seq, i.task_id, i.attempt, i.root_id, i.agent, i.provider, i.model, i.tries, i.misfits, i.state,
    i.abandoned_at is null and t.state = 'in_progress' and t.attempt = i.attempt, w.schema, coalesce(w.retry, 0),
    coalesce(w.fallback, true), t.traceparent, t.priority, i.give_up_at
from batch_items i
join tasks t on t.id = i.task_id
left join lateral json_to_record(t.work) as w(schema json, retry bigint, fallback boolean) on true
where i.batch_id = $1::uuid and i.seq = any ($2::integer[])
order by i.seq
