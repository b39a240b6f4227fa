-- A gateway's days beside M-Pesa's statement: closed once they agree or each difference was explained.
create table statement_days (
    tenant_id        uuid not null references tenants,
    gateway_id       uuid not null,
    -- the tenant's day
    day              date not null,
    state            text not null check (state in ('OPEN', 'CLOSED')),
    -- what came on it: as the statement says, and as our payments say
    received         bigint not null,
    booked           bigint not null,
    -- the balance before its first row and after its last, where the statement tells
    opening_balance  bigint,
    closing_balance  bigint,
    compared_at      timestamptz not null,
    compared_by      uuid not null,
    closed_at        timestamptz,
    closed_by        uuid,
    reopened_at      timestamptz,
    reopened_by      uuid,
    reopen_reason    text,
    primary key (tenant_id, gateway_id, day),
    foreign key (tenant_id, gateway_id) references gateways (tenant_id, id),
    check ((state = 'CLOSED') = (closed_at is not null))
);
create index on statement_days (tenant_id, day desc);

create table statement_differences (
    tenant_id     uuid not null references tenants,
    gateway_id    uuid not null,
    day           date not null,
    -- the receipt; the payment's id where it has none; 'balance'
    reference     text not null,
    kind          text not null check (kind in ('MISSING', 'DIFFERS', 'EXTRA', 'BALANCE')),
    stated        bigint,
    booked        bigint,
    -- why it is in order, and who says so
    reason        text,
    explained_by  uuid,
    explained_at  timestamptz,
    primary key (tenant_id, gateway_id, day, reference),
    foreign key (tenant_id, gateway_id, day) references statement_days (tenant_id, gateway_id, day),
    check ((reason is null) = (explained_at is null))
);

alter table statement_days enable row level security;
alter table statement_days force row level security;
create policy tenant on statement_days
    using (tenant_id = (select nullif(current_setting('app.tenant', true), '')::uuid));
alter table statement_differences enable row level security;
alter table statement_differences force row level security;
create policy tenant on statement_differences
    using (tenant_id = (select nullif(current_setting('app.tenant', true), '')::uuid));
grant select, insert, update on statement_days to easyisp_app;
grant select, insert, update, delete on statement_differences to easyisp_app;
