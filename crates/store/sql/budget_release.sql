-- Sets nothing aside any more for attempts that ended without a charge. $1 tasks  $2 attempts
delete from reservations r
using unnest($1::uuid[], $2::integer[]) as g(id, attempt)
where r.task_id = g.id and r.attempt = g.attempt
