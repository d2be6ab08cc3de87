-- Notes that the master wants a batch cancelled while the provider may still work on it, and tells where it stood.
-- $1 id  $2 what becomes of its asks
with wished as (
    update batches
    set cancel_wanted_at = coalesce(cancel_wanted_at, now()), cancel_then = $2::text, due_at = now()
    where id = $1::uuid and state in ('submitting', 'running')
    returning id
)
select b.state, exists (select from wished) from batches b where b.id = $1
