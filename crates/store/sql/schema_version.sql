-- Lists the migrations that were applied.
select version, name, checksum from schema_migrations order by version
