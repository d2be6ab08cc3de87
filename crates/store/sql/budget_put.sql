-- Makes a budget, with what its scope has been charged. The caller keeps others from booking meanwhile.
-- $1 scope  $2 name  $3 period  $4 limit  $5 charges from then on are summed here  $6 what those before come to
insert into budgets (scope, name, period, limit_nanos, spent_nanos)
select $1::text, $2::text, $3::text, $4::bigint, $6::bigint + coalesce((
    select sum(charged.nanos)::bigint
    from (
        select c.nanos
        from tasks t
        join charges c on c.task_id = t.id
        where $1 = 'order' and t.root_id = case when $1 = 'order' then $2::uuid end
            and ($3 <> 'day' or c.booked_at >= date_trunc('day', now(), 'UTC'))
        union all
        select c.nanos
        from charges c
        where $1 <> 'order'
            and c.booked_at >= case $3 when 'day' then date_trunc('day', now(), 'UTC') else $5::timestamptz end
            and ($1 = 'all' or ($1 = 'agent' and c.agent = $2) or ($1 = 'provider' and c.provider = $2))
    ) charged
), 0)
on conflict (scope, name, period) do update set limit_nanos = excluded.limit_nanos, updated_at = now()
