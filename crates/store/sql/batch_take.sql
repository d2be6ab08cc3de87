-- Takes batches that something is to be done for and that nobody has in hand, the most overdue first. Each taking
-- raises hold, so that whoever had a batch before writes nothing to it any more. $1 worker  $2 lease in ms  $3 at most
-- $4 providers to be left alone
with free as materialized (
    select id
    from batches
    where cleaned_at is null and due_at <= now() and (lease_until is null or lease_until < now())
        and provider <> all ($4::text[])
    order by due_at
    limit $3::bigint
    for no key update skip locked
)
update batches b
set worker = $1::text, hold = b.hold + 1, taken_at = now(), lease_until = now() + $2::bigint * interval '1 ms'
from free
where b.id = free.id
returning b.id, b.provider, b.model, b.state, b.submission, b.items, b.bytes, b.hold, b.input_file, b.intent_at,
    b.remote_id, b.remote_state, b.output_file, b.error_file, b.done_items, b.unknown_since, b.note,
    b.cancel_wanted_at, b.cancel_then, b.created_at, b.submitted_at, b.expires_at, b.ended_at, b.settled_at,
    b.cleaned_at, now()
