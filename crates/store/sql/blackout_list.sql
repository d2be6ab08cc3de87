-- Reads the blackouts.
select provider, cause, reason, since, probe_at, probes, probing_until from blackouts order by provider
