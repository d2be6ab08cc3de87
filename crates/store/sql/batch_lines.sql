-- Reads a page of a batch's requests, in order: at most so many and, but for the first, at most so many bytes.
-- $1 batch  $2 after this number  $3 at most  $4 most bytes
select seq, body
from (
    select seq, body, sum(bytes::bigint) over (order by seq rows unbounded preceding) as upto,
        row_number() over (order by seq rows unbounded preceding) as place
    from (
        select seq, body, bytes
        from batch_items
        where batch_id = $1::uuid and seq > $2::integer and state = 'submitted'
        order by seq
        limit $3::bigint
    ) page
) counted
where place = 1 or upto <= $4::bigint
order by seq
