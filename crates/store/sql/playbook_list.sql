-- Lists the current playbooks.
select hash, name, description, source, origin, current, created_at from playbooks where current order by name
