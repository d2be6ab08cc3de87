-- Begins the next submission of a batch that certainly does not exist at its provider, or failed there as a whole.
-- $1 id  $2 hold  $3 note
update batches
set state = 'submitting', submission = submission + 1, input_file = null, intent_at = null, remote_id = null,
    remote_state = null, output_file = null, error_file = null, done_items = null, unknown_since = null, submitted_at = null,
    expires_at = null, ended_at = null, note = $3::text
where id = $1::uuid and hold = $2::integer and state in ('submitting', 'running')
returning id
