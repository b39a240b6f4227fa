-- A receipt is the short code's that received it. Who claims one and cannot prove that it is his - he typed it, or
-- somebody told of it whom nobody vouches for - keeps it from nobody but himself.

alter table directory.receipts
    -- environment and number of the short code where the provider says the money came to; null = nobody proved it
    add column shortcode text;
alter table directory.receipts drop constraint receipts_pkey;
-- Within a tenant a receipt is credited once, whatever the short code.
alter table directory.receipts add constraint receipts_pkey primary key (provider, tenant_id, receipt);
create unique index receipt_at_shortcode on directory.receipts (provider, shortcode, receipt)
    where shortcode is not null;
-- What was proved later, and what was held on nobody's word until the provider said something else.
grant update (shortcode), delete on directory.receipts to easyisp_app;

-- An invoice whose payment was taken back is owed again. Its settlement stays, and so does what took it back.
alter table entries drop constraint entries_kind_check;
alter table entries add constraint entries_kind_check check (kind in
    ('PAYMENT', 'PERIOD', 'RECHARGE', 'VOID', 'REVERSAL', 'INCOME', 'EXPENSE', 'FEE', 'ADJUSTMENT',
     'CORRECTION', 'INVOICE', 'SETTLEMENT', 'CREDIT_NOTE', 'REOPENING'));

create table invoice_reopenings (
    tenant_id      uuid not null references tenants,
    invoice_id     uuid not null,
    settlement_id  uuid not null,
    reversal_id    uuid not null,
    -- how it had been paid, and when
    paid_by        text not null,
    paid_at        timestamptz not null,
    reopened_at    timestamptz not null,
    primary key (tenant_id, settlement_id),
    foreign key (tenant_id, invoice_id) references invoices (tenant_id, id),
    foreign key (tenant_id, settlement_id) references entries (tenant_id, id),
    foreign key (tenant_id, reversal_id) references entries (tenant_id, id)
);
create index on invoice_reopenings (tenant_id, invoice_id);
alter table invoice_reopenings enable row level security;
alter table invoice_reopenings force row level security;
create policy tenant on invoice_reopenings
    using (tenant_id = (select nullif(current_setting('app.tenant', true), '')::uuid));
grant select, insert on invoice_reopenings to easyisp_app;
create index invoice_of_wallet on invoices (tenant_id, customer_id, paid_at desc) where paid_by = 'WALLET';

-- Who was erased while a file waits that may name him: SHA-256 of the import's id and his user name, for as long as
-- it waits. He is not made again by it.
alter table imports add column forgotten bytea[] not null default '{}';
