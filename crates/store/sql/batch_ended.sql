-- Notes that a provider has ended a batch: its results can be read.
-- $1 id  $2 hold  $3 the provider's word  $4 items done  $5 output file  $6 error file  $7 when it ended  $8 note
update batches
set state = 'ended', remote_state = $3::text, done_items = coalesce($4::integer, done_items),
    output_file = coalesce($5::text, output_file), error_file = coalesce($6::text, error_file),
    ended_at = coalesce($7::timestamptz, now()), note = coalesce($8::text, note)
where id = $1::uuid and hold = $2::integer and state = 'running'
returning id
