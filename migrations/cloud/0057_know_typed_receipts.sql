-- A receipt that somebody typed beside money he booked by hand, and that the provider tells of later, is not credited
-- by itself: a person looks first. What was typed is kept without case and spaces in columns of their own: under row
-- security an index on an expression is not used. What is blanked there is blanked here.

alter table payments
    -- a payment that came to a gateway was not typed
    add column typed_key text generated always as (
        case when gateway_id is null then left(nullif(upper(regexp_replace(account, '\s', '', 'g')), ''), 40) end) stored;
alter table incomes
    add column typed_key text generated always as (
        left(nullif(upper(regexp_replace(reference, '\s', '', 'g')), ''), 40)) stored;
alter table invoices
    add column typed_key text generated always as (
        left(nullif(upper(regexp_replace(reference, '\s', '', 'g')), ''), 40)) stored;
create index payment_typed on payments (tenant_id, typed_key) where typed_key is not null;
create index income_typed on incomes (tenant_id, typed_key) where typed_key is not null;
create index invoice_typed on invoices (tenant_id, typed_key) where typed_key is not null;

-- Beside which money that stands a receipt was typed: 'PAYMENT', 'INCOME' or 'INVOICE'; null = nobody typed it.
-- Who types a receipt and who books it by itself ask both, and the lock makes the second of them wait for the first
-- and see what it wrote: the rows are read under it with a snapshot of their own.
create function typed_by_hand(tenant uuid, receipt text) returns text
language plpgsql volatile as $$
declare
    key text := left(nullif(upper(regexp_replace(receipt, '\s', '', 'g')), ''), 40);
begin
    if key is null then
        return null;
    end if;
    perform pg_advisory_xact_lock(hashtextextended('receipt ' || tenant::text || ' ' || key, 0));
    return (select 'PAYMENT' from payments p
             where p.tenant_id = tenant and p.typed_key = key and p.status <> 'voided'
             union all
            select 'INCOME' from incomes i
             where i.tenant_id = tenant and i.typed_key = key and i.reversal_id is null
             union all
            select 'INVOICE' from invoices v
             where v.tenant_id = tenant and v.typed_key = key and v.status = 'PAID'
             limit 1);
end $$;
