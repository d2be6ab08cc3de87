-- Accepts an order: its root task and, when it came with a key, the answer to give again for that key.
-- Writes both or nothing. With a known key or an unknown playbook it writes nothing.
-- $1 id  $2 kind  $3 title  $4 description  $5 priority  $6 playbook's name  $7 pace  $8 deadline  $9 deliver
-- $10 agents  $11 created_by  $12 traceparent  $13 key_id  $14 key  $15 request_hash  $16 status  $17 body
-- $18 the most that it may cost, kept as its budget
with recipe as (
    select name, hash from playbooks where name = $6::text and current
), fresh as (
    insert into idempotency (key_id, key, request_hash, task_id, status, body)
    select $13::uuid, $14::text, $15::bytea, $1::uuid, $16::integer, $17::text::json
    where $14 is not null and ($6 is null or exists (select from recipe))
    on conflict (key_id, key) do nothing
    returning key
), accepted as (
    insert into tasks (
        id, root_id, kind, state, live, priority, title, description, pace, deadline, playbook, playbook_hash,
        deliver, agents, created_by, traceparent, announced_at, queued_at
    )
    select
        $1, $1, $2::text, case $2 when 'open' then 'queued' else 'pending' end, true, $5::smallint, $3::text, $4::text,
        $7::text, $8::timestamptz, $6, (select hash from recipe), $9::text::json, $10::text[], $11::text, $12::text,
        now(), case $2 when 'open' then now() end
    where ($14 is null or exists (select from fresh)) and ($6 is null or exists (select from recipe))
    on conflict (id) do nothing
    returning id
), limited as (
    insert into budgets (scope, name, period, limit_nanos)
    select 'order', id::text, 'total', $18::bigint from accepted where $18 is not null
)
select id from accepted
