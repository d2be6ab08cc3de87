-- Keeps what the agent says about its progress. $1 id  $2 agent  $3 progress
update tasks
set progress = $3
where id = $1 and kind = 'open' and state = 'in_progress' and agent = $2
returning id
