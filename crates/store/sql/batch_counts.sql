-- Counts what waits for a batch and what is in one, by provider: batches and items that have not been settled, and
-- for how many ms the oldest has been there. A row without a state is of the items that wait for a batch.
with live as materialized (
    select provider, state, items, done_items, coalesce(submitted_at, created_at) as since
    from batches
    where cleaned_at is null and due_at > '-infinity'
)
select provider, state, count(*), sum(items)::bigint, sum(coalesce(done_items, 0))::bigint,
    (extract(epoch from now() - min(since)) * 1000)::bigint
from live
group by provider, state
union all
select split_part(grp, '/', 1), null, 0, count(*), 0, (extract(epoch from now() - min(collected_at)) * 1000)::bigint
from batch_items
where state = 'queued'
group by 1
order by 1, 2
