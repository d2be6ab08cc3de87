-- Counts the master keys that are still good.
select count(*) from api_keys where role = 'master' and revoked_at is null
