-- Names the batches at a provider that are known to be ours, as far as one of them can be looked for that was made
-- since then. $1 provider  $2 since
with live as materialized (
    select provider, remote_id from batches where cleaned_at is null and due_at > '-infinity'
)
select remote_id from live where provider = $1::text and remote_id is not null
union
select remote_id from batches where provider = $1 and ended_at >= $2::timestamptz and remote_id is not null
