-- Claims a task on the board for an agent. $1 id  $2 agent
update tasks
set state = 'in_progress', agent = $2, attempt = attempt + 1, started_at = now(), progress = null
where id = $1 and kind = 'open' and state = 'queued'
returning id
