-- Whether an invoice is owed again because the money it was paid with was taken back, and not because an operator said
-- so: what of that money comes back, of a refund that failed, pays it again.
alter table invoice_reopenings add column taken_back boolean not null default false;
