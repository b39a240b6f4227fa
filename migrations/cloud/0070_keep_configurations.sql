-- How routers were configured, without a secret: a version for every change that was seen.
create table router_configurations (
    tenant_id   uuid not null references tenants,
    id          uuid not null,
    router_id   uuid not null,
    -- when the agent read it, and when the cloud had it
    taken_at    timestamptz not null,
    arrived_at  timestamptz not null,
    -- FIRST = there was none before, SEEN = somebody changed something, SETUP = the platform did, REQUEST = asked for
    reason      text not null check (reason in ('FIRST', 'SEEN', 'SETUP', 'REQUEST')),
    -- keyed by the site: another one where a secret differs too
    digest      bytea not null check (length(digest) = 32),
    body        text not null,
    lines       integer not null,
    -- lines that had no room
    left_out    integer not null,
    -- against the version before
    added       integer not null,
    removed     integer not null,
    primary key (tenant_id, id),
    foreign key (tenant_id, router_id) references routers (tenant_id, id)
);
create index router_configurations_of on router_configurations (tenant_id, router_id, taken_at desc, id desc);

alter table router_configurations enable row level security;
alter table router_configurations force row level security;
create policy tenant on router_configurations
    using (tenant_id = (select nullif(current_setting('app.tenant', true), '')::uuid));
grant select, insert, delete on router_configurations to easyisp_app;
