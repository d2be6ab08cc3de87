-- Makes these the departments. The caller holds the lock for it. $1 names  $2 titles  $3 purposes  $4 heads
with gone as (
    delete from departments where name <> all($1::text[])
)
insert into departments (name, title, purpose, head)
select * from unnest($1, $2::text[], $3::text[], $4::text[])
on conflict (name) do update set title = excluded.title, purpose = excluded.purpose, head = excluded.head
