-- Reads batches, in id order. $1 ids
select b.id, b.provider, b.model, b.state, b.submission, b.items, b.bytes, b.remote_id, b.remote_state, b.done_items,
    b.note, b.cancel_wanted_at, b.cancel_then, b.created_at, b.submitted_at, b.expires_at, b.ended_at, b.settled_at,
    coalesce(b.tally, (
        select json_build_object('counts', coalesce(json_object_agg(c.state, c.items), '{}'),
            'nanos', coalesce(sum(c.nanos), 0), 'list_nanos', coalesce(sum(c.list_nanos), 0),
            'abandoned', coalesce(sum(c.abandoned), 0))
        from (
            select i.state, count(*) as items, sum(i.nanos) as nanos, sum(i.list_nanos) as list_nanos,
                count(*) filter (where i.state = 'submitted' and i.abandoned_at is not null) as abandoned
            from batch_items i
            where i.batch_id = b.id
            group by i.state
        ) c
    ))
from unnest($1::uuid[]) as given(id)
join batches b on b.id = given.id
order by b.id
