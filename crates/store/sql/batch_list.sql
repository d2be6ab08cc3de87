-- Lists batches, newest first, by walking each provider's own part of an index as far as the page goes.
-- $1 older than this id  $2 provider  $3 state  $4 at most so many
with recursive providers as (
    (select provider from batches where provider > '' order by provider limit 1)
    union all
    select (select b.provider from batches b where b.provider > p.provider order by b.provider limit 1)
    from providers p
    where p.provider is not null
), page as materialized (
    select found.id
    from providers p
    cross join lateral (
        (
            select b.id from batches b
            where $3::text is distinct from 'failed' and b.provider = p.provider
                and b.id < coalesce($1::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff') and ($3 is null or b.state = $3)
            order by b.id desc
            limit $4::bigint
        )
        union all
        (
            select b.id from batches b
            where $3 = 'failed' and b.state = 'failed' and b.provider = p.provider
                and b.id < coalesce($1, 'ffffffff-ffff-ffff-ffff-ffffffffffff')
            order by b.id desc
            limit $4
        )
    ) found
    where $2::text is null or p.provider = $2
    order by found.id desc
    limit $4
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
