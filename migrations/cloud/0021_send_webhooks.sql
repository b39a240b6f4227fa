-- Addresses of tenants that are told what happens, and everything that was told or is to be.

create table webhooks (
    tenant_id               uuid not null references tenants,
    id                      uuid not null,
    url                     text not null check (length(url) <= 2048),
    description             text,
    events                  text[] not null,
    -- false: nothing is told. Whoever deletes one switches it off as well.
    enabled                 boolean not null,
    -- why it was switched off by itself; null = it was not
    off_reason              text,
    -- null once it is deleted
    secret_sealed           bytea,
    -- signs beside the other one until then
    previous_secret_sealed  bytea,
    previous_until          timestamptz,
    -- since when nothing has got through; null = the last delivery did
    failing_since           timestamptz,
    version                 bigint not null default 1,
    created_at              timestamptz not null,
    updated_at              timestamptz not null,
    deleted_at              timestamptz,
    primary key (tenant_id, id)
);

-- What is told to one address: the outbox and the log in one. `payload` holds the bytes that are sent, each
-- time the same.
create table webhook_deliveries (
    tenant_id        uuid not null references tenants,
    id               uuid not null,
    webhook_id       uuid not null,
    event_id         uuid not null,
    event            text not null,
    payload          text not null,
    state            text not null check (state in ('PENDING', 'DELIVERED', 'FAILED')),
    -- tries since it was written or replayed, and tries in all
    tries            integer not null default 0,
    attempts         integer not null default 0,
    last_status      integer,
    last_error       text,
    -- the beginning of the last answer
    last_response    text,
    last_attempt_at  timestamptz,
    -- null = it is not tried again
    next_attempt_at  timestamptz,
    delivered_at     timestamptz,
    created_at       timestamptz not null,
    primary key (tenant_id, id),
    foreign key (tenant_id, webhook_id) references webhooks (tenant_id, id)
);
create index on webhook_deliveries (tenant_id, webhook_id, created_at desc, id);
create index on webhook_deliveries (tenant_id, webhook_id, state, created_at desc, id);
create index on webhook_deliveries (tenant_id, created_at);

-- What nobody's transaction tells, because time alone brings it about: it is looked for as long as a webhook
-- wants it. What happened before `since` is not told.
create table webhook_watches (
    tenant_id  uuid not null references tenants,
    what       text not null check (what in ('EXPIRIES', 'ROUTERS')),
    since      timestamptz not null,
    primary key (tenant_id, what)
);

-- The end of a customer's time that was told last, so that it is told once.
create table told_expiries (
    tenant_id    uuid not null references tenants,
    customer_id  uuid not null,
    ended_at     timestamptz not null,
    primary key (tenant_id, customer_id),
    foreign key (tenant_id, customer_id) references customers (tenant_id, id)
);
create index on told_expiries (tenant_id, ended_at);

-- How a router was when it was told last.
create table told_routers (
    tenant_id  uuid not null references tenants,
    router_id  uuid not null,
    is_down    boolean not null,
    told_at    timestamptz not null,
    primary key (tenant_id, router_id),
    foreign key (tenant_id, router_id) references routers (tenant_id, id)
);

alter table webhooks enable row level security;
alter table webhooks force row level security;
create policy tenant on webhooks
    using (tenant_id = (select nullif(current_setting('app.tenant', true), '')::uuid));
alter table webhook_deliveries enable row level security;
alter table webhook_deliveries force row level security;
create policy tenant on webhook_deliveries
    using (tenant_id = (select nullif(current_setting('app.tenant', true), '')::uuid));
alter table webhook_watches enable row level security;
alter table webhook_watches force row level security;
create policy tenant on webhook_watches
    using (tenant_id = (select nullif(current_setting('app.tenant', true), '')::uuid));
alter table told_expiries enable row level security;
alter table told_expiries force row level security;
create policy tenant on told_expiries
    using (tenant_id = (select nullif(current_setting('app.tenant', true), '')::uuid));
alter table told_routers enable row level security;
alter table told_routers force row level security;
create policy tenant on told_routers
    using (tenant_id = (select nullif(current_setting('app.tenant', true), '')::uuid));

grant select, insert, update, delete on webhooks to easyisp_app;
grant select, insert, update, delete on webhook_deliveries to easyisp_app;
grant select, insert, delete on webhook_watches to easyisp_app;
grant select, insert, update, delete on told_expiries to easyisp_app;
grant select, insert, update, delete on told_routers to easyisp_app;
