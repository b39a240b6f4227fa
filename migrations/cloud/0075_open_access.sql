-- Ways through a site's agent to one of its devices that somebody opened for a limited time: who, to what, why, how
-- long, and how much went through. The trail says the same; this is what is open, and the list of what was.
create table access_grants (
    tenant_id      uuid not null references tenants,
    id             uuid not null,
    site_id        uuid not null,
    agent_id       uuid not null,
    router_id      uuid,
    customer_id    uuid,
    -- what it is called, for people
    target_name    text not null,
    service        text not null,
    -- where the agent leads to
    address        text not null,
    port           integer not null check (port between 1 and 65535),
    reason         text not null,
    operator_id    uuid not null,
    operator_name  text not null,
    -- the only one that may use it
    from_address   text not null,
    opened_at      timestamptz not null,
    expires_at     timestamptz not null,
    closed_at      timestamptz,
    -- why it was closed
    closed_why     text,
    connections    bigint not null default 0,
    -- to the device and from it, bytes
    bytes_there    bigint not null default 0,
    bytes_back     bigint not null default 0,
    primary key (tenant_id, id),
    check ((router_id is null) <> (customer_id is null)),
    check ((closed_at is null) = (closed_why is null))
);
create index on access_grants (tenant_id, opened_at desc, id);

alter table access_grants enable row level security;
alter table access_grants force row level security;
create policy tenant on access_grants
    using (tenant_id = (select nullif(current_setting('app.tenant', true), '')::uuid));
grant select, insert, update, delete on access_grants to easyisp_app;
