-- The spine: tasks, what they cost, what they reported, and who may ask.
--
-- Rules of this schema:
-- * Documents are `json`, not `jsonb`: they are handed on as they came (the order of a schema's
--   properties steers a model's answer) and nothing searches inside them.
-- * An update of a child task touches no indexed column, neither as a key nor in a predicate, so
--   Postgres writes a new row version on the same page and no index entry (HOT). That is why no
--   index mentions `state`: what is still alive is found through the few rows marked `live`.
-- * tasks and charges, the two tables that every order writes often, have no foreign keys: their rows are inserted
--   from a join with the row they refer to and no statement deletes. (Checking the references row
--   by row was measured at more than the inserts themselves.)

create table playbooks (
    hash text primary key,
    name text not null,
    description text not null,
    source text not null,
    origin text not null check (origin in ('built_in', 'folder', 'api')),
    current boolean not null default true,
    created_at timestamptz not null default now()
);
create unique index playbooks_current on playbooks (name) where current;

create table departments (
    name text primary key,
    title text not null,
    purpose text not null,
    head text not null
);

create table agents (
    name text primary key,
    title text not null,
    department text references departments on delete set null,
    role text not null check (role in ('head', 'specialist', 'visiting')),
    models text[] not null default '{}',
    resident boolean not null,
    last_seen_at timestamptz,
    updated_at timestamptz not null default now()
);
create index agents_department on agents (department);

create table tasks (
    id uuid primary key,
    root_id uuid not null,
    parent_id uuid,
    step text,
    item integer,
    kind text not null
        check (kind in ('plan', 'ask', 'command', 'open', 'approval', 'deliver')),
    state text not null
        check (state in ('pending', 'queued', 'in_progress', 'held', 'completed', 'failed', 'cancelled')),
    -- true for a root that has not ended: through these few the sweep finds everything that is alive.
    live boolean not null default false,
    emulated boolean not null default false,
    priority smallint not null default 1,
    attempt integer not null default 0,
    title text not null,
    description text not null default '',
    agent text,
    pace text not null default 'now' check (pace in ('now', 'flex', 'batch', 'auto')),
    deadline timestamptz,
    playbook text,
    playbook_hash text,
    deliver json,
    agents text[],
    work json,
    result json,
    cause text,
    reason text,
    progress text,
    worker text,
    model text,
    traceparent text,
    created_by text,
    created_at timestamptz not null default now(),
    announced_at timestamptz,
    queued_at timestamptz,
    not_before timestamptz,
    started_at timestamptz,
    lease_until timestamptz,
    ended_at timestamptz,
    settled_at timestamptz,
    check ((parent_id is null) = (root_id = id))
) with (
    -- room on each page for the versions that a task leaves behind while it moves
    fillfactor = 60,
    autovacuum_vacuum_scale_factor = 0.05,
    autovacuum_analyze_scale_factor = 0.05
);
-- One task for each place in a playbook; the root is the one without a step.
create unique index tasks_place on tasks (root_id, step, item) nulls not distinct;
-- The board and the archive, newest first (ids are v7).
create index tasks_roots on tasks (id) where parent_id is null;
create index tasks_live on tasks (id) where live;

create table charges (
    task_id uuid not null,
    attempt integer not null,
    agent text,
    provider text not null,
    model text not null,
    pace text not null,
    input bigint not null,
    cache_read bigint not null,
    cache_write bigint not null,
    cache_write_hour bigint not null,
    output bigint not null,
    nanos bigint not null,
    emulated boolean not null,
    booked_at timestamptz not null default now(),
    primary key (task_id, attempt)
);
-- Rows arrive in the order of their time, so a few bytes a range of pages find a day.
create index charges_booked on charges using brin (booked_at) with (pages_per_range = 16, autosummarize = on);

create table reports (
    root_id uuid primary key references tasks,
    title text not null,
    markdown text not null,
    created_at timestamptz not null default now()
);

create table api_keys (
    id uuid primary key,
    name text not null,
    role text not null check (role in ('master', 'agent', 'viewer')),
    agent_name text,
    hash bytea not null unique,
    created_at timestamptz not null default now(),
    revoked_at timestamptz,
    check ((role = 'agent') = (agent_name is not null))
);

create table idempotency (
    key_id uuid not null references api_keys,
    key text not null,
    request_hash bytea not null,
    task_id uuid references tasks,
    status integer not null,
    body json not null,
    created_at timestamptz not null default now(),
    primary key (key_id, key)
);
create index idempotency_task on idempotency (task_id);
