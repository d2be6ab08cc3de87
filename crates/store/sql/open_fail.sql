-- Ends a claimed task on the board badly. $1 id  $2 agent  $3 reason
update tasks
set state = 'failed', live = false, cause = 'agent_failed', reason = $3, ended_at = now(), settled_at = now()
where id = $1 and kind = 'open' and state = 'in_progress' and agent = $2
returning id
