-- Applies outcomes: completed, failed, held, or queued again. A row moves from in_progress with the attempt that the
-- outcome carries, and from queued when it carries none; also from queued with that attempt when the outcome is an end: its
-- lease ran out, but nobody has begun the next attempt, so what was paid for is taken. A charge is booked when the
-- attempt is the task's latest, whatever became of the task meanwhile, and once for each attempt. Rows are locked in
-- id order. For an attempt that ended no money is set aside any more.
-- $1 ids  $2 attempts  $3 states  $4 results  $5 causes  $6 reasons  $7 delays in ms  $8 models  $9 emulated
-- $10 settle: whether the caller takes these ends in with the same transaction
-- $25 held for  $26 amounts asked for  $27 whom of
-- charges: $11 task ids  $12 attempts  $13 agents  $14 providers  $15 models  $16 paces  $17 input  $18 cache_read
-- $19 cache_write  $20 cache_write_hour  $21 output  $22 nanos  $23 emulated  $24 list_nanos
with open as materialized (
    select g.*
    from unnest(
        $1::uuid[], $2::integer[], $3::text[], $4::text[], $5::text[], $6::text[], $7::bigint[], $8::text[],
        $9::boolean[], $25::text[], $26::bigint[], $27::text[]
    ) as g(id, attempt, state, result, cause, reason, delay, model, emulated, held_for, held_nanos, held_provider)
    join tasks t on t.id = g.id
    where t.state in ('queued', 'in_progress')
    order by t.id
    for no key update of t
), booked as (
    insert into charges (
        task_id, attempt, agent, provider, model, pace, input, cache_read, cache_write, cache_write_hour, output,
        nanos, emulated, list_nanos
    )
    select c.*
    from unnest(
        $11::uuid[], $12::integer[], $13::text[], $14::text[], $15::text[], $16::text[], $17::bigint[],
        $18::bigint[], $19::bigint[], $20::bigint[], $21::bigint[], $22::bigint[], $23::boolean[], $24::bigint[]
    ) as c(task_id, attempt, agent, provider, model, pace, input, cache_read, cache_write, cache_write_hour, output,
        nanos, emulated, list_nanos)
    join tasks t on t.id = c.task_id and t.attempt = c.attempt
    on conflict (task_id, attempt) do nothing
), released as (
    delete from reservations r
    using unnest($1, $2) as g(id, attempt)
    where r.task_id = g.id and r.attempt = g.attempt
)
update tasks t
set state = g.state,
    live = t.live and g.state in ('queued', 'held'),
    result = g.result::json,
    cause = g.cause,
    reason = case g.state when 'failed' then g.reason end,
    progress = case when g.state in ('queued', 'held') then g.reason end,
    held_for = g.held_for,
    held_nanos = g.held_nanos,
    held_provider = g.held_provider,
    holds = t.holds + (g.state in ('queued', 'held'))::integer,
    not_before = case when g.state in ('queued', 'held') then now() + g.delay * interval '1 ms' end,
    announced_at = case g.state when 'queued' then now() else t.announced_at end,
    queued_at = case g.state when 'queued' then now() else t.queued_at end,
    model = coalesce(g.model, t.model),
    emulated = t.emulated or g.emulated,
    worker = case when g.state in ('queued', 'held') then null else t.worker end,
    lease_until = null,
    ended_at = case when g.state not in ('queued', 'held') then now() end,
    settled_at = case when $10::boolean and g.state not in ('queued', 'held') then now() end
from open g
where t.id = g.id
    and ((t.state = 'in_progress' and t.attempt = g.attempt)
        or (t.state = 'queued' and t.attempt = g.attempt and g.state not in ('queued', 'held'))
        or (t.state = 'queued' and g.attempt is null and g.state = 'failed'))
returning t.id, t.root_id, t.state
