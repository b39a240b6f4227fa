-- Money beside the customers' wallets: income and expenses typed by hand, expenses that come every month, and
-- days on which nothing is booked any more.

alter table entries drop constraint entries_kind_check;
alter table entries add constraint entries_kind_check check (kind in
    ('PAYMENT', 'PERIOD', 'RECHARGE', 'VOID', 'REVERSAL', 'INCOME', 'EXPENSE', 'FEE', 'ADJUSTMENT',
     'CORRECTION', 'INVOICE', 'SETTLEMENT', 'CREDIT_NOTE'));

-- Income that is no customer's payment. Texts stay here, where they can be blanked; the entry has none.
create table incomes (
    tenant_id      uuid not null references tenants,
    id             uuid not null,
    customer_name  text not null,
    description    text not null,
    amount         bigint not null check (amount > 0),
    method         text not null check (method in ('MPESA', 'CASH', 'BANK_TRANSFER', 'CARD', 'OTHER')),
    reference      text,
    account        text not null,
    -- as it was typed; the entry says on which day it was booked
    occurred_at    timestamptz not null,
    entry_id       uuid not null,
    reversal_id    uuid,
    operator_id    uuid not null,
    created_at     timestamptz not null,
    primary key (tenant_id, id),
    unique (tenant_id, entry_id),
    foreign key (tenant_id, account) references accounts (tenant_id, code),
    foreign key (tenant_id, entry_id) references entries (tenant_id, id),
    foreign key (tenant_id, reversal_id) references entries (tenant_id, id)
);
create index on incomes (tenant_id, occurred_at desc, id desc);
-- The list of income is the one of payments and of these, by when the money moved.
create index payments_by_day on payments (tenant_id, paid_at desc, id desc);

-- Expenses that come every month: what each month is booked from. Its id is the first expense's.
create table recurring_expenses (
    tenant_id    uuid not null references tenants,
    id           uuid not null,
    description  text not null,
    category     text not null,
    vendor       text not null,
    amount       bigint not null check (amount > 0),
    method       text not null check (method in ('MPESA', 'CASH', 'BANK_TRANSFER', 'CARD', 'OTHER')),
    notes        text not null,
    account      text not null,
    -- the day of the month that it returns to after shorter months
    anchor_day   smallint not null check (anchor_day between 1 and 31),
    -- the tenant's day on which the next one is booked
    next_on      date not null,
    -- null = it goes on
    ended_at     timestamptz,
    created_at   timestamptz not null,
    primary key (tenant_id, id),
    foreign key (tenant_id, account) references accounts (tenant_id, code)
);

create table expenses (
    tenant_id     uuid not null references tenants,
    id            uuid not null,
    description   text not null,
    category      text not null,
    vendor        text not null,
    amount        bigint not null check (amount > 0),
    method        text not null check (method in ('MPESA', 'CASH', 'BANK_TRANSFER', 'CARD', 'OTHER')),
    notes         text not null,
    account       text not null,
    occurred_at   timestamptz not null,
    -- the series it belongs to, and which month's it is
    recurring_id  uuid,
    due_on        date,
    entry_id      uuid not null,
    reversal_id   uuid,
    -- null = it was booked by itself
    operator_id   uuid,
    created_at    timestamptz not null,
    primary key (tenant_id, id),
    unique (tenant_id, entry_id),
    foreign key (tenant_id, account) references accounts (tenant_id, code),
    foreign key (tenant_id, recurring_id) references recurring_expenses (tenant_id, id),
    foreign key (tenant_id, entry_id) references entries (tenant_id, id),
    foreign key (tenant_id, reversal_id) references entries (tenant_id, id),
    check ((recurring_id is null) = (due_on is null))
);
create index on expenses (tenant_id, occurred_at desc, id desc);
-- A month is booked once, whoever does it.
create unique index expense_of_month on expenses (tenant_id, recurring_id, due_on) where recurring_id is not null;

-- Which days are closed: each row is a decision, the one with the highest number counts. Nothing is booked on a
-- moment before `open_from`; null = every day is open.
create table book_locks (
    tenant_id    uuid not null references tenants,
    number       integer not null,
    first_open   date,
    open_from    timestamptz,
    operator_id  uuid not null,
    set_at       timestamptz not null,
    primary key (tenant_id, number),
    check ((first_open is null) = (open_from is null))
);

-- From when a tenant's books are open. Every posting asks within its own statement. The shared lock makes a
-- decision wait for the postings that are under way; the row is read under it with a snapshot of its own, so
-- that a posting that waited for a decision obeys it. It is in memory alone: no row of the tenant is hot.
create function books_open_from(tenant uuid) returns timestamptz
language plpgsql volatile as $$
begin
    perform pg_advisory_xact_lock_shared(hashtextextended('books ' || tenant::text, 0));
    return (select l.open_from from book_locks l where l.tenant_id = tenant order by l.number desc limit 1);
end $$;

alter table incomes enable row level security;
alter table incomes force row level security;
create policy tenant on incomes
    using (tenant_id = (select nullif(current_setting('app.tenant', true), '')::uuid));
alter table recurring_expenses enable row level security;
alter table recurring_expenses force row level security;
create policy tenant on recurring_expenses
    using (tenant_id = (select nullif(current_setting('app.tenant', true), '')::uuid));
alter table expenses enable row level security;
alter table expenses force row level security;
create policy tenant on expenses
    using (tenant_id = (select nullif(current_setting('app.tenant', true), '')::uuid));
alter table book_locks enable row level security;
alter table book_locks force row level security;
create policy tenant on book_locks
    using (tenant_id = (select nullif(current_setting('app.tenant', true), '')::uuid));

-- Only what is decided later or may name somebody changes; amounts, accounts and days do not.
grant select, insert on incomes, expenses, recurring_expenses, book_locks to easyisp_app;
grant update (customer_name, description, reference, reversal_id) on incomes to easyisp_app;
grant update (description, vendor, notes, reversal_id) on expenses to easyisp_app;
grant update (description, vendor, notes, next_on, ended_at) on recurring_expenses to easyisp_app;
