-- "Who had this address then?", asked years later: sessions are found by what they used, and kept as long
-- as the tenant must or may. Those that are over longer than that are removed by a job, hence the grant.

alter table tenants
    add column session_retention_days integer not null default 730
        check (session_retention_days between 90 and 3650);

-- An address has few sessions before any moment; none of the columns changes with an interim update, so
-- these stay heap-only.
create index session_addresses on sessions (tenant_id, framed_ip, started_at desc) where framed_ip is not null;
create index session_devices on sessions (tenant_id, mac, started_at desc) where mac is not null;
create index session_ends on sessions (tenant_id, stopped_at) where status = 'COMPLETED';

grant delete on sessions to easyisp_app;
