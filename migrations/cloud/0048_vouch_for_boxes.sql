-- The certificates with which routers connect by RadSec, by their serial numbers: when they end, and when an
-- operator ended them before. Without a time of issue: made on the box itself, and heard of when it was ended here.
create table router_certificates (
    tenant_id  uuid not null references tenants,
    router_id  uuid not null,
    serial     text not null check (serial ~ '^[0-9a-f]{2,64}$'),
    issued_at  timestamptz,
    begins_at  timestamptz not null,
    ends_at    timestamptz not null,
    revoked_at timestamptz,
    -- whether every one that begins earlier ended with it, known here or not
    is_alone   boolean not null default false,
    primary key (tenant_id, router_id, serial),
    foreign key (tenant_id, router_id) references routers (tenant_id, id)
);

alter table router_certificates enable row level security;
alter table router_certificates force row level security;
create policy tenant on router_certificates
    using (tenant_id = (select nullif(current_setting('app.tenant', true), '')::uuid));
grant select, insert, update, delete on router_certificates to easyisp_app;

-- Whether a box that joins with a token waits until an operator confirms the key that it showed.
alter table tenants add column confirm_agents boolean not null default false;

-- Boxes that used a join token and wait. They have no certificate, and nothing of their site.
create table waiting_agents (
    tenant_id     uuid not null references tenants,
    -- what the agent will be called
    id            uuid not null,
    site_id       uuid not null,
    token_digest  bytea not null unique check (length(token_digest) = 32),
    -- SHA-256 of the public key that it showed: it joins with this one or not at all
    key_digest    bytea not null check (length(key_digest) = 32),
    host          text not null,
    version       text not null,
    -- the agent that ends in the moment this one joins
    replaces      uuid,
    asked_at      timestamptz not null,
    expires_at    timestamptz not null,
    confirmed_at  timestamptz,
    primary key (tenant_id, id),
    foreign key (tenant_id, site_id) references sites (tenant_id, id)
);
create index on waiting_agents (tenant_id, site_id);

alter table waiting_agents enable row level security;
alter table waiting_agents force row level security;
create policy tenant on waiting_agents
    using (tenant_id = (select nullif(current_setting('app.tenant', true), '')::uuid));
grant select, insert, update, delete on waiting_agents to easyisp_app;
