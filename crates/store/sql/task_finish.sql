-- Applies outcomes: completed, failed, or queued again. A row moves only from in_progress with the attempt that the
-- outcome carries, or from queued when it carries none. A charge is booked when the attempt is the task's latest,
-- whatever became of the task meanwhile, and once for each attempt.
-- $1 ids  $2 attempts  $3 states  $4 results  $5 causes  $6 reasons  $7 delays in ms  $8 models  $9 emulated
-- $10 settle: whether the caller settles these tasks itself  $11 roots that the caller has locked: all that is open
-- under them is locked here, in id order with the rest, for the caller may end it later in the same transaction
-- charges: $12 task ids  $13 attempts  $14 agents  $15 providers  $16 models  $17 paces  $18 input  $19 cache_read
-- $20 cache_write  $21 cache_write_hour  $22 output  $23 nanos  $24 emulated
with given as materialized (
    select * from unnest(
        $1::uuid[], $2::integer[], $3::text[], $4::text[], $5::text[], $6::text[], $7::bigint[], $8::text[],
        $9::boolean[]
    ) as g(id, attempt, state, result, cause, reason, delay, model, emulated)
), open as materialized (
    select t.id from tasks t
    where (t.id = any($1) or (t.root_id = any($11::uuid[]) and t.parent_id is not null))
        and t.state in ('queued', 'in_progress')
    order by t.id
    for no key update
), booked as (
    insert into charges (
        task_id, attempt, agent, provider, model, pace, input, cache_read, cache_write, cache_write_hour, output,
        nanos, emulated
    )
    select c.* from unnest(
        $12::uuid[], $13::integer[], $14::text[], $15::text[], $16::text[], $17::text[], $18::bigint[],
        $19::bigint[], $20::bigint[], $21::bigint[], $22::bigint[], $23::bigint[], $24::boolean[]
    ) as c(task_id, attempt, agent, provider, model, pace, input, cache_read, cache_write, cache_write_hour, output,
        nanos, emulated)
    join tasks t on t.id = c.task_id and t.attempt = c.attempt
    on conflict (task_id, attempt) do nothing
)
update tasks t
set state = g.state,
    live = t.live and g.state = 'queued',
    result = g.result::json,
    cause = g.cause,
    reason = case g.state when 'failed' then g.reason end,
    progress = case g.state when 'queued' then g.reason end,
    not_before = case g.state when 'queued' then now() + g.delay * interval '1 ms' end,
    announced_at = case g.state when 'queued' then now() else t.announced_at end,
    queued_at = case g.state when 'queued' then now() else t.queued_at end,
    model = coalesce(g.model, t.model),
    emulated = t.emulated or g.emulated,
    worker = case g.state when 'queued' then null else t.worker end,
    lease_until = null,
    ended_at = case g.state when 'queued' then null else now() end,
    settled_at = case when $10::boolean and g.state <> 'queued' then now() end
from given g
join open on open.id = g.id
where t.id = g.id
    and ((t.state = 'in_progress' and t.attempt = g.attempt)
        or (t.state = 'queued' and g.attempt is null and g.state = 'failed'))
returning t.id, t.root_id, t.state
