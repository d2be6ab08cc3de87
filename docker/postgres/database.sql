-- The database, its owner, and who may connect to it. The owner migrates; no service is the owner.
select 'create database chavion owner chavion_owner' where not exists (select from pg_database where datname = 'chavion') \gexec
revoke all on database chavion from public;
grant connect on database chavion to chavion_gateway, chavion_orchestrator, chavion_executor, chavion_batch_poller, chavion_watch;
grant pg_monitor to chavion_watch;
alter role chavion_watch connection limit 5;
\connect chavion
alter schema public owner to chavion_owner;
revoke all on schema public from public;
