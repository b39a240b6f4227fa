-- What a person should know of devices: rules that a provider changed, how each device stands, and what was said of it.
create table alert_rules (
    tenant_id   uuid not null references tenants,
    rule        text not null check (rule in ('SITE_DOWN', 'ROUTER_DOWN', 'LINK_DOWN', 'TEMPERATURE', 'VOLTAGE',
                                              'CPU', 'MEMORY', 'DISK', 'POOL')),
    -- the whole of it, as the API shows it; no row = as usual
    body        jsonb not null,
    updated_at  timestamptz not null,
    primary key (tenant_id, rule)
);

-- Who is told, and since when somebody looks.
create table alert_settings (
    tenant_id   uuid not null references tenants,
    -- null = the owners
    operators   uuid[],
    sms         text not null check (sms in ('critical', 'warning', 'info', 'off')),
    email       text not null check (email in ('critical', 'warning', 'info', 'off')),
    primary key (tenant_id)
);
create table alert_looks (
    tenant_id   uuid not null references tenants,
    looked_at   timestamptz not null,
    awake_from  timestamptz not null,
    primary key (tenant_id)
);

-- How every rule stands at a site or a router, by rule and what of it.
create table alert_states (
    tenant_id   uuid not null references tenants,
    target_id   uuid not null,
    body        jsonb not null,
    primary key (tenant_id, target_id)
);

create table alerts (
    tenant_id        uuid not null references tenants,
    id               uuid not null,
    rule             text not null,
    severity         text not null check (severity in ('critical', 'warning', 'info')),
    site_id          uuid not null,
    -- null = the whole site
    router_id        uuid,
    device           text not null,
    -- an interface, a sensor, a pool; empty = the device itself
    subject          text not null,
    value            double precision,
    message          text not null,
    raised_at        timestamptz not null,
    cleared_at       timestamptz,
    -- how often it came back before it was over for good
    flaps            integer not null default 0,
    acknowledged_at  timestamptz,
    acknowledged_by  uuid,
    note             text,
    primary key (tenant_id, id),
    foreign key (tenant_id, site_id) references sites (tenant_id, id)
);
create index alerts_open on alerts (tenant_id, raised_at desc) where cleared_at is null;
create index on alerts (tenant_id, raised_at desc);

alter table alert_rules enable row level security;
alter table alert_rules force row level security;
create policy tenant on alert_rules
    using (tenant_id = (select nullif(current_setting('app.tenant', true), '')::uuid));
alter table alert_settings enable row level security;
alter table alert_settings force row level security;
create policy tenant on alert_settings
    using (tenant_id = (select nullif(current_setting('app.tenant', true), '')::uuid));
alter table alert_looks enable row level security;
alter table alert_looks force row level security;
create policy tenant on alert_looks
    using (tenant_id = (select nullif(current_setting('app.tenant', true), '')::uuid));
alter table alert_states enable row level security;
alter table alert_states force row level security;
create policy tenant on alert_states
    using (tenant_id = (select nullif(current_setting('app.tenant', true), '')::uuid));
alter table alerts enable row level security;
alter table alerts force row level security;
create policy tenant on alerts
    using (tenant_id = (select nullif(current_setting('app.tenant', true), '')::uuid));
grant select, insert, update, delete on alert_rules, alert_settings, alert_looks, alert_states, alerts
    to easyisp_app;

-- Whoever is there already is looked after from now on.
insert into directory.jobs (tenant_id, kind, subject, due_at)
select tenant_id, 'tenants.alert', tenant_id, created_at
  from directory.tenants
 where purged_at is null
    on conflict do nothing;
