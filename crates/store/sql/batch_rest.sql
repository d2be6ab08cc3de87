-- Reads the items of a batch that have not ended, as batch_items does. $1 batch  $2 after this number  $3 at most
select i.seq, i.task_id, i.attempt, i.root_id, i.agent, i.provider, i.model, i.tries, i.misfits, i.state,
    i.abandoned_at is null and t.state = 'in_progress' and t.attempt = i.attempt, w.schema, coalesce(w.retry, 0),
    coalesce(w.fallback, true), t.traceparent, t.priority, i.give_up_at
from (
    select * from batch_items
    where batch_id = $1::uuid and seq > $2::integer and state = 'submitted'
    order by seq
    limit $3::bigint
) i
join tasks t on t.id = i.task_id
left join lateral json_to_record(t.work) as w(schema json, retry bigint, fallback boolean) on true
order by i.seq
