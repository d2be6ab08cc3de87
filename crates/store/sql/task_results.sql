-- Reads what tasks brought. $1 ids
select t.id, t.result
from unnest($1::uuid[]) as given(id)
join tasks t on t.id = given.id
where t.result is not null
