-- Lists the names that an order may ask for.
select name from playbooks where current order by name
