-- Reads the groups of asks that wait for their batch. $1 provider
select grp, min(provider), count(*), sum(bytes)::bigint, sum(estimate_nanos)::bigint, min(collected_at), bool_or(flush)
from batch_items
where state = 'queued' and ($1::text is null or provider = $1)
group by grp
order by grp
