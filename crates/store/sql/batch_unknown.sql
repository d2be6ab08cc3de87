-- Notes that a provider says that it does not know a running batch, and tells for how many ms it has said so, without
-- a word of the batch in between. $1 id  $2 hold
update batches
set unknown_since = coalesce(unknown_since, now())
where id = $1::uuid and hold = $2::integer and state = 'running'
returning (extract(epoch from now() - unknown_since) * 1000)::bigint
