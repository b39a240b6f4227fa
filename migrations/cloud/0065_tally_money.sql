-- What lists and reports sum over years of payments, kept by day. Nothing is added to a sum where money moves, as all
-- payments of a day would wait for one row there: each change leaves a difference in `untallied`, in its own
-- transaction, by the database itself, so that no writer can forget it; the sealer adds differences up. Who reads takes
-- both in one statement and is exact at every moment.

alter table invoices
    -- where and on which package its customer was when it was issued; no package for what is no month of service
    add column package_id uuid,
    add column router_id uuid,
    -- who took the money, where none went through a wallet
    add column settled_by uuid;
grant update (settled_by) on invoices to easyisp_app;

create table tallies (
    tenant_id  uuid not null references tenants,
    -- PAYMENT: payments, when the money moved, by method, status and who wrote them down, less what was sent back
    -- INCOME: what was typed by hand, when the money moved, by method and status
    -- SETTLED: invoices paid without a wallet, when they were, by method and who took the money
    -- BILLED: invoices and receipts, when they were issued, by status, less what was credited
    -- PACKAGE, ROUTER: periods and invoices, when they were sold or issued, without taxes, less what was taken back
    -- INTENT: prompts, when they were begun, by what became of them
    what       text not null check (what in ('PAYMENT', 'INCOME', 'SETTLED', 'BILLED', 'PACKAGE', 'ROUTER', 'INTENT')),
    -- the tenant's
    day        date not null,
    method     text not null,
    status     text not null,
    -- operator, package or router; zeros = none
    subject    uuid not null,
    n          bigint not null,
    amount     bigint not null,
    primary key (tenant_id, what, day, method, status, subject)
) with (fillfactor = 60);

create table untallied (
    tenant_id  uuid not null references tenants,
    id         bigint generated always as identity,
    what       text not null,
    day        date not null,
    method     text not null,
    status     text not null,
    subject    uuid not null,
    n          bigint not null,
    amount     bigint not null,
    primary key (tenant_id, id)
);

alter table tallies enable row level security;
alter table tallies force row level security;
create policy tenant on tallies
    using (tenant_id = (select nullif(current_setting('app.tenant', true), '')::uuid));
alter table untallied enable row level security;
alter table untallied force row level security;
create policy tenant on untallied
    using (tenant_id = (select nullif(current_setting('app.tenant', true), '')::uuid));
grant select, insert, update on tallies to easyisp_app;
grant select, insert, delete on untallied to easyisp_app;

-- What of an invoice are taxes.
create function taxes_of(taxes jsonb) returns bigint
language sql immutable parallel safe as $$
    select coalesce(sum((t ->> 'amount')::numeric * 100), 0)::bigint from jsonb_array_elements(taxes) as t
$$;

create function tally_payment() returns trigger language plpgsql as $$
begin
    insert into untallied (tenant_id, what, day, method, status, subject, n, amount)
    select t.tenant_id, 'PAYMENT', (l.at at time zone t.time_zone)::date, l.method, l.status,
           coalesce(l.subject, '00000000-0000-0000-0000-000000000000'), l.sign, l.sign * l.amount
      from (values (-1, old.paid_at, old.method, old.status, old.operator_id, old.amount - old.refunded),
                   (1, new.paid_at, new.method, new.status, new.operator_id, new.amount - new.refunded))
             as l (sign, at, method, status, subject, amount)
      join tenants t on t.tenant_id = new.tenant_id
     where l.at is not null;
    return null;
end $$;
create trigger tally_new after insert on payments
    for each row execute function tally_payment();
create trigger tally_changed after update of paid_at, method, status, operator_id, amount, refunded on payments
    for each row
    when ((old.paid_at, old.method, old.status, old.operator_id, old.amount, old.refunded)
          is distinct from
          (new.paid_at, new.method, new.status, new.operator_id, new.amount, new.refunded))
    execute function tally_payment();

