-- Time that was lost to outages, and what was given back for it.

create table outages (
    tenant_id    uuid not null references tenants,
    id           uuid not null,
    -- the first two are found; the last is what an operator gives to everybody behind a site or router
    cause        text not null check (cause in ('AGENT_SILENT', 'ROUTER_SILENT', 'EXTENSION')),
    site_id      uuid not null,
    -- null = the whole site
    router_id    uuid,
    began_at     timestamptz not null,
    ended_at     timestamptz,
    gift_secs    bigint check (gift_secs > 0),
    reason       text not null default '',
    -- whether those who get time are told
    tells        boolean not null default true,
    operator_id  uuid,
    -- who was looked at last; those behind him come next
    looked_to    uuid,
    -- everybody was looked at
    repaid_at    timestamptz,
    customers    integer not null default 0,
    created_at   timestamptz not null,
    primary key (tenant_id, id),
    foreign key (tenant_id, site_id) references sites (tenant_id, id),
    foreign key (tenant_id, router_id) references routers (tenant_id, id),
    constraint gift_is_given check ((cause = 'EXTENSION') = (gift_secs is not null)),
    constraint repaid_is_over check (repaid_at is null or ended_at is not null)
);
-- One that goes on is found once.
create unique index outage_open on outages (tenant_id, site_id, coalesce(router_id, site_id)) where ended_at is null;
create index on outages (tenant_id, began_at desc, id desc);

-- What each customer was given: once for an outage, and no stretch of time twice.
create table repayments (
    tenant_id     uuid not null,
    outage_id     uuid not null,
    customer_id   uuid not null,
    -- what he lost; null when it was given without a loss
    from_at       timestamptz,
    to_at         timestamptz,
    secs          bigint not null check (secs > 0),
    until_before  timestamptz not null,
    until_after   timestamptz not null,
    created_at    timestamptz not null,
    primary key (tenant_id, outage_id, customer_id),
    foreign key (tenant_id, outage_id) references outages (tenant_id, id),
    foreign key (tenant_id, customer_id) references customers (tenant_id, id),
    constraint stretch_whole check ((from_at is null) = (to_at is null) and from_at < to_at)
);
create index on repayments (tenant_id, customer_id, created_at desc);

-- When a tenant's sites were last looked at, and since when without a gap: while nobody looked, nobody can
-- say who was silent.
create table outage_watches (
    tenant_id  uuid primary key references tenants,
    looked_at  timestamptz not null,
    awake_from timestamptz not null
);

alter table outages enable row level security;
alter table outages force row level security;
create policy tenant on outages
    using (tenant_id = (select nullif(current_setting('app.tenant', true), '')::uuid));
alter table repayments enable row level security;
alter table repayments force row level security;
create policy tenant on repayments
    using (tenant_id = (select nullif(current_setting('app.tenant', true), '')::uuid));
alter table outage_watches enable row level security;
alter table outage_watches force row level security;
create policy tenant on outage_watches
    using (tenant_id = (select nullif(current_setting('app.tenant', true), '')::uuid));

grant select, insert, update on outages, outage_watches to easyisp_app;
-- What was given is not taken back.
grant select, insert on repayments to easyisp_app;
