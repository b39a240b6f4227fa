-- Tenants and their people. From here on tenant_id leads every key, row security is forced, and a row
-- without the transaction's tenant is invisible.

create table tenants (
    tenant_id             uuid primary key references directory.tenants,
    slug                  text not null,
    business_name         text not null,
    email                 text not null,
    phone                 text,
    location              text,
    logo                  text,
    status                text not null check (status in ('TRIAL', 'ACTIVE', 'SUSPENDED', 'EXPIRED')),
    trial_ends_at         timestamptz,
    subscription_ends_at  timestamptz,
    time_zone             text not null,
    currency              text not null check (currency ~ '^[A-Z]{3}$'),
    -- what the tenant has paid the platform in advance
    platform_balance      bigint not null default 0,
    -- service after the paid end, and what happens to who may not be online
    grace_secs            integer not null default 0 check (grace_secs >= 0),
    enforcement           jsonb not null default '{}',
    -- hotspot devices that may log in by their hardware address, and how many are remembered a customer
    mac_login             boolean not null default false,
    remembered_macs       integer not null default 2 check (remembered_macs between 0 and 10),
    created_at            timestamptz not null,
    updated_at            timestamptz not null
);

-- The key under which a tenant's secrets are sealed, itself sealed under the master key.
create table tenant_keys (
    tenant_id   uuid not null references tenants,
    version     integer not null,
    key_sealed  bytea not null,
    created_at  timestamptz not null,
    primary key (tenant_id, version)
);

-- Unfiltered totals, kept by the writer: counting rows is what makes a list slow.
create table counts (
    tenant_id  uuid not null references tenants,
    what       text not null,
    n          bigint not null check (n >= 0),
    primary key (tenant_id, what)
);

create table operators (
    tenant_id            uuid not null references tenants,
    id                   uuid not null,
    email                text not null,
    name                 text not null,
    phone                text,
    role                 text not null check (role in
                         ('SUPER_ADMIN', 'ADMIN', 'CUSTOMER_CARE', 'FIELD_TECH', 'STAFF', 'VIEWER')),
    status               text not null check (status in ('ACTIVE', 'DISABLED', 'SUSPENDED')),
    password_hash        text not null,
    added_permissions    text[] not null default '{}',
    removed_permissions  text[] not null default '{}',
    profile_picture      text,
    created_at           timestamptz not null,
    updated_at           timestamptz not null,
    deleted_at           timestamptz,
    primary key (tenant_id, id)
);
create index on operators (tenant_id, created_at);

-- Who did what. Insert-only for the server; sealed into the tenant's chain.
create table audit (
    tenant_id    uuid not null references tenants,
    id           uuid not null,
    at           timestamptz not null,
    actor_kind   text not null check (actor_kind in ('OPERATOR', 'PLATFORM', 'AGENT', 'PROVIDER', 'SYSTEM')),
    actor_id     uuid,
    actor_name   text not null,
    action       text not null,
    target_type  text not null,
    target_id    uuid,
    target_name  text not null,
    details      text not null,
    before       jsonb,
    after        jsonb,
    ip_address   text,
    request_id   text,
    primary key (tenant_id, id)
);
create index on audit (tenant_id, actor_id, at desc);
create index on audit (tenant_id, target_id, at desc);

-- Answers already given to a request that carried an Idempotency-Key, sealed: they hold what was shown once.
create table idempotency_keys (
    tenant_id       uuid not null references tenants,
    operator_id     uuid not null,
    key             text not null check (length(key) between 1 and 200),
    request_digest  bytea not null,
    status          smallint,
    body            bytea,
    created_at      timestamptz not null,
    primary key (tenant_id, operator_id, key)
);
create index on idempotency_keys (tenant_id, created_at);
