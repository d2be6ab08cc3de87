-- Half price: asks that go through the providers' batch APIs, budgets, and providers that cannot serve.
--
-- The rules of 0001 hold. batches and batch_items are written in slices; their statements lock batches first, then
-- items, then tasks, each in the order of their keys.

alter table tasks
    -- why the pace is what it is, when that is not what was ordered
    add column pace_reason text,
    -- what a held task waits for, and how much money it asked for
    add column held_for text check (held_for in ('approval', 'budget', 'blackout')),
    add column held_nanos bigint,
    -- whom a held ask was to be asked of
    add column held_provider text,
    -- attempts that were put off: the guard against loops does not count them
    add column holds integer not null default 0,
    -- the same for every ask of the same words to the same models: the guard against loops counts them
    add column fingerprint bigint;

alter table charges
    -- what the same tokens would have cost at pace now
    add column list_nanos bigint not null default 0;
update charges set list_nanos = nanos;

create table batches (
    id uuid primary key,
    provider text not null,
    -- provider/model where the provider takes one model for each batch
    model text,
    -- the batch that this is a piece of, which its provider refused for what is in it
    origin uuid,
    state text not null default 'submitting'
        check (state in ('submitting', 'running', 'ended', 'settled', 'failed')),
    -- every create has a token of its own, made of the id and this number
    submission integer not null default 1,
    items integer not null,
    bytes bigint not null,
    -- one replica works on a batch at a time; each taking raises hold, and every write names the hold it was taken with
    worker text,
    hold integer not null default 0,
    taken_at timestamptz,
    lease_until timestamptz,
    due_at timestamptz not null default now(),
    -- at the provider
    input_file text,
    intent_at timestamptz,
    remote_id text,
    remote_state text,
    output_file text,
    error_file text,
    done_items integer,
    -- since when it says that it does not know the batch
    unknown_since timestamptz,
    -- for people
    note text,
    -- how many items ended how and what they cost, counted once when the batch is settled or has failed
    tally json,
    cancel_wanted_at timestamptz,
    -- what becomes of the asks of a batch that its master cancels
    cancel_then text check (cancel_then in ('now', 'batch', 'cancel')),
    created_at timestamptz not null default now(),
    submitted_at timestamptz,
    expires_at timestamptz,
    ended_at timestamptz,
    settled_at timestamptz,
    cleaned_at timestamptz
);
create index batches_due on batches (due_at) where cleaned_at is null;
create unique index batches_remote on batches (provider, remote_id) where remote_id is not null;
-- What a provider's batches lately took.
create index batches_ended on batches (provider, ended_at) where ended_at is not null;
-- Pages of the archive.
create index batches_provider on batches (provider, id);
create index batches_failed on batches (id) where state = 'failed';
-- The pieces of a batch that was refused.
create index batches_origin on batches (origin) where origin is not null;

create table batch_items (
    task_id uuid not null,
    attempt integer not null,
    root_id uuid not null,
    -- items of the same group may share a batch: the provider, or provider/model where it takes one model each
    grp text not null,
    provider text not null,
    model text not null,
    agent text,
    state text not null default 'queued' check (state in (
        'queued', 'submitted', 'succeeded', 'failed_permanent', 'failed_retryable', 'expired', 'cancelled', 'missing'
    )),
    batch_id uuid references batches,
    seq integer,
    -- how many batches this ask has been in, this one included, and how many of its answers misfitted
    tries integer not null default 1,
    misfits integer not null default 0,
    -- the request as it is sent, without its custom_id; gone when the item has ended
    body text,
    bytes integer not null,
    estimate_nanos bigint not null,
    -- when it must be asked faster to meet its deadline
    give_up_at timestamptz,
    -- its task does not wait for it any more; what it still brings is booked and nothing else
    abandoned_at timestamptz,
    flush boolean not null default false,
    nanos bigint,
    list_nanos bigint,
    reason text,
    collected_at timestamptz not null default now(),
    ended_at timestamptz,
    primary key (task_id, attempt)
);
create unique index batch_items_seq on batch_items (batch_id, seq);
create index batch_items_queued on batch_items (grp, collected_at) where state = 'queued';
create index batch_items_flush on batch_items (grp) where state = 'queued' and flush;
create index batch_items_give_up on batch_items (give_up_at)
    where state in ('queued', 'submitted') and abandoned_at is null and give_up_at is not null;

