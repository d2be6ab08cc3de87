-- Cancels a live task with whatever is alive below it. A child's end is left for a decision to take in.
-- The caller holds the root's lock, so the tree does not grow meanwhile. $1 id  $2 reason
with recursive target as materialized (
    select id, root_id, parent_id, state from tasks where id = $1::uuid
), below as (
    select id from target where state in ('pending', 'queued', 'in_progress', 'held')
    union all
    select t.id
    from below
    join tasks t on t.root_id = (select root_id from target) and t.parent_id = below.id
), alive as materialized (
    select t.id
    from below
    join tasks t on t.id = below.id
    where t.state in ('pending', 'queued', 'in_progress', 'held')
    order by t.parent_id is not null, t.id
    for no key update of t
), cancelled as (
    update tasks t
    set state = 'cancelled', live = false, cause = 'cancelled', reason = $2::text, lease_until = null,
        held_for = null, held_nanos = null, held_provider = null, ended_at = now(), settled_at = case when (select parent_id from target) is null then now() end
    from alive
    where t.id = alive.id and t.state in ('pending', 'queued', 'in_progress', 'held')
    returning t.id
)
select root_id, state, array(select id from cancelled order by id) from target
