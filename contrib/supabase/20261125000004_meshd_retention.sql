-- Events pile up: call meshd_prune() from time to time as the owner, with pg_cron for example:
--   select cron.schedule('meshd-prune', '17 3 * * *', 'select meshd_prune()');

create function meshd_prune(keep interval default interval '30 days') returns bigint
language plpgsql
as $$
declare
  gone bigint;
  oldest timestamptz := now() - keep;
begin
  if keep < interval '1 hour' then
    raise exception 'meshd_prune: keep at least an hour, not %', keep;
  end if;
  delete from meshd_events where received_at < oldest;
  get diagnostics gone = row_count;
  delete from meshd_slots where removed and received_at < oldest;
  return gone;
end
$$;

comment on function meshd_prune(interval) is 'deletes older events, and slots removed before that; how many events went';

-- security invoker: even where it may be called, it deletes only what row security lets its caller delete, which over
-- the API is nothing.
revoke execute on function meshd_prune(interval) from public, anon, authenticated;