create table budgets (
    -- order: name is the root's id; agent, provider: their names; all: name is 'all'
    scope text not null check (scope in ('order', 'agent', 'provider', 'all')),
    name text not null,
    -- day: spent counts the UTC day that `day` names
    period text not null check (period in ('total', 'day')),
    limit_nanos bigint not null check (limit_nanos > 0),
    spent_nanos bigint not null default 0,
    reserved_nanos bigint not null default 0,
    day date not null default (now() at time zone 'utc')::date,
    updated_at timestamptz not null default now(),
    primary key (scope, name, period)
);

-- What is set aside for an ask that runs: one row for each budget that it falls under. (No foreign key, as checking it
-- row by row takes longer than all the rest: they are made of budgets that are locked, and go with them by a trigger.)
create table reservations (
    task_id uuid not null,
    attempt integer not null,
    scope text not null,
    name text not null,
    period text not null,
    nanos bigint not null,
    primary key (task_id, attempt, scope, name, period)
);
create index reservations_budget on reservations (scope, name, period);

-- Two triggers keep the counters true, so that no statement that books a charge can forget to.
create function budget_spend() returns trigger language plpgsql as $$
begin
    -- Whoever makes a budget holds this lock alone while it sums what was booked: what is booked after that sees it.
    perform pg_advisory_xact_lock_shared(hashtext('chavion booking'), hashtext(current_schema()));
    if not exists (select from budgets) then
        return null;
    end if;
    -- Budgets are found by their keys: there may be one for every order. All are locked first, in the order of the
    -- keys, those included that only give back what was set aside.
    with spent as materialized (
        select k.scope, k.name, sum(c.nanos)::bigint as nanos
        from booked c
        join tasks t on t.id = c.task_id
        cross join lateral (
            values ('order', t.root_id::text), ('agent', c.agent), ('provider', c.provider), ('all', 'all')
        ) as k(scope, name)
        where k.name is not null
        group by k.scope, k.name
    ), locked as materialized (
        select b.scope
        from (
            select scope, name, null as period from spent
            union
            select r.scope, r.name, r.period
            from booked c
            join reservations r on r.task_id = c.task_id and r.attempt = c.attempt
        ) k
        join budgets b on b.scope = k.scope and b.name = k.name and (k.period is null or b.period = k.period)
        order by b.scope, b.name, b.period
        for no key update of b
    )
    update budgets b
    set spent_nanos = s.nanos + case
            when b.period = 'day' and b.day < (now() at time zone 'utc')::date then 0 else b.spent_nanos
        end,
        -- what began before midnight may be booked after something of the new day
        day = greatest(b.day, (now() at time zone 'utc')::date)
    from spent s
    cross join (select count(*) from locked) l
    where b.scope = s.scope and b.name = s.name;
    delete from reservations r using booked c where r.task_id = c.task_id and r.attempt = c.attempt;
    return null;
end
$$;
create trigger charges_spend after insert on charges
    referencing new table as booked for each statement execute function budget_spend();

create function budget_release() returns trigger language plpgsql as $$
begin
    if not exists (select from gone) then
        return null;
    end if;
    perform
    from (select distinct scope, name, period from gone) g
    join budgets b on b.scope = g.scope and b.name = g.name and b.period = g.period
    order by b.scope, b.name, b.period
    for no key update of b;
    update budgets b
    set reserved_nanos = b.reserved_nanos - s.nanos
    from (select scope, name, period, sum(nanos)::bigint as nanos from gone group by 1, 2, 3) s
    where b.scope = s.scope and b.name = s.name and b.period = s.period;
    return null;
end
$$;
create trigger reservations_release after delete on reservations
    referencing old table as gone for each statement execute function budget_release();

create function budget_forget() returns trigger language plpgsql as $$
begin
    delete from reservations r using gone g where r.scope = g.scope and r.name = g.name and r.period = g.period;
    return null;
end
$$;
create trigger budgets_forget after delete on budgets
    referencing old table as gone for each statement execute function budget_forget();

-- Sets money aside for asks, in the order in which they are given, and returns those for which there is not enough:
-- each with the budget that has the least left. Asks refused set nothing aside. Asked again for the same attempt, it
-- sets nothing more aside. When all fit, which is nearly always, they are taken together; else one by one.
create function budget_reserve(
    tasks uuid[], attempts integer[], roots uuid[], agents text[], providers text[], amounts bigint[]
) returns table (
    refused uuid, refused_attempt integer, by_scope text, by_name text, by_period text, the_limit bigint,
    the_rest bigint, the_amount bigint
) language plpgsql as $$
declare
    today constant date := (now() at time zone 'utc')::date;
    ask record;
