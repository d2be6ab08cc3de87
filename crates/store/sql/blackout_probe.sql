-- Lets one ask try whether a provider's blackout is over. $1 provider  $2 how long it may take, in ms
update blackouts
set probing_until = now() + $2::bigint * interval '1 ms'
where provider = $1 and probe_at <= now() and (probing_until is null or probing_until <= now())
returning provider
