-- Finds what waited too long in a live tree, moves what lost its performer, and names all of it to be announced
-- (again). A row that is locked just now is being worked on and is left alone. One row more tells in how many ms
-- the next postponed task falls due, and how many are held for money.
-- A held task whose time has come is queued again; of those that wait for the end of a provider's blackout only the
-- first, which will try whether it is over.
-- A queued task is named the more seldom the longer it waits, so that a backlog does not multiply itself.
-- $1 stale after ms; 0: nothing that was announced is there any more  $2 at most so many
-- $3 whether leases are judged: not while those who hold them may not have been able to renew them
with trees as materialized (
    select distinct root_id from tasks where live
), kin as materialized (
    select t.*
    from trees
    cross join lateral (
        select id, state, announced_at, queued_at, lease_until, not_before, held_for, held_provider,
            case state
                when 'pending' then parent_id is null and announced_at < now() - $1::bigint * interval '1 ms'
                when 'queued' then kind in ('ask', 'command', 'deliver')
                    and (not_before is null or not_before <= now())
                    and (announced_at < not_before or announced_at < now() - case
                        when $1 = 0 then interval '0'
                        else greatest($1 * interval '1 ms', announced_at - queued_at)
                    end)
                when 'in_progress' then $3::boolean and lease_until < now()
                when 'held' then not_before <= now() and (
                    held_for is distinct from 'blackout'
                    or not exists (select from blackouts b where b.provider = held_provider)
                )
                else settled_at is null and parent_id is not null
                    and greatest(announced_at, ended_at) < now() - $1 * interval '1 ms'
            end as due
        from tasks
        where root_id = trees.root_id
        offset 0
    ) t
), probes as materialized (
    select distinct on (held_provider) id
    from kin
    where state = 'held' and held_for = 'blackout' and not_before <= now()
    order by held_provider, id
), found as materialized (
    select t.id
    from kin
    join tasks t on t.id = kin.id
    where (kin.due or kin.id in (select id from probes)) and t.state = kin.state and t.announced_at = kin.announced_at
        and t.lease_until is not distinct from kin.lease_until
    order by t.id
    limit $2::bigint
    for no key update of t skip locked
), verdict as materialized (
    select t.id, t.attempt, t.state = 'in_progress' as dropped, t.state = 'held' as held,
        t.state = 'in_progress' and t.kind = 'command' and coalesce(t.work ->> 'repeatable', 'false') <> 'true' as lost
    from found
    join tasks t on t.id = found.id
), moved as (
    update tasks t
    set announced_at = now(),
        lease_until = null,
        state = case when v.lost then 'failed' when v.dropped or v.held then 'queued' else t.state end,
        held_for = case when not v.held then t.held_for end,
        held_nanos = case when not v.held then t.held_nanos end,
        held_provider = case when not v.held then t.held_provider end,
        progress = case when not v.held then t.progress end,
        not_before = case when not v.held then t.not_before end,
        worker = case when v.dropped and not v.lost then null else t.worker end,
        queued_at = case when v.held or (v.dropped and not v.lost) then now() else t.queued_at end,
        cause = case when v.lost then 'lost' else t.cause end,
        reason = case
            when v.lost then 'Its executor stopped while the command ran, and it must not run twice.' else t.reason
        end,
        ended_at = case when v.lost then now() else t.ended_at end,
        live = t.live and not v.lost
    from verdict v
    where t.id = v.id and (t.state = 'in_progress') = v.dropped and (t.state = 'held') = v.held and (not v.dropped or t.lease_until < now())
    returning t.id, t.root_id, t.kind, t.state, t.pace, t.traceparent, t.priority, v.lost
), released as (
    -- For an attempt that nobody makes any more no money is set aside.
    delete from reservations r using verdict v where v.dropped and r.task_id = v.id and r.attempt = v.attempt
)
select id, root_id, kind, state, pace, traceparent, priority, lost, null::bigint, null::bigint from moved
union all
select null, null, null, null, null, null, null, null,
    (extract(epoch from min(not_before) filter (where not_before > now()) - now()) * 1000)::bigint,
    count(*) filter (where held_for = 'budget')
from kin
where state in ('queued', 'held')