begin
    if not exists (select from budgets) then
        return;
    end if;
    perform
    from (
        select distinct v.scope, v.name
        from unnest(roots, agents, providers) as g(root, agent, provider)
        cross join lateral (
            values ('order', g.root::text), ('agent', g.agent), ('provider', g.provider), ('all', 'all')
        ) as v(scope, name)
    ) k
    join budgets b on b.scope = k.scope and b.name = k.name
    order by b.scope, b.name, b.period
    for no key update of b;
    if not found then
        return;
    end if;
    update budgets b
    set spent_nanos = 0, day = today
    from (
        select distinct v.scope, v.name
        from unnest(roots, agents, providers) as g(root, agent, provider)
        cross join lateral (
            values ('order', g.root::text), ('agent', g.agent), ('provider', g.provider), ('all', 'all')
        ) as v(scope, name)
    ) k
    where b.scope = k.scope and b.name = k.name and b.period = 'day' and b.day < today;

    with asks as materialized (
        select distinct on (g.task, g.attempt) g.*
        from unnest(tasks, attempts, roots, agents, providers, amounts)
            as g(task, attempt, root, agent, provider, amount)
        where not exists (select from reservations r where r.task_id = g.task and r.attempt = g.attempt)
    ), pairs as materialized (
        select a.task, a.attempt, a.amount, b.scope, b.name, b.period
        from asks a
        cross join lateral (
            values ('order', a.root::text), ('agent', a.agent), ('provider', a.provider), ('all', 'all')
        ) as v(scope, name)
        join budgets b on b.scope = v.scope and b.name = v.name
    ), sums as materialized (
        select p.scope, p.name, p.period, sum(p.amount)::bigint as amount from pairs p group by 1, 2, 3
    ), fits as materialized (
        select not exists (
            select from sums s
            join budgets b on b.scope = s.scope and b.name = s.name and b.period = s.period
            where b.spent_nanos + b.reserved_nanos + s.amount > b.limit_nanos
        ) as all_of_it
    ), aside as (
        insert into reservations (task_id, attempt, scope, name, period, nanos)
        select p.task, p.attempt, p.scope, p.name, p.period, p.amount
        from pairs p
        where (select all_of_it from fits)
    ), kept as (
        update budgets b
        set reserved_nanos = b.reserved_nanos + s.amount
        from sums s
        where b.scope = s.scope and b.name = s.name and b.period = s.period and (select all_of_it from fits)
    )
    select all_of_it into ask from fits;
    if ask.all_of_it then
        return;
    end if;

    for ask in
        select * from unnest(tasks, attempts, roots, agents, providers, amounts) with ordinality
            as g(task, attempt, root, agent, provider, amount, place)
        order by g.place
    loop
        if exists (select from reservations r where r.task_id = ask.task and r.attempt = ask.attempt) then
            continue;
        end if;
        return query
            select ask.task, ask.attempt, b.scope, b.name, b.period, b.limit_nanos,
                greatest(b.limit_nanos - b.spent_nanos - b.reserved_nanos, 0), ask.amount
            from (
                values ('order', ask.root::text), ('agent', ask.agent), ('provider', ask.provider), ('all', 'all')
            ) as v(scope, name)
            join budgets b on b.scope = v.scope and b.name = v.name
            where b.spent_nanos + b.reserved_nanos + ask.amount > b.limit_nanos
            order by b.limit_nanos - b.spent_nanos - b.reserved_nanos, b.scope, b.name, b.period
            limit 1;
        if found then
            continue;
        end if;
        with mine as (
            insert into reservations (task_id, attempt, scope, name, period, nanos)
            select ask.task, ask.attempt, b.scope, b.name, b.period, ask.amount
            from (
                values ('order', ask.root::text), ('agent', ask.agent), ('provider', ask.provider), ('all', 'all')
            ) as v(scope, name)
            join budgets b on b.scope = v.scope and b.name = v.name
            returning scope, name, period
        )
        update budgets b
        set reserved_nanos = b.reserved_nanos + ask.amount
        from mine
        where b.scope = mine.scope and b.name = mine.name and b.period = mine.period;
    end loop;
end
$$;

create table blackouts (
    provider text primary key,
    cause text not null,
    reason text not null,
    since timestamptz not null default now(),
    -- when one ask may try whether it is over
    probe_at timestamptz not null,
    probes integer not null default 0,
    -- until then one ask is trying
    probing_until timestamptz
);

-- What the days cost that are over (UTC), summed once for each, so that the total of all days is never summed again.
create table money_days (
    day date primary key,
    calls bigint not null,
    nanos bigint not null,
    list_nanos bigint not null
);
