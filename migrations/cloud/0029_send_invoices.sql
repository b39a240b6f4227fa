-- Invoices to customers: what they owe from the day it is issued, with taxes, until it is paid or taken back.

-- The accounts that invoices move, for tenants who have their chart already. Row security is forced on the owner
-- too, so it stands aside for this one statement.
alter table accounts no force row level security;
alter table tenants no force row level security;
insert into accounts (tenant_id, code, id, name, type, is_system, created_at)
select t.tenant_id, a.code, md5(t.tenant_id::text || a.code)::uuid, a.name, a.type, true, t.created_at
  from tenants t
 cross join (values ('1100', 'Receivables', 'Asset'),
                    ('2300', 'Taxes owed', 'Liability'),
                    ('4020', 'Invoiced services', 'Revenue')) as a (code, name, type)
    on conflict do nothing;
alter table accounts force row level security;
alter table tenants force row level security;

-- Taxes that prices include, in the order in which they are added, from a day on: the row with the latest day
-- that has come counts. `taxes` = [{"name", "rate" (hundredths of a percent), "account"}].
create table tax_tables (
    tenant_id    uuid not null references tenants,
    first_day    date not null,
    taxes        jsonb not null,
    operator_id  uuid not null,
    set_at       timestamptz not null,
    primary key (tenant_id, first_day)
);

-- The last number of a year. Its row is the last lock of who issues, so that no number is lost or given twice.
create table invoice_numbers (
    tenant_id  uuid not null references tenants,
    year       smallint not null,
    last       integer not null check (last > 0),
    primary key (tenant_id, year)
);

create table invoices (
    tenant_id       uuid not null references tenants,
    id              uuid not null,
    year            smallint not null,
    serial          integer not null,
    number          text not null,
    customer_id     uuid not null,
    amount          bigint not null check (amount > 0),
    status          text not null check (status in ('PENDING', 'PAID', 'CANCELLED')),
    due_at          timestamptz not null,
    -- when the tenant's day after the due one begins
    overdue_from    timestamptz not null,
    -- [{"description", "amount"}] and [{"name", "rate", "account", "amount"}], as they were when it was issued
    items           jsonb not null,
    taxes           jsonb not null,
    issued_at       timestamptz not null,
    entry_id        uuid not null,
    settlement_id   uuid,
    credit_note_id  uuid,
    -- 'WALLET' or how the money came
    paid_by         text check (paid_by in ('WALLET', 'CASH', 'BANK_TRANSFER', 'CARD', 'OTHER')),
    reference       text,
    paid_at         timestamptz,
    cancelled_at    timestamptz,
    operator_id     uuid not null,
    primary key (tenant_id, id),
    unique (tenant_id, year, serial),
    unique (tenant_id, number),
    unique (tenant_id, entry_id),
    foreign key (tenant_id, customer_id) references customers (tenant_id, id),
    foreign key (tenant_id, entry_id) references entries (tenant_id, id),
    foreign key (tenant_id, settlement_id) references entries (tenant_id, id),
    foreign key (tenant_id, credit_note_id) references entries (tenant_id, id),
    constraint invoice_paid check ((status = 'PAID') = (settlement_id is not null)
        and (status = 'PAID') = (paid_at is not null) and (status = 'PAID') = (paid_by is not null)),
    constraint invoice_cancelled check ((status = 'CANCELLED') = (credit_note_id is not null)
        and (status = 'CANCELLED') = (cancelled_at is not null))
);
create index on invoices (tenant_id, issued_at desc, serial desc);
create index on invoices (tenant_id, customer_id);
create index invoice_paid on invoices (tenant_id, paid_at desc, id desc) where status = 'PAID';

alter table tax_tables enable row level security;
alter table tax_tables force row level security;
create policy tenant on tax_tables
    using (tenant_id = (select nullif(current_setting('app.tenant', true), '')::uuid));
alter table invoice_numbers enable row level security;
alter table invoice_numbers force row level security;
create policy tenant on invoice_numbers
    using (tenant_id = (select nullif(current_setting('app.tenant', true), '')::uuid));
alter table invoices enable row level security;
alter table invoices force row level security;
create policy tenant on invoices
    using (tenant_id = (select nullif(current_setting('app.tenant', true), '')::uuid));

grant select, insert, update on tax_tables, invoice_numbers to easyisp_app;
-- What was issued stays as it was issued.
grant select, insert on invoices to easyisp_app;
grant update (status, items, settlement_id, credit_note_id, paid_by, reference, paid_at, cancelled_at) on invoices
    to easyisp_app;
