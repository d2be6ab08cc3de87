-- Claims queued tasks for a worker. Rows are locked in id order, so two slices never wait for each other in a ring.
-- The last columns tell how many attempts were made, those that were put off left out, and whether there is any budget
-- or blackout to be looked at.
-- $1 ids  $2 kind  $3 worker  $4 lease in ms  $5 durable: whether the claim must survive a crash of Postgres
with durability as materialized (
    select set_config(
        'synchronous_commit', case when $5::boolean then current_setting('synchronous_commit') else 'off' end, true
    ) as setting
), free as materialized (
    select t.id
    from unnest($1::uuid[]) as given(id)
    join tasks t on t.id = given.id
    where t.kind = $2::text and t.state = 'queued' and (t.not_before is null or t.not_before <= now())
    order by t.id
    for no key update of t
)
update tasks t
set state = 'in_progress', attempt = t.attempt + 1, worker = $3::text, started_at = now(), not_before = null,
    lease_until = now() + $4::bigint * interval '1 ms', progress = null
from free, durability
where t.id = free.id and t.state = 'queued'
returning t.id, t.root_id, t.attempt, t.agent, t.pace, t.title, t.step, t.work, t.traceparent, t.deadline, t.priority,
    t.attempt - t.holds, exists (select from budgets where scope > ''), exists (select from blackouts)
