-- Lists batches that are not over, newest first. $1 older than this id  $2 provider  $3 state  $4 at most so many
with live as materialized (
    select id, provider, state from batches where cleaned_at is null and due_at > '-infinity'
), page as materialized (
    select b.id from live b
    where b.state in ('submitting', 'running', 'ended') and ($1::uuid is null or b.id < $1)
        and ($2::text is null or b.provider = $2) and ($3::text is null or b.state = $3)
    order by b.id desc
    limit $4::bigint
)
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
from page
join batches b on b.id = page.id
order by b.id desc
