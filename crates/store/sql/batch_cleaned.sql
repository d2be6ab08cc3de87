-- Notes that nothing of a batch is left to be done, at the provider or here. $1 id  $2 hold
update batches
set cleaned_at = now(), worker = null, lease_until = null
where id = $1::uuid and hold = $2::integer and state in ('settled', 'failed')
returning id
