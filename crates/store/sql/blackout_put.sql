-- Begins a provider's blackout, or makes it longer when a try has failed: half a minute first, doubled each time, an
-- hour at most. A failure of what was under way before changes nothing. Tells whether it is new and when to try next.
-- $1 provider  $2 cause  $3 reason
insert into blackouts as b (provider, cause, reason, probe_at)
values ($1::text, $2::text, $3::text, now() + interval '30 s')
on conflict (provider) do update
set cause = case when b.probe_at <= now() then excluded.cause else b.cause end,
    reason = case when b.probe_at <= now() then excluded.reason else b.reason end,
    probes = b.probes + case when b.probe_at <= now() then 1 else 0 end,
    probing_until = case when b.probe_at > now() then b.probing_until end,
    probe_at = case
        when b.probe_at <= now() then now() + least(interval '30 s' * 2 ^ least(b.probes + 1, 10), interval '1 h')
        else b.probe_at
    end
returning (xmax = 0), probe_at
