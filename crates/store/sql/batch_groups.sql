-- Tells what waits for a batch, by group: how many items, how many bytes, for how many ms the oldest has waited, and
-- whether somebody wants it sent now.
select grp, min(provider), nullif(grp, min(provider)), count(*), sum(bytes)::bigint,
    (extract(epoch from now() - min(collected_at)) * 1000)::bigint, bool_or(flush)
from batch_items
where state = 'queued'
group by grp
order by 1
