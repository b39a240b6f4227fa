-- What a provider pays the platform ahead by phone: asked for at the platform's own short code.
create table topups (
    tenant_id            uuid not null references tenants,
    id                   uuid not null,
    amount               bigint not null check (amount > 0),
    phone                text not null,
    operator_id          uuid not null,
    state                text not null check (state in ('PENDING', 'DONE', 'FAILED', 'UNKNOWN')),
    checkout_request_id  text,
    message              text,
    created_at           timestamptz not null,
    ended_at             timestamptz,
    primary key (tenant_id, id)
);
create index on topups (tenant_id, created_at desc);
-- One prompt is open at a time.
create unique index topup_open on topups (tenant_id) where state = 'PENDING';

alter table topups enable row level security;
alter table topups force row level security;
create policy tenant on topups
    using (tenant_id = (select nullif(current_setting('app.tenant', true), '')::uuid));
grant select, insert, update on topups to easyisp_app;
