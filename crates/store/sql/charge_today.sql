-- Sums what was spent today (UTC) by provider, model, agent and pace, the most first. $1 at most so many
select provider, model, coalesce(agent, ''), pace, emulated, sum(nanos)::bigint, sum(list_nanos)::bigint
from charges
where booked_at >= date_trunc('day', now(), 'UTC')
group by 1, 2, 3, 4, 5
order by 6 desc
limit $1::bigint
