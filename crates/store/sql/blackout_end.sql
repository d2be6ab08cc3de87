-- Ends a provider's blackout. $1 provider
delete from blackouts where provider = $1 returning provider
