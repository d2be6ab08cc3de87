-- Notes that what was intended has certainly not happened: nothing needs to be looked up. $1 id  $2 hold
update batches
set intent_at = null
where id = $1::uuid and hold = $2::integer and state = 'submitting' and remote_id is null
returning id
