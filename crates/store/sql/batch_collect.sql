-- Makes items of claimed asks and frees their leases: from here on a batch keeps them, not a worker. An ask that has an
-- item for this attempt already is named again, so that a call whose answer was lost can be repeated.
-- $1 ids  $2 attempts  $3 roots  $4 groups  $5 providers  $6 models  $7 agents  $8 bytes  $9 estimates  $10 bodies
-- $11 when to give up  $12 tries  $13 misfits  $14 worker
with durability as materialized (
    select set_config('synchronous_commit', 'off', true) as setting
), mine as materialized (
    select g.*
    from durability, unnest(
        $1::uuid[], $2::integer[], $3::uuid[], $4::text[], $5::text[], $6::text[], $7::text[], $8::integer[],
        $9::bigint[], $10::text[], $11::timestamptz[], $12::integer[], $13::integer[]
    ) as g(id, attempt, root, grp, provider, model, agent, bytes, estimate, body, give_up_at, tries, misfits)
    join tasks t on t.id = g.id
    where t.state = 'in_progress' and t.attempt = g.attempt
    order by t.id
    for no key update of t
), freed as (
    update tasks t
    set lease_until = null, worker = $14::text
    from mine m
    where t.id = m.id and t.lease_until is not null
), made as (
    insert into batch_items (
        task_id, attempt, root_id, grp, provider, model, agent, bytes, estimate_nanos, body, give_up_at, tries, misfits
    )
    select id, attempt, root, grp, provider, model, agent, bytes, estimate, body, give_up_at, tries, misfits from mine
    on conflict (task_id, attempt) do nothing
)
select id from mine
