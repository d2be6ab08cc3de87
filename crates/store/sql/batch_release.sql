-- Lets a batch go until it is due again; at once, if somebody asked for it while it was in hand.
-- $1 id  $2 hold  $3 due in ms  $4 note, null leaves what was said before
update batches
set worker = null, lease_until = null, note = coalesce($4::text, note),
    due_at = case when due_at > taken_at then due_at else now() + $3::bigint * interval '1 ms' end
where id = $1::uuid and hold = $2::integer
returning id
