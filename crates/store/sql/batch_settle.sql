-- Ends items of a batch: once each, with what it cost, and with what becomes of its task. An item that has ended is
-- left alone, so a line that comes twice changes nothing. A charge is booked for the item's own attempt, whatever
-- became of the task; the task moves only if it still waits for this item. From queued (its attempt is this one, and
-- nobody has begun the next) it can only end. Rows are locked items first, then tasks, each in the order of its keys.
-- A crash of Postgres may undo it: the results are still at the provider, and are read again.
-- $1 batch  $2 hold  $3 numbers  $4 states  $5 reasons  $6 what becomes of the tasks  $7 results  $8 models  $9 emulated
-- $10 causes  $11 the tasks' reasons  $12 next bodies  $13 next bytes  $14 next estimates
-- charges: $15 agents  $16 providers  $17 models  $18 paces  $19 input  $20 cache_read  $21 cache_write
-- $22 cache_write_hour  $23 output  $24 nanos; null: no charge  $25 list_nanos  $26 emulated
with durability as materialized (
    select set_config('synchronous_commit', 'off', true) as setting
), held as materialized (
    select 1 as yes from batches, durability where id = $1::uuid and hold = $2::integer
), open as materialized (
    select i.task_id, i.attempt, i.abandoned_at, i.collected_at, g.*
    from held
    cross join unnest(
        $3::integer[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::boolean[], $10::text[],
        $11::text[], $12::text[], $13::integer[], $14::bigint[], $15::text[], $16::text[], $17::text[], $18::text[],
        $19::bigint[], $20::bigint[], $21::bigint[], $22::bigint[], $23::bigint[], $24::bigint[], $25::bigint[],
        $26::boolean[]
    ) as g(
        seq, state, item_reason, fate, result, answered_by, answer_emulated, cause, reason, body, bytes, estimate,
        agent, provider, model, pace, input, cache_read, cache_write, cache_write_hour, output, nanos, list_nanos,
        emulated
    )
    join batch_items i on i.batch_id = $1 and i.seq = g.seq
    where i.state = 'submitted'
    order by i.task_id, i.attempt
    for no key update of i
), judged as materialized (
    select o.*, t.root_id, t.traceparent, t.priority,
        o.abandoned_at is null and t.attempt = o.attempt and (
            t.state = 'in_progress' or (t.state = 'queued' and o.fate in ('complete', 'fail', 'cancel'))
        ) as moves
    from open o
    join tasks t on t.id = o.task_id
    order by t.id
    for no key update of t
), purses as materialized (
    -- Two triggers change budgets when this has ended, one after the other: what they need is locked in one order.
    select b.scope
    from (
        select distinct r.scope, r.name, r.period
        from judged j
        join reservations r on r.task_id = j.task_id and r.attempt = j.attempt
    ) k
    join budgets b on b.scope = k.scope and b.name = k.name and b.period = k.period
    order by b.scope, b.name, b.period
    for no key update of b
), booked as (
    insert into charges (
        task_id, attempt, agent, provider, model, pace, input, cache_read, cache_write, cache_write_hour, output,
        nanos, list_nanos, emulated
    )
    select task_id, attempt, agent, provider, model, pace, input, cache_read, cache_write, cache_write_hour, output,
        nanos, list_nanos, emulated
    from judged
    where nanos is not null
    on conflict (task_id, attempt) do nothing
), moved as (
    update tasks t
    set state = case j.fate
            when 'complete' then 'completed' when 'fail' then 'failed' when 'cancel' then 'cancelled'
            when 'now' then 'queued' when 'back' then 'queued' else 'in_progress'
        end,
        live = t.live and j.fate in ('again', 'correct', 'now', 'back'),
        attempt = t.attempt + case when j.fate in ('again', 'correct') then 1 else 0 end,
        result = j.result::json,
        cause = j.cause,
        reason = case when j.fate in ('fail', 'cancel') then j.reason end,
        progress = case when j.fate in ('again', 'correct', 'back') then j.reason end,
        -- whoever is sent back for its provider's sake has not tried in vain
        holds = t.holds + case j.fate when 'back' then 1 else 0 end,
        pace = case j.fate when 'now' then 'now' else t.pace end,
        pace_reason = case j.fate when 'now' then j.reason else t.pace_reason end,
        queued_at = case when j.fate in ('now', 'back') then now() else t.queued_at end,
        announced_at = case when j.fate in ('now', 'back') then now() else t.announced_at end,
        model = coalesce(j.answered_by, t.model),
        emulated = t.emulated or j.answer_emulated,
        worker = case when j.fate in ('now', 'back') then null else t.worker end,
        ended_at = case when j.fate in ('complete', 'fail', 'cancel') then now() end
    from judged j
    where t.id = j.task_id and j.moves
), next as (
    insert into batch_items (
        task_id, attempt, root_id, grp, provider, model, agent, tries, misfits, body, bytes, estimate_nanos, give_up_at
    )
    select i.task_id, i.attempt + 1, i.root_id, i.grp, i.provider, i.model, i.agent, i.tries + 1,
        i.misfits + case j.fate when 'correct' then 1 else 0 end, coalesce(j.body, i.body), coalesce(j.bytes, i.bytes),
        coalesce(j.estimate, i.estimate_nanos), i.give_up_at
    from judged j
    join batch_items i on i.task_id = j.task_id and i.attempt = j.attempt
    where j.moves and j.fate in ('again', 'correct')
    on conflict (task_id, attempt) do nothing
), ended as (
    update batch_items i
    set state = j.state, reason = j.item_reason, body = null, nanos = j.nanos, list_nanos = j.list_nanos,
        ended_at = now()
    from judged j
    where i.task_id = j.task_id and i.attempt = j.attempt
), kept as (
    -- What was set aside goes on with the ask.
    update reservations r
    set attempt = r.attempt + 1
    from judged j
    where r.task_id = j.task_id and r.attempt = j.attempt and j.moves and j.fate in ('again', 'correct')
), unspent as (
    delete from reservations r
    using judged j
    where r.task_id = j.task_id and r.attempt = j.attempt and j.nanos is null
        and not (j.moves and j.fate in ('again', 'correct'))
)
select j.seq, j.task_id, j.root_id, case when j.moves then j.fate else 'late' end, j.traceparent, j.priority,
    j.collected_at
from judged j
cross join (select count(*) from purses) p
