-- What meshd's `supabase` sink writes: one row for each node, one for each slot, one for each event.
--
-- A sink upserts with merge-duplicates, which has no WHERE: the trigger below is what keeps a newer state from being
-- overwritten by an older one, in whatever order batches arrive.

create table meshd_nodes (
  node text collate "C" primary key,
  boot_id text collate "C" not null,
  seq bigint not null,
  at timestamptz not null,
  state text not null default 'up' check (state in ('up', 'down')),
  version text,
  protocol text,
  started_at timestamptz,
  slot_names jsonb,
  urls jsonb,
  uptime_s double precision,
  slot_counts jsonb,
  load jsonb,
  received_at timestamptz not null default now()
);

comment on column meshd_nodes.boot_id is 'ULID of one life of the daemon; with seq it orders what a node says';
comment on column meshd_nodes.at is 'by the node''s clock';
comment on column meshd_nodes.received_at is 'by this database''s clock, whatever the client says; liveness is judged by it';

create table meshd_slots (
  node text collate "C" not null,
  slot text collate "C" not null,
  boot_id text collate "C" not null,
  seq bigint not null,
  at timestamptz not null,
  kind text not null,
  labels jsonb not null,
  status text not null,
  activity text not null,
  activity_since timestamptz,
  activity_until timestamptz,
  confidence double precision,
  evidence jsonb,
  dialog jsonb,
  title text not null,
  pid bigint,
  restarts integer not null,
  queue integer not null,
  agent_version text,
  error text,
  config text not null,
  removed boolean not null default false,
  received_at timestamptz not null default now(),
  primary key (node, slot)
);

create table meshd_events (
  id uuid primary key,
  node text collate "C" not null,
  boot_id text collate "C" not null,
  seq bigint not null,
  at timestamptz not null,
  slot text collate "C",
  type text not null,
  version integer not null,
  data jsonb not null,
  received_at timestamptz not null default now(),
  unique (node, boot_id, seq)
);

create index meshd_events_slot on meshd_events (node, slot, boot_id desc, seq desc);
create index meshd_events_received on meshd_events (received_at);

create function meshd_keep_newest() returns trigger
language plpgsql
set search_path = ''
as $$
begin
  if (new.boot_id, new.seq) < (old.boot_id, old.seq) then
    return null;
  end if;
  return new;
end
$$;

comment on function meshd_keep_newest() is 'BEFORE UPDATE: drops a write that is older than what the row holds';

create function meshd_stamp() returns trigger
language plpgsql
set search_path = ''
as $$
begin
  new.received_at := now();
  return new;
end
$$;

-- Triggers of one kind fire in the order of their names: the older write is dropped before it is stamped.
create trigger meshd_1_keep_newest before update on meshd_nodes for each row execute function meshd_keep_newest();
create trigger meshd_1_keep_newest before update on meshd_slots for each row execute function meshd_keep_newest();
create trigger meshd_2_stamp before insert or update on meshd_nodes for each row execute function meshd_stamp();
create trigger meshd_2_stamp before insert or update on meshd_slots for each row execute function meshd_stamp();
create trigger meshd_2_stamp before insert on meshd_events for each row execute function meshd_stamp();
