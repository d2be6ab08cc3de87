-- Keeps playbooks and makes them the current ones of their names, unless one that came over the API is.
-- The caller holds the lock for it. $1 hashes  $2 names  $3 descriptions  $4 sources  $5 origins
insert into playbooks (hash, name, description, source, origin, current)
select g.hash, g.name, g.description, g.source, g.origin,
    g.origin = 'api' or not exists (select from playbooks p where p.name = g.name and p.current and p.origin = 'api')
from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[]) as g(hash, name, description, source, origin)
on conflict (hash) do update
set description = excluded.description, origin = excluded.origin, current = excluded.current
