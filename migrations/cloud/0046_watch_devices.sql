-- What devices say over SNMP. The table of single values was never written: a reading has some hundred
-- values, so one row holds all that was read of a device in a minute, an hour or a day.
drop table metrics;
create table metrics (
    tenant_id  uuid not null,
    router_id  uuid not null,
    -- seconds: how long a row is
    step       integer not null check (step in (60, 3600, 86400)),
    -- when it begins
    at         timestamptz not null,
    -- sums, least and most of each value, so that longer rows are made of shorter ones
    body       jsonb not null,
    primary key (tenant_id, router_id, step, at)
) partition by range (at);
-- What is old goes: by length, whosever it is.
create index on metrics (tenant_id, step, at);

alter table metrics enable row level security;
alter table metrics force row level security;
create policy tenant on metrics
    using (tenant_id = (select nullif(current_setting('app.tenant', true), '')::uuid));
grant select, insert, update, delete on metrics to easyisp_app;

-- Which routers are read, how, and what they said last.
create table monitored (
    tenant_id         uuid not null references tenants,
    router_id         uuid not null,
    -- 2 = SNMPv2c, 3 = SNMPv3
    version           smallint not null check (version in (2, 3)),
    port              integer not null check (port between 1 and 65535),
    interval_secs     integer not null check (interval_secs between 10 and 86400),
    community_sealed  bytea,
    username          text,
    auth_protocol     text check (auth_protocol in ('MD5', 'SHA1', 'SHA224', 'SHA256', 'SHA384', 'SHA512')),
    auth_sealed       bytea,
    privacy_protocol  text check (privacy_protocol in ('DES', 'AES')),
    privacy_sealed    bytea,
    created_at        timestamptz not null,
    updated_at        timestamptz not null,
    -- what an agent told last
    polled_at         timestamptz,
    problem           text,
    facts             jsonb,
    sample            jsonb,
    primary key (tenant_id, router_id),
    foreign key (tenant_id, router_id) references routers (tenant_id, id),
    check (version = 3 or community_sealed is not null),
    check (version = 2 or username is not null),
    check ((auth_protocol is null) = (auth_sealed is null)),
    check ((privacy_protocol is null) = (privacy_sealed is null)),
    check (privacy_protocol is null or auth_protocol is not null)
);

alter table monitored enable row level security;
alter table monitored force row level security;
create policy tenant on monitored
    using (tenant_id = (select nullif(current_setting('app.tenant', true), '')::uuid));
grant select, insert, update, delete on monitored to easyisp_app;
