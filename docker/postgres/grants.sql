-- What each service may do in the database: the tables that its statements touch, and no more. The owner runs this
-- after every migration (compose.yml: grant); a second run changes nothing. scripts/stack-roles proves both directions.
-- Variables: schema, and the roles' names.
\set ON_ERROR_STOP 1
\if :{?schema} \else \set schema public \endif
\if :{?gateway} \else \set gateway chavion_gateway \endif
\if :{?orchestrator} \else \set orchestrator chavion_orchestrator \endif
\if :{?executor} \else \set executor chavion_executor \endif
\if :{?poller} \else \set poller chavion_batch_poller \endif
begin;
-- Who waits behind us is not to wait long.
set local lock_timeout = '10s';
set local search_path = :"schema";
grant usage on schema :"schema" to :"gateway", :"orchestrator", :"executor", :"poller";
revoke all on all tables in schema :"schema" from :"gateway", :"orchestrator", :"executor", :"poller";
grant select on schema_migrations to :"gateway", :"orchestrator", :"executor", :"poller";

-- the gateway: takes orders, shows everything, knows the keys; books nothing
grant select, insert, update on tasks, playbooks, api_keys, idempotency, money_days to :"gateway";
grant select, update on batches, batch_items to :"gateway";
grant select, insert, update on reports to :"gateway";
grant select on agents, departments, charges to :"gateway";
grant select, insert, update, delete on budgets to :"gateway";
grant select, update, delete on blackouts to :"gateway";
grant select, delete on reservations to :"gateway";

-- the orchestrator: plans, asks, settles, delivers; sees no key
grant select, insert, update on tasks, playbooks, agents, departments, charges, reports, blackouts, money_days to :"orchestrator";
grant delete on blackouts, agents, departments to :"orchestrator";
grant select, update on batches, batch_items, budgets to :"orchestrator";
grant select, insert, update, delete on reservations to :"orchestrator";

-- the batch-poller: asks that go through batches
grant select, update on tasks, budgets to :"poller";
grant select, insert on charges to :"poller";
grant select, insert, update on batches, batch_items, blackouts to :"poller";
grant delete on blackouts to :"poller";
grant select, insert, update, delete on reservations to :"poller";

-- the executor: its commands, column by column; the statements that it shares with others name further tables, in
-- which it sees no row and may write none
grant select (id, root_id, kind, state, attempt, agent, pace, title, step, work, traceparent, deadline, priority, live,
    holds, model, emulated, worker, lease_until, not_before, announced_at, queued_at) on tasks to :"executor";
grant update (state, live, attempt, worker, started_at, not_before, lease_until, progress, result, cause, reason, held_for,
    held_nanos, held_provider, holds, announced_at, queued_at, model, emulated, ended_at, settled_at) on tasks to :"executor";
grant insert on charges to :"executor";
grant select (task_id, attempt) on charges, reservations to :"executor";
grant delete on reservations to :"executor";
grant select (scope, name, period) on budgets to :"executor";
grant select (provider) on blackouts to :"executor";

alter table tasks enable row level security;
alter table charges enable row level security;
alter table reservations enable row level security;
alter table budgets enable row level security;
alter table blackouts enable row level security;
drop policy if exists commands on tasks;
create policy commands on tasks to :"executor" using (kind = 'command') with check (kind = 'command');
drop policy if exists services on tasks;
create policy services on tasks to :"gateway", :"orchestrator", :"poller" using (true) with check (true);
drop policy if exists services on charges;
create policy services on charges to :"gateway", :"orchestrator", :"poller" using (true) with check (true);
drop policy if exists services on reservations;
create policy services on reservations to :"gateway", :"orchestrator", :"poller" using (true) with check (true);
drop policy if exists services on budgets;
create policy services on budgets to :"gateway", :"orchestrator", :"poller" using (true) with check (true);
drop policy if exists services on blackouts;
create policy services on blackouts to :"gateway", :"orchestrator", :"poller" using (true) with check (true);

-- Counters are kept by triggers, whoever books: they run as the owner, in this schema alone.
alter function budget_spend() security definer set search_path = :"schema", pg_temp;
alter function budget_release() security definer set search_path = :"schema", pg_temp;
commit;