create function tally_income() returns trigger language plpgsql as $$
begin
    insert into untallied (tenant_id, what, day, method, status, subject, n, amount)
    select t.tenant_id, 'INCOME', (l.at at time zone t.time_zone)::date, l.method,
           case when l.reversal is null then 'completed' else 'voided' end,
           '00000000-0000-0000-0000-000000000000', l.sign, l.sign * l.amount
      from (values (-1, old.occurred_at, old.method, old.reversal_id, old.amount),
                   (1, new.occurred_at, new.method, new.reversal_id, new.amount))
             as l (sign, at, method, reversal, amount)
      join tenants t on t.tenant_id = new.tenant_id
     where l.at is not null;
    return null;
end $$;
create trigger tally_new after insert on incomes
    for each row execute function tally_income();
create trigger tally_changed after update of occurred_at, method, reversal_id, amount on incomes
    for each row
    when ((old.occurred_at, old.method, old.reversal_id, old.amount)
          is distinct from (new.occurred_at, new.method, new.reversal_id, new.amount))
    execute function tally_income();

create function tally_period() returns trigger language plpgsql as $$
begin
    insert into untallied (tenant_id, what, day, method, status, subject, n, amount)
    select t.tenant_id, w.what, (l.at at time zone t.time_zone)::date, '', '',
           coalesce(w.subject, '00000000-0000-0000-0000-000000000000'), l.sign, l.sign * l.amount
      from (values (-1, old.created_at, old.package_id, old.router_id,
                    old.price - old.taken_back - (old.tax - old.tax_taken_back)),
                   (1, new.created_at, new.package_id, new.router_id,
                    new.price - new.taken_back - (new.tax - new.tax_taken_back)))
             as l (sign, at, package_id, router_id, amount)
     cross join lateral (values ('PACKAGE', l.package_id), ('ROUTER', l.router_id)) as w (what, subject)
      join tenants t on t.tenant_id = new.tenant_id
     where l.at is not null;
    return null;
end $$;
create trigger tally_new after insert on periods
    for each row execute function tally_period();
create trigger tally_changed
    after update of created_at, package_id, router_id, price, taken_back, tax, tax_taken_back on periods
    for each row
    when ((old.created_at, old.package_id, old.router_id, old.price, old.taken_back, old.tax, old.tax_taken_back)
          is distinct from
          (new.created_at, new.package_id, new.router_id, new.price, new.taken_back, new.tax, new.tax_taken_back))
    execute function tally_period();

