-- Reads what the batches of each provider took lately, in ms: the median, the slowest tenth's start, how many.
-- $1 providers
select p.provider, percentile_disc(0.5) within group (order by took.ms),
    percentile_disc(0.9) within group (order by took.ms), count(*)
from unnest($1::text[]) as p(provider)
cross join lateral (
    select (extract(epoch from b.ended_at - b.submitted_at) * 1000)::bigint as ms
    from batches b
    where b.provider = p.provider and b.ended_at > now() - interval '7 days' and b.submitted_at is not null
        and b.state <> 'failed'
    order by b.ended_at desc
    limit 200
) took
group by p.provider
