-- The directory: what must be known before a tenant is. Digests and ids only, no customer data and
-- therefore no row security; the only tables without it, all of them in this file.
--
-- Two roles exist before the first migration: the one that runs this file owns everything, and
-- `easyisp_app`, which owns nothing, cannot bypass row security and is what the server connects as.

create schema directory;
grant usage on schema directory to easyisp_app;

-- Every tenant there is, for work that walks all of them.
create table directory.tenants (
    tenant_id   uuid primary key,
    created_at  timestamptz not null
);

-- Who signs in with this e-mail address: SHA-256 of the address in lower case.
create table directory.logins (
    email_digest  bytea primary key check (length(email_digest) = 32),
    tenant_id     uuid not null references directory.tenants,
    operator_id   uuid not null unique
);

-- Whose bearer token is this: SHA-256 of the token.
create table directory.sessions (
    token_digest  bytea primary key check (length(token_digest) = 32),
    tenant_id     uuid not null references directory.tenants,
    operator_id   uuid not null,
    created_at    timestamptz not null,
    expires_at    timestamptz not null
);
create index on directory.sessions (operator_id);
create index on directory.sessions (expires_at);

-- The platform's own people. A right of its own, never an e-mail address or a role in a tenant.
create table directory.platform_operators (
    operator_id  uuid primary key references directory.logins (operator_id),
    created_at   timestamptz not null
);

-- One-time tokens with which an agent joins a site: SHA-256 of the token.
create table directory.join_tokens (
    token_digest  bytea primary key check (length(token_digest) = 32),
    tenant_id     uuid not null references directory.tenants,
    site_id       uuid not null,
    created_at    timestamptz not null,
    expires_at    timestamptz not null,
    used_at       timestamptz,
    agent_id      uuid,
    -- The agent whose place the box takes: it is revoked when the token is used.
    replaces      uuid
);
create index on directory.join_tokens (expires_at);

-- Which agent holds this certificate: SHA-256 of its DER form.
create table directory.certificates (
    fingerprint  bytea primary key check (length(fingerprint) = 32),
    tenant_id    uuid not null references directory.tenants,
    site_id      uuid not null,
    agent_id     uuid not null,
    issued_at    timestamptz not null,
    expires_at   timestamptz not null,
    revoked_at   timestamptz
);
create index on directory.certificates (agent_id);

-- Which gateway a payment provider's call belongs to: SHA-256 of the secret in its path.
create table directory.callback_tokens (
    token_digest  bytea primary key check (length(token_digest) = 32),
    tenant_id     uuid not null references directory.tenants,
    gateway_id    uuid not null,
    purpose       text not null check (purpose in ('stk', 'c2b'))
);
create index on directory.callback_tokens (gateway_id);

-- Account numbers are unique on the platform: a payer names one at any pay bill.
create table directory.account_numbers (
    number       integer primary key,
    tenant_id    uuid not null references directory.tenants,
    customer_id  uuid not null unique
);

-- A provider's receipt is credited once, whatever the channel, the order or the tenant.
create table directory.receipts (
    provider    text not null,
    receipt     text not null,
    tenant_id   uuid not null references directory.tenants,
    payment_id  uuid not null,
    primary key (provider, receipt)
);

-- Work that is due. A row is claimed by a lease; its fence grows with every claim, so that a holder
-- who slept past the lease notices at commit.
create table directory.jobs (
    tenant_id    uuid not null references directory.tenants,
    kind         text not null,
    subject      uuid not null,
    due_at       timestamptz not null,
    lease_owner  uuid,
    lease_until  timestamptz,
    fence        bigint not null default 0,
    attempts     integer not null default 0,
    last_error   text,
    primary key (tenant_id, kind, subject)
);
create index on directory.jobs (due_at);

-- The platform's certificate authority and epoch. The key is sealed under the master key. The epoch
-- changes when the database was restored from a backup, so that agents send again what was lost.
create table directory.authority (
    singleton       boolean primary key default true check (singleton),
    certificate     bytea not null,
    key_sealed      bytea not null,
    epoch           uuid not null,
    -- Which history of the database the epoch belongs to; another one means it was put back.
    birth           text not null default '',
    created_at      timestamptz not null
);

grant select, insert, update, delete on
    directory.logins, directory.sessions, directory.platform_operators, directory.join_tokens,
    directory.callback_tokens, directory.jobs
    to easyisp_app;
grant select, insert, update on
    directory.tenants, directory.certificates, directory.account_numbers, directory.authority
    to easyisp_app;
grant select, insert on directory.receipts to easyisp_app;