-- The receipt of a period is on the list of invoices and nowhere else: its period is tallied.
create function tally_invoice() returns trigger language plpgsql as $$
begin
    insert into untallied (tenant_id, what, day, method, status, subject, n, amount)
    select t.tenant_id, w.what, (w.at at time zone t.time_zone)::date, w.method, w.status,
           coalesce(w.subject, '00000000-0000-0000-0000-000000000000'), l.sign, l.sign * w.amount
      from (values (-1, old.issued_at, old.status, old.paid_at, old.paid_by, old.settled_by, old.package_id,
                    old.router_id, old.period_id, old.amount, old.credited, taxes_of(old.taxes)),
                   (1, new.issued_at, new.status, new.paid_at, new.paid_by, new.settled_by, new.package_id,
                    new.router_id, new.period_id, new.amount, new.credited, taxes_of(new.taxes)))
             as l (sign, issued_at, status, paid_at, paid_by, settled_by, package_id, router_id, period_id, amount,
                   credited, taxes)
     cross join lateral (values
            ('BILLED', true, l.issued_at, case when l.period_id is null then 'INVOICE' else 'RECEIPT' end,
             l.status, null::uuid, l.amount - l.credited),
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
create trigger tally_new after insert on invoices
    for each row execute function tally_invoice();
create trigger tally_changed
    after update of issued_at, status, paid_at, paid_by, settled_by, package_id, router_id, period_id, amount,
                    credited, taxes on invoices
    for each row
    when ((old.issued_at, old.status, old.paid_at, old.paid_by, old.settled_by, old.package_id, old.router_id,
           old.period_id, old.amount, old.credited, old.taxes)
          is distinct from
          (new.issued_at, new.status, new.paid_at, new.paid_by, new.settled_by, new.package_id, new.router_id,
           new.period_id, new.amount, new.credited, new.taxes))
    execute function tally_invoice();

-- The list of what was taken back: few among many.
create index payment_undone on payments (tenant_id, created_at, id) where status <> 'completed';

create function outcome_of(state text) returns text
language sql immutable parallel safe as $$
    select case when state in ('PROVISIONAL', 'POSTED') then 'paid'
                when state in ('CREATED', 'PENDING', 'UNKNOWN') then 'pending'
                else 'failed' end
$$;

create function tally_intent() returns trigger language plpgsql as $$
begin
    insert into untallied (tenant_id, what, day, method, status, subject, n, amount)
    select t.tenant_id, 'INTENT', (l.at at time zone t.time_zone)::date, '', outcome_of(l.state),
           '00000000-0000-0000-0000-000000000000', l.sign, 0
      from (values (-1, old.created_at, old.state), (1, new.created_at, new.state)) as l (sign, at, state)
      join tenants t on t.tenant_id = new.tenant_id
     where l.at is not null;
    return null;
end $$;
create trigger tally_new after insert on intents
    for each row execute function tally_intent();
create trigger tally_changed after update of created_at, state on intents
    for each row
    when ((old.created_at, outcome_of(old.state)) is distinct from (new.created_at, outcome_of(new.state)))
    execute function tally_intent();

-- What is here already. Row security is forced on the owner too, so it stands aside for this.
alter table payments no force row level security;
alter table incomes no force row level security;
alter table periods no force row level security;
alter table invoices no force row level security;
alter table intents no force row level security;
alter table customers no force row level security;
alter table tenants no force row level security;
alter table tallies no force row level security;
alter table untallied no force row level security;
-- Where and on what their customers are today; what that tallies is counted below.
update invoices i
   set router_id = c.router_id, package_id = case when i.period_from is not null then c.package_id end
  from customers c
 where c.tenant_id = i.tenant_id and c.id = i.customer_id and i.period_id is null;
delete from untallied;
insert into tallies (tenant_id, what, day, method, status, subject, n, amount)
select t.tenant_id, l.what, (l.at at time zone t.time_zone)::date, l.method, l.status,
       coalesce(l.subject, '00000000-0000-0000-0000-000000000000'), count(*), sum(l.amount)
  from (select tenant_id, 'PAYMENT' as what, paid_at as at, method, status, operator_id as subject,
               amount - refunded as amount
          from payments
         union all
        select tenant_id, 'INCOME', occurred_at, method,
               case when reversal_id is null then 'completed' else 'voided' end, null, amount
          from incomes
         union all
        select tenant_id, 'PACKAGE', created_at, '', '', package_id, price - taken_back - (tax - tax_taken_back)
          from periods
         union all
        select tenant_id, 'ROUTER', created_at, '', '', router_id, price - taken_back - (tax - tax_taken_back)
          from periods
         union all
        select tenant_id, 'BILLED', issued_at, case when period_id is null then 'INVOICE' else 'RECEIPT' end, status,
               null, amount - credited
          from invoices
         union all
        select tenant_id, 'PACKAGE', issued_at, '', '', package_id, amount - taxes_of(taxes)
          from invoices where period_id is null and status <> 'CANCELLED'
         union all
        select tenant_id, 'ROUTER', issued_at, '', '', router_id, amount - taxes_of(taxes)
          from invoices where period_id is null and status <> 'CANCELLED'
         union all
        select tenant_id, 'SETTLED', paid_at, paid_by, 'completed', settled_by, amount
          from invoices where period_id is null and status = 'PAID' and paid_by <> 'WALLET'
         union all
        select tenant_id, 'INTENT', created_at, '', outcome_of(state), null, 0
          from intents) l
  join tenants t on t.tenant_id = l.tenant_id
 group by 1, 2, 3, 4, 5, 6;
alter table payments force row level security;
alter table incomes force row level security;
alter table periods force row level security;
alter table invoices force row level security;
alter table intents force row level security;
alter table customers force row level security;
alter table tenants force row level security;
alter table tallies force row level security;
alter table untallied force row level security;
