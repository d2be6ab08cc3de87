-- Lists the departments.
select name, title, purpose, head from departments order by name
