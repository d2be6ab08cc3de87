-- Ends a claimed task on the board well and files its text as the report. $1 id  $2 agent  $3 result  $4 report
with done as (
    update tasks
    set state = 'completed', live = false, result = $3::text::json, ended_at = now(), settled_at = now()
    where id = $1 and kind = 'open' and state = 'in_progress' and agent = $2
    returning id, title
), filed as (
    insert into reports (root_id, title, markdown)
    select id, title, $4::text from done where $4 is not null
    on conflict (root_id) do update
    set title = excluded.title, markdown = excluded.markdown, created_at = excluded.created_at
)
select id from done
