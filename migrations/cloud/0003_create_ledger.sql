-- Money. An entry is a set of transfers posted together; a transfer moves an amount from a credit to a
-- debit account and so is balanced by construction. Nothing here is ever updated or deleted but the
-- wallet's balance and the list of what the sealer has still to do.

create table accounts (
    tenant_id    uuid not null references tenants,
    code         text not null check (code ~ '^[0-9]{4,8}$'),
    id           uuid not null,
    name         text not null,
    type         text not null check (type in ('Asset', 'Liability', 'Equity', 'Revenue', 'Expense')),
    is_system    boolean not null,
    description  text not null default '',
    created_at   timestamptz not null,
    primary key (tenant_id, code),
    unique (tenant_id, id)
);

create table entries (
    tenant_id    uuid not null references tenants,
    id           uuid not null,
    kind         text not null check (kind in
                 ('PAYMENT', 'PERIOD', 'RECHARGE', 'VOID', 'REVERSAL', 'INCOME', 'EXPENSE', 'FEE', 'ADJUSTMENT')),
    -- when the money moved, and when we wrote it
    occurred_at  timestamptz not null,
    posted_at    timestamptz not null,
    customer_id  uuid,
    -- what justifies the entry: one receipt, one voucher or one audited operator action
    source       text not null,
    description  text not null,
    primary key (tenant_id, id)
);
create index on entries (tenant_id, customer_id, posted_at desc);
create index on entries (tenant_id, occurred_at);

-- A party is the customer within a control account (the customers' wallets are one account).
create table transfers (
    tenant_id       uuid not null,
    entry_id        uuid not null,
    line            smallint not null,
    debit_account   text not null,
    debit_party     uuid,
    credit_account  text not null,
    credit_party    uuid,
    amount          bigint not null check (amount > 0),
    currency        text not null,
    primary key (tenant_id, entry_id, line),
    foreign key (tenant_id, entry_id) references entries (tenant_id, id),
    foreign key (tenant_id, debit_account) references accounts (tenant_id, code),
    foreign key (tenant_id, credit_account) references accounts (tenant_id, code),
    check (debit_account <> credit_account or debit_party is distinct from credit_party)
);
create index on transfers (tenant_id, debit_account, debit_party);
create index on transfers (tenant_id, credit_account, credit_party);

-- The one balance that has a limit, so the one that is kept. A reversal after the money was spent
-- lowers the floor first; spending never does.
create table wallets (
    tenant_id    uuid not null references tenants,
    customer_id  uuid not null,
    balance      bigint not null default 0,
    floor        bigint not null default 0 check (floor <= 0),
    updated_at   timestamptz not null,
    primary key (tenant_id, customer_id),
    constraint wallet_not_below_floor check (balance >= floor)
);

-- Committed and waiting for its number.
create table unsealed (
    tenant_id   uuid not null references tenants,
    kind        text not null check (kind in ('ENTRY', 'AUDIT')),
    subject_id  uuid not null,
    primary key (tenant_id, kind, subject_id)
);

-- Each row's digest covers the digest before it and the whole content of its entry or audit line.
create table chain (
    tenant_id   uuid not null references tenants,
    sequence    bigint not null check (sequence > 0),
    kind        text not null check (kind in ('ENTRY', 'AUDIT')),
    subject_id  uuid not null,
    digest      bytea not null check (length(digest) = 32),
    sealed_at   timestamptz not null,
    primary key (tenant_id, sequence),
    unique (tenant_id, kind, subject_id)
);

-- Sums of sealed transfers by day (of occurred_at, in the tenant's zone) and account.
create table day_totals (
    tenant_id  uuid not null references tenants,
    day        date not null,
    account    text not null,
    debits     bigint not null,
    credits    bigint not null,
    primary key (tenant_id, day, account)
);
