-- Invoices and credit notes as a state's own system must hear of them, each once.

create table fiscal_settings (
    tenant_id        uuid primary key references tenants,
    provider         text not null check (provider in ('KE_ETIMS')),
    enabled          boolean not null,
    production       boolean not null,
    taxpayer         text not null,
    branch           text not null,
    control_unit     text not null,
    -- sealed under the tenant's key
    key_sealed       bytea not null,
    item_code        text not null,
    item_class       text not null,
    -- which of the tenant's taxes is value added tax
    vat_name         text not null,
    -- the last documents that were taken in: what comes behind them is to be reported
    invoice_year     smallint not null,
    invoice_serial   integer not null,
    note_year        smallint not null,
    note_serial      integer not null,
    -- the last number that was given
    last_serial      bigint not null default 0,
    updated_at       timestamptz not null
);

create table fiscal_documents (
    tenant_id        uuid not null references tenants,
    -- the invoice's, or the credit note's
    document_id      uuid not null,
    kind             text not null check (kind in ('INVOICE', 'CREDIT_NOTE')),
    -- by which it is known there, for good: one after the other, and the same in every try
    serial           bigint not null,
    number           text not null,
    -- the one that it takes back; no foreign key, so that a purged tenant's rows go in any order
    original_serial  bigint,
    -- UNKNOWN: a try began or went unanswered; ACCEPTED: it is there, its signature did not reach us
    state            text not null check (state in ('WAITING', 'UNKNOWN', 'SIGNED', 'ACCEPTED', 'REFUSED')),
    attempts         integer not null default 0,
    due_at           timestamptz not null,
    problem          text,
    issued_at        timestamptz not null,
    settled_at       timestamptz,
    primary key (tenant_id, document_id),
    unique (tenant_id, serial),
    constraint notes_take_back check ((kind = 'CREDIT_NOTE') = (original_serial is not null))
);
create index fiscal_open on fiscal_documents (tenant_id, serial) where state in ('WAITING', 'UNKNOWN');
create index on fiscal_documents (tenant_id, issued_at);

alter table fiscal_settings enable row level security;
alter table fiscal_settings force row level security;
create policy tenant on fiscal_settings
    using (tenant_id = (select nullif(current_setting('app.tenant', true), '')::uuid));
alter table fiscal_documents enable row level security;
alter table fiscal_documents force row level security;
create policy tenant on fiscal_documents
    using (tenant_id = (select nullif(current_setting('app.tenant', true), '')::uuid));

grant select, insert, update on fiscal_settings, fiscal_documents to easyisp_app;
