-- Keys with which programs call the API in an operator's name, with a part of his permissions.

-- Whose key is this: SHA-256 of the key. A directory table as those of 0001, and for their reason.
create table directory.api_keys (
    key_digest  bytea primary key check (length(key_digest) = 32),
    tenant_id   uuid not null references directory.tenants,
    key_id      uuid not null unique
);
grant select, insert, delete on directory.api_keys to easyisp_app;

create table api_keys (
    tenant_id    uuid not null references tenants,
    id           uuid not null,
    -- in whose name, and never with more than he may
    operator_id  uuid not null,
    name         text not null,
    -- the first characters, by which people know it again
    prefix       text not null,
    permissions  text[] not null,
    created_at   timestamptz not null,
    expires_at   timestamptz not null,
    used_at      timestamptz,
    revoked_at   timestamptz,
    primary key (tenant_id, id),
    foreign key (tenant_id, operator_id) references operators (tenant_id, id)
);

alter table api_keys enable row level security;
alter table api_keys force row level security;
create policy tenant on api_keys
    using (tenant_id = (select nullif(current_setting('app.tenant', true), '')::uuid));
grant select, insert, update on api_keys to easyisp_app;
