-- An invoice of which a part was taken back counts as what is left of it, in every sum: whoever pays it pays no more.

alter table invoices
    -- what of `credited` are taxes
    add column credited_tax bigint not null default 0 check (credited_tax between 0 and credited);
grant update (credited_tax) on invoices to easyisp_app;

-- Row security is forced on the owner too, so it stands aside for what is here already.
alter table invoices no force row level security;
alter table credit_notes no force row level security;
alter table tenants no force row level security;
alter table untallied no force row level security;
update invoices i
   set credited_tax = n.tax
  from (select tenant_id, invoice_id, sum(taxes_of(taxes))::bigint as tax
          from credit_notes
         where amount is not null and taxes is not null
         group by tenant_id, invoice_id) n
 where n.tenant_id = i.tenant_id and n.invoice_id = i.id and n.tax <> 0;
-- What was counted too much.
insert into untallied (tenant_id, what, day, method, status, subject, n, amount)
select t.tenant_id, w.what, (w.at at time zone t.time_zone)::date, w.method, w.status,
       coalesce(w.subject, '00000000-0000-0000-0000-000000000000'), 0, -sum(w.amount)
  from invoices i
  join tenants t on t.tenant_id = i.tenant_id
 cross join lateral (values
        ('PACKAGE', i.status <> 'CANCELLED', i.issued_at, '', '', i.package_id, i.credited - i.credited_tax),
        ('ROUTER', i.status <> 'CANCELLED', i.issued_at, '', '', i.router_id, i.credited - i.credited_tax),
        ('SETTLED', i.status = 'PAID' and i.paid_by <> 'WALLET', i.paid_at, i.paid_by, 'completed', i.settled_by,
         i.credited))
         as w (what, counts, at, method, status, subject, amount)
 where i.period_id is null and i.credited > 0 and w.counts
 group by 1, 2, 3, 4, 5, 6;
alter table invoices force row level security;
alter table credit_notes force row level security;
alter table tenants force row level security;
alter table untallied force row level security;

create or replace function tally_invoice() returns trigger language plpgsql as $$
begin
    insert into untallied (tenant_id, what, day, method, status, subject, n, amount)
    select t.tenant_id, w.what, (w.at at time zone t.time_zone)::date, w.method, w.status,
           coalesce(w.subject, '00000000-0000-0000-0000-000000000000'), l.sign, l.sign * w.amount
      from (values (-1, old.issued_at, old.status, old.paid_at, old.paid_by, old.settled_by, old.package_id,
                    old.router_id, old.period_id, old.amount - old.credited, taxes_of(old.taxes) - old.credited_tax),
                   (1, new.issued_at, new.status, new.paid_at, new.paid_by, new.settled_by, new.package_id,
                    new.router_id, new.period_id, new.amount - new.credited, taxes_of(new.taxes) - new.credited_tax))
             as l (sign, issued_at, status, paid_at, paid_by, settled_by, package_id, router_id, period_id, amount,
                   taxes)
     cross join lateral (values
            ('BILLED', true, l.issued_at, case when l.period_id is null then 'INVOICE' else 'RECEIPT' end,
             l.status, null::uuid, l.amount),
            ('PACKAGE', l.period_id is null and l.status <> 'CANCELLED', l.issued_at, '', '', l.package_id,
             l.amount - l.taxes),
            ('ROUTER', l.period_id is null and l.status <> 'CANCELLED', l.issued_at, '', '', l.router_id,
             l.amount - l.taxes),
            ('SETTLED', l.period_id is null and l.status = 'PAID' and l.paid_by <> 'WALLET', l.paid_at, l.paid_by,
             'completed', l.settled_by, l.amount))
             as w (what, counts, at, method, status, subject, amount)
      join tenants t on t.tenant_id = new.tenant_id
     where l.issued_at is not null and w.counts;
    return null;
end $$;
drop trigger tally_changed on invoices;
create trigger tally_changed
    after update of issued_at, status, paid_at, paid_by, settled_by, package_id, router_id, period_id, amount,
                    credited, taxes, credited_tax on invoices
    for each row
    when ((old.issued_at, old.status, old.paid_at, old.paid_by, old.settled_by, old.package_id, old.router_id,
           old.period_id, old.amount, old.credited, old.taxes, old.credited_tax)
          is distinct from
          (new.issued_at, new.status, new.paid_at, new.paid_by, new.settled_by, new.package_id, new.router_id,
           new.period_id, new.amount, new.credited, new.taxes, new.credited_tax))
    execute function tally_invoice();
