-- Prepaid sales: which taxes are in their prices, and a receipt for each, from the moment a tenant says so.

alter table tenants
    -- since when the taxes of `tax_tables` are in the price of a period; null = they are not
    add column prepaid_taxed_from timestamptz,
    -- since when each sale gets a receipt; null = none does
    add column prepaid_receipts_from timestamptz;

alter table periods
    -- what of the price is taxes, and which, as they were when it was sold: [{"name", "rate", "account", "amount"}]
    add column tax bigint not null default 0,
    add column taxes jsonb,
    -- what of these was given back with `taken_back`, and the entry that did so last
    add column tax_taken_back bigint not null default 0,
    add column reversal_id uuid,
    -- a receipt is issued for it
    add column receipted boolean not null default false,
    add constraint tax_of_period check (tax between 0 and price and tax_taken_back between 0 and tax
                                        and tax_taken_back <= taken_back);
grant update (tax_taken_back, reversal_id) on periods to easyisp_app;

-- The receipt of a sale is an invoice that was paid when it was issued. Its entry is that of the period, which booked
-- the sale: the receipt moves nothing.
alter table invoices
    add column period_id uuid,
    -- what of a receipt was given back by credit notes
    add column credited bigint not null default 0 check (credited between 0 and amount),
    drop constraint invoices_paid_by_check,
    add constraint invoices_paid_by_check
        check (paid_by in ('WALLET', 'CASH', 'BANK_TRANSFER', 'CARD', 'OTHER', 'VOUCHER')),
    add constraint receipts_are_paid check (period_id is null or status = 'PAID' and settlement_id = entry_id);
create unique index invoice_of_period on invoices (tenant_id, period_id) where period_id is not null;
grant update (credited) on invoices to easyisp_app;

-- A credit note takes a whole invoice back, or a part of a receipt: then amount, lines and taxes are its own.
alter table credit_notes
    add column amount bigint check (amount > 0),
    add column items jsonb,
    add column taxes jsonb,
    drop constraint credit_notes_tenant_id_invoice_id_key,
    add constraint note_of_a_part check ((amount is null) = (items is null) and (amount is null) = (taxes is null));
create index credit_notes_of on credit_notes (tenant_id, invoice_id);
create unique index note_of_the_whole on credit_notes (tenant_id, invoice_id) where amount is null;
