-- Finds what waited too long in a live tree, moves what lost its performer, and names all of it to be announced
-- (again). A row that is locked just now is being worked on and is left alone. One row more tells in how many ms
-- the next postponed task falls due.
-- A queued task is named the more seldom the longer it waits, so that a backlog does not multiply itself.
-- $1 stale after ms; 0: nothing that was announced is there any more  $2 at most so many
-- $3 whether leases are judged: not while those who hold them may not have been able to renew them
with trees as materialized (
    select distinct root_id from tasks where live
), kin as materialized (
    select t.*
    from trees
    cross join lateral (
        select id, state, announced_at, queued_at, lease_until, not_before,
            case state
                when 'pending' then parent_id is null and announced_at < now() - $1::bigint * interval '1 ms'
                when 'queued' then kind in ('ask', 'command', 'deliver')
                    and (not_before is null or not_before <= now())
                    and (announced_at < not_before or announced_at < now() - case
                        when $1 = 0 then interval '0'
                        else greatest($1 * interval '1 ms', announced_at - queued_at)
                    end)
                when 'in_progress' then $3::boolean and lease_until < now()
                when 'held' then false
                else settled_at is null and parent_id is not null
                    and greatest(announced_at, ended_at) < now() - $1 * interval '1 ms'
            end as due
        from tasks
        where root_id = trees.root_id
        offset 0
    ) t
), found as materialized (
    select t.id
    from kin
    join tasks t on t.id = kin.id
    where kin.due and t.state = kin.state and t.announced_at = kin.announced_at
        and t.lease_until is not distinct from kin.lease_until
    order by t.id
    limit $2::bigint
    for no key update of t skip locked
), verdict as materialized (
    select t.id, t.state = 'in_progress' as dropped,
        t.state = 'in_progress' and t.kind = 'command' and coalesce(t.work ->> 'repeatable', 'false') <> 'true' as lost
    from found
    join tasks t on t.id = found.id
), moved as (
    update tasks t
    set announced_at = now(),
        lease_until = null,
        state = case when v.lost then 'failed' when v.dropped then 'queued' else t.state end,
        worker = case when v.dropped and not v.lost then null else t.worker end,
        queued_at = case when v.dropped and not v.lost then now() else t.queued_at end,
        cause = case when v.lost then 'lost' else t.cause end,
        reason = case
            when v.lost then 'Its executor stopped while the command ran, and it must not run twice.' else t.reason
        end,
        ended_at = case when v.lost then now() else t.ended_at end,
        live = t.live and not v.lost
    from verdict v
    where t.id = v.id and (t.state = 'in_progress') = v.dropped and (not v.dropped or t.lease_until < now())
    returning t.id, t.root_id, t.kind, t.state, t.pace, t.traceparent, t.priority, v.lost
)
select id, root_id, kind, state, pace, traceparent, priority, lost, null::bigint from moved
union all
select null, null, null, null, null, null, null, null,
    (extract(epoch from min(not_before) - now()) * 1000)::bigint
from kin
where state = 'queued' and not_before > now()
