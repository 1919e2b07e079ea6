-- For dashboards. security_invoker: a view shows what its reader may see of the tables, no more.

create function meshd_silence() returns interval
language sql immutable
as $$
  select interval '90 seconds'
$$;

comment on function meshd_silence() is 'a node that was not heard for so long counts as away; replace it to change that';

create view meshd_node_status with (security_invoker = true) as
select
  node,
  case
    when now() - received_at > meshd_silence() then 'away'
    when state = 'down' then 'down'
    else 'up'
  end as status,
  now() - received_at as silent_for,
  received_at, at, boot_id, version, protocol, started_at, uptime_s, slot_names, slot_counts, load, urls
from meshd_nodes;

comment on view meshd_node_status is 'every node; up: heard lately, by this database''s clock; down: it said so; away: silent';

create view meshd_slot_status with (security_invoker = true) as
select
  s.slot || '@' || s.node as address,
  s.node, s.slot, s.kind, s.labels, s.status, s.activity, s.activity_since, s.activity_until, s.confidence, s.evidence,
  s.dialog, s.title, s.pid, s.restarts, s.queue, s.agent_version, s.error, s.config, s.at, s.received_at,
  coalesce(n.status, 'away') as node_status
from meshd_slots s
left join meshd_node_status n on n.node = s.node
where not s.removed;

comment on view meshd_slot_status is 'every slot that still exists, with its node''s status: what it says is old unless that is up';

create view meshd_waiting with (security_invoker = true) as
select address, node, slot, kind, dialog ->> 'kind' as dialog_kind, dialog ->> 'question' as question,
  dialog ->> 'command' as command, (dialog ->> 'opened_at')::timestamptz as opened_at
from meshd_slot_status
where activity = 'waiting' and node_status = 'up';

comment on view meshd_waiting is 'agents that wait for a person now';

create view meshd_prompts with (security_invoker = true) as
select distinct on (data ->> 'receipt')
  data ->> 'receipt' as receipt, node, slot, data ->> 'stage' as stage, data -> 'stages' as stages,
  (data ->> 'reply_chars')::bigint as reply_chars, data -> 'error' ->> 'code' as error, at, received_at
from meshd_events
where type = 'inject'
order by data ->> 'receipt', boot_id desc, seq desc;

comment on view meshd_prompts is 'the last that is known of each prompt';

create view meshd_exits with (security_invoker = true) as
select node, slot, (data -> 'exit' ->> 'at')::timestamptz as exited_at, (data -> 'exit' ->> 'code')::integer as code,
  data -> 'exit' ->> 'signal' as signal, (data -> 'exit' ->> 'known')::boolean as known, received_at
from meshd_events
where type = 'exit';

comment on view meshd_exits is 'ends of agents'' processes';

revoke all on meshd_node_status, meshd_slot_status, meshd_waiting, meshd_prompts, meshd_exits
  from public, anon, authenticated;
grant select on meshd_node_status, meshd_slot_status, meshd_waiting, meshd_prompts, meshd_exits to authenticated;
