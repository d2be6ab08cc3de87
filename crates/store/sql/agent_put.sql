-- Makes these the resident agents; visiting ones stay. The caller holds the lock for it.
-- $1 names  $2 titles  $3 departments  $4 roles  $5 models, each list as JSON
with gone as (
    delete from agents where resident and name <> all($1::text[])
)
insert into agents (name, title, department, role, models, resident)
select g.name, g.title, g.department, g.role, array(select json_array_elements_text(g.models::json)), true
from unnest($1, $2::text[], $3::text[], $4::text[], $5::text[]) as g(name, title, department, role, models)
on conflict (name) do update
set title = excluded.title, department = excluded.department, role = excluded.role, models = excluded.models,
    resident = true, updated_at = now()
