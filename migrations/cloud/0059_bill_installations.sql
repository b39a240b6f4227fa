-- The fee that a new customer owes for his installation is an invoice, once for each customer, and revenue of its own.
alter table invoices
    -- the account of what was earned with it
    add column revenue text not null default '4020';
create unique index invoice_installation on invoices (tenant_id, customer_id) where revenue = '4010';
