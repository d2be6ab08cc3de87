-- Reads the first orders that a batch has items of, and how many there are. $1 batch  $2 at most so many
with roots as materialized (
    select root_id, count(*) as items from batch_items where batch_id = $1::uuid group by root_id
), page as materialized (
    select root_id, items, (select count(*) from roots) as orders from roots order by root_id limit $2::bigint
)
select t.id, t.title, t.state, page.items, page.orders
from page
join tasks t on t.id = page.root_id
order by t.id
