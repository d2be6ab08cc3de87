-- Notes that a batch is about to be created at its provider: from here on it may exist there. $1 id  $2 hold
update batches
set intent_at = now()
where id = $1::uuid and hold = $2::integer and state = 'submitting' and remote_id is null
returning id
