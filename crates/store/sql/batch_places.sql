-- Tells the numbers of the items that have these places in their batch's file, from 0. $1 batch  $2 places
select placed.place, placed.seq
from (
    select seq, (row_number() over (order by seq) - 1)::integer as place from batch_items where batch_id = $1::uuid
) placed
where placed.place = any ($2::integer[])
