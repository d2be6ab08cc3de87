-- Notes under which name a batch runs at its provider. A name that another batch of ours has is not taken.
-- $1 id  $2 hold  $3 remote id  $4 the provider's word for its state  $5 when it expires
update batches b
set state = 'running', remote_id = $3::text, remote_state = $4::text, expires_at = $5::timestamptz, submitted_at = now(), note = null
where b.id = $1::uuid and b.hold = $2::integer and b.state = 'submitting' and b.remote_id is null
    and not exists (
        select from batches o where o.provider = b.provider and o.remote_id = $3
    )
returning b.id
