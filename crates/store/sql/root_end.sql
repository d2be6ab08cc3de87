-- Ends live roots and files the reports of the completed ones.
-- $1 ids  $2 states  $3 reports  $4 results  $5 causes  $6 reasons  $7 whether an emulated answer went into it
with ended as (
    update tasks t
    set state = g.state, live = false, result = g.result::json, cause = g.cause, reason = g.reason,
        emulated = t.emulated or g.emulated, ended_at = now(), settled_at = now()
    from unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::boolean[])
        as g(id, state, report, result, cause, reason, emulated)
    where t.id = g.id and t.root_id = t.id and t.state in ('pending', 'in_progress')
    returning t.id, t.title, g.report
)
insert into reports (root_id, title, markdown)
select id, title, report from ended where report is not null
on conflict (root_id) do update
set title = excluded.title, markdown = excluded.markdown, created_at = excluded.created_at
