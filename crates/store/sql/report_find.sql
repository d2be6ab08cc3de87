-- Reads a report. $1 root id
select r.root_id, r.title, r.markdown, r.created_at, t.emulated
from reports r
join tasks t on t.id = r.root_id
where r.root_id = $1
