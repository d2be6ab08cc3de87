-- Tells what nine of ten of each provider's batches of the last days took at most, from the closing of the group to
-- the last result, in ms. The last few hundred tell enough.
with recursive providers as (
    (select provider from batches where ended_at is not null and provider > '' order by provider limit 1)
    union all
    select (
        select b.provider from batches b
        where b.ended_at is not null and b.provider > p.provider
        order by b.provider
        limit 1
    )
    from providers p
    where p.provider is not null
)
select p.provider, (extract(epoch from percentile_disc(0.9) within group (order by b.took)) * 1000)::bigint
from providers p
cross join lateral (
    select ended_at - created_at as took
    from batches
    where provider = p.provider and ended_at > now() - interval '3 days' and state <> 'failed'
    order by ended_at desc
    limit 300
) b
group by p.provider
