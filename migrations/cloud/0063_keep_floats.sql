-- Sellers: operators who sell for the provider out of a float, which they pay for ahead or owe.

create table floats (
    tenant_id    uuid not null references tenants,
    operator_id  uuid not null,
    -- what he records is taken out of his float; else he is an operator like others
    active       boolean not null,
    -- what he may sell yet, and what of it he has not handed over
    balance      bigint not null default 0,
    owed         bigint not null default 0,
    since        timestamptz not null,
    updated_at   timestamptz not null,
    primary key (tenant_id, operator_id),
    constraint float_not_below_zero check (balance >= 0),
    constraint seller_owes_no_less check (owed >= 0)
);

create table float_moves (
    tenant_id    uuid not null references tenants,
    id           uuid not null,
    operator_id  uuid not null,
    kind         text not null check (kind in ('LOAD', 'HANDOVER', 'RETURN')),
    amount       bigint not null check (amount > 0),
    -- how the money came or went; null = none did: he owes it, or owes it no more
    method       text check (method in ('MPESA', 'CASH', 'BANK_TRANSFER', 'CARD', 'OTHER')),
    reference    text not null,
    entry_id     uuid not null,
    -- who wrote it down
    by_operator  uuid not null,
    at           timestamptz not null,
    primary key (tenant_id, id),
    unique (tenant_id, entry_id),
    constraint handed_over_is_money check (kind <> 'HANDOVER' or method is not null)
);

-- Out of whose float it was taken.
alter table payments add column seller_id uuid;
alter table voucher_batches add column seller_id uuid;

alter table entries drop constraint entries_kind_check;
alter table entries add constraint entries_kind_check check (kind in
    ('PAYMENT', 'PERIOD', 'RECHARGE', 'VOID', 'REVERSAL', 'INCOME', 'EXPENSE', 'FEE', 'ADJUSTMENT',
     'CORRECTION', 'INVOICE', 'SETTLEMENT', 'CREDIT_NOTE', 'REOPENING', 'REFUND', 'RELEASE', 'PAYOUT', 'FLOAT',
     'VOUCHER_SALE'));

alter table floats enable row level security;
alter table floats force row level security;
create policy tenant on floats
    using (tenant_id = (select nullif(current_setting('app.tenant', true), '')::uuid));
alter table float_moves enable row level security;
alter table float_moves force row level security;
create policy tenant on float_moves
    using (tenant_id = (select nullif(current_setting('app.tenant', true), '')::uuid));
grant select, insert, update on floats to easyisp_app;
grant select, insert on float_moves to easyisp_app;

-- The accounts on which they stand, for tenants who have their chart already. Row security is forced on the owner too,
-- so it stands aside for this one statement.
alter table accounts no force row level security;
alter table tenants no force row level security;
insert into accounts (tenant_id, code, id, name, type, is_system, created_at)
select t.tenant_id, a.code, md5(t.tenant_id::text || a.code)::uuid, a.name, a.type, true, t.created_at
  from tenants t
 cross join (values ('1110', 'Owed by sellers', 'Asset'),
                    ('2500', 'Seller floats', 'Liability')) as a (code, name, type)
    on conflict (tenant_id, code) do update set is_system = true;
alter table accounts force row level security;
alter table tenants force row level security;
