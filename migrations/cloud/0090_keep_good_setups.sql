-- What a router was configured with last and serves by: a later choice that fails, or a new command, does not take its
-- place.
alter table router_setups add column kept jsonb;
-- Row security would hide every row from a migration, which has no tenant.
alter table router_setups no force row level security;
update router_setups set kept = choice where stage = 'DONE' and choice ->> 'services' is not null;
-- Who has not chosen yet whether API, SNMP and CoA are closed goes on with what the first script did.
update router_setups set choice = choice || '{"firewall": true}' where stage in ('WAITING', 'FETCHED', 'CALLED');
alter table router_setups force row level security;
-- Who writes to a router at present, and until when he holds it unless he says so again.
alter table routers add column claimed_by text;
alter table routers add column claimed_until timestamptz;
