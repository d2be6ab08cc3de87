-- Lets one replica at a time close a group. The one that comes second does not wait: it is told so, and the close
-- that follows in the same transaction does nothing. $1 group
select set_config(
    'chavion.closing',
    pg_try_advisory_xact_lock(hashtext('chavion.batch_close'), hashtext(current_schema() || ' ' || $1::text))::text,
    true
)
