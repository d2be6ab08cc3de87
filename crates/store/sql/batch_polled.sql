-- Notes what a provider says of a running batch; what it does not say stays.
-- $1 id  $2 hold  $3 its word for the state  $4 items done  $5 when it expires  $6 output file  $7 error file  $8 note
update batches
set unknown_since = null, remote_state = $3::text, done_items = coalesce($4::integer, done_items),
    expires_at = coalesce($5::timestamptz, expires_at), output_file = coalesce($6::text, output_file),
    error_file = coalesce($7::text, error_file), note = coalesce($8::text, note)
where id = $1::uuid and hold = $2::integer and state = 'running'
returning id
