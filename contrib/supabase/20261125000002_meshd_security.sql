-- Who may do what, by the claims of the JWT:
--   meshd_node = "mac1"   writes the rows of node mac1 and nothing else, and reads them; events are never changed
--   meshd_viewer = true   reads everything; a user of Supabase Auth may have it in app_metadata instead
-- Row security holds by itself; the grants are a second lock. `anon` gets nothing. Nobody may delete over the API.

-- `request.jwt.claims` is PostgREST's own, so this runs beside Supabase and beside a bare PostgREST.
create function meshd_claimed_node() returns text
language sql stable
set search_path = ''
as $$
  select nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'meshd_node'
$$;

-- Not user_metadata: users write that themselves.
create function meshd_is_viewer() returns boolean
language sql stable
set search_path = ''
as $$
  select coalesce(claims ->> 'meshd_viewer', claims -> 'app_metadata' ->> 'meshd_viewer') = 'true'
  from (select nullif(current_setting('request.jwt.claims', true), '')::jsonb as claims) as token
$$;

alter table meshd_nodes enable row level security;
alter table meshd_slots enable row level security;
alter table meshd_events enable row level security;

-- The subqueries make the database ask once for a statement instead of once for a row.
create policy meshd_read on meshd_nodes for select to authenticated
  using (node = (select meshd_claimed_node()) or (select meshd_is_viewer()));
create policy meshd_add on meshd_nodes for insert to authenticated
  with check (node = (select meshd_claimed_node()));
create policy meshd_change on meshd_nodes for update to authenticated
  using (node = (select meshd_claimed_node())) with check (node = (select meshd_claimed_node()));

create policy meshd_read on meshd_slots for select to authenticated
  using (node = (select meshd_claimed_node()) or (select meshd_is_viewer()));
create policy meshd_add on meshd_slots for insert to authenticated
  with check (node = (select meshd_claimed_node()));
create policy meshd_change on meshd_slots for update to authenticated
  using (node = (select meshd_claimed_node())) with check (node = (select meshd_claimed_node()));

create policy meshd_read on meshd_events for select to authenticated
  using (node = (select meshd_claimed_node()) or (select meshd_is_viewer()));
create policy meshd_add on meshd_events for insert to authenticated
  with check (node = (select meshd_claimed_node()));

revoke all on meshd_nodes, meshd_slots, meshd_events from public, anon, authenticated;
grant select, insert, update on meshd_nodes, meshd_slots to authenticated;
grant select, insert on meshd_events to authenticated;
