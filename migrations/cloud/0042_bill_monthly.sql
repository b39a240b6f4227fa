-- Customers who are billed afterwards, once a month, and invoices that were taken back as documents of their own.

-- When and how a tenant bills them; see `billing::Billing`.
alter table tenants add column billing jsonb not null default '{}';
-- Who is billed buys nothing from his wallet: his invoices are paid out of it.
alter table customers add column postpaid boolean not null default false;

create table billed_customers (
    tenant_id    uuid not null,
    customer_id  uuid not null,
    -- days of the tenant: the first one that is billed, the first one that is not any more, and what was billed
    since        date not null,
    until        date,
    billed_to    date not null,
    primary key (tenant_id, customer_id),
    foreign key (tenant_id, customer_id) references customers (tenant_id, id),
    constraint until_is_later check (until >= since)
);

-- What he had from which day on, at which price.
create table billed_plans (
    tenant_id     uuid not null,
    customer_id   uuid not null,
    from_day      date not null,
    -- null while he is paused, or on no package
    package_id    uuid,
    name          text not null,
    price         bigint not null check (price >= 0),
    period_count  integer not null check (period_count > 0),
    period_unit   text not null check (period_unit in ('MINUTES', 'HOURS', 'DAYS', 'WEEKS', 'MONTHS')),
    primary key (tenant_id, customer_id, from_day),
    foreign key (tenant_id, customer_id) references billed_customers (tenant_id, customer_id)
);

alter table invoices
    -- nobody, when the month did it
    alter column operator_id drop not null,
    -- the first day it bills, where it is a month's; each day once
    add column period_from date,
    -- who was told that it is overdue
    add column reminded_at timestamptz,
    -- what the state's system answered to it; see `invoices::FiscalReceipt`
    add column fiscal jsonb;
create unique index invoice_period on invoices (tenant_id, customer_id, period_from) where period_from is not null;
create index invoice_open on invoices (tenant_id, overdue_from) where status = 'PENDING';

create table credit_note_numbers (
    tenant_id  uuid not null references tenants,
    year       smallint not null,
    last       integer not null check (last > 0),
    primary key (tenant_id, year)
);

-- Lines and taxes are those of the invoice.
create table credit_notes (
    tenant_id    uuid not null references tenants,
    id           uuid not null,
    year         smallint not null,
    serial       integer not null,
    number       text not null,
    invoice_id   uuid not null,
    entry_id     uuid not null,
    issued_at    timestamptz not null,
    fiscal       jsonb,
    primary key (tenant_id, id),
    unique (tenant_id, year, serial),
    unique (tenant_id, number),
    unique (tenant_id, invoice_id),
    foreign key (tenant_id, invoice_id) references invoices (tenant_id, id),
    foreign key (tenant_id, entry_id) references entries (tenant_id, id)
);

-- Those that were taken back before there was a document get theirs. Row security is forced on the owner too, so
-- it stands aside for this.
alter table invoices no force row level security;
alter table tenants no force row level security;
insert into credit_notes (tenant_id, id, year, serial, number, invoice_id, entry_id, issued_at)
select n.tenant_id, n.credit_note_id, n.noted, n.place,
       'CN-' || n.noted || lpad(n.place::text, greatest(4, length(n.place::text)), '0'),
       n.id, n.credit_note_id, n.cancelled_at
  from (select i.tenant_id, i.id, i.credit_note_id, i.cancelled_at,
               extract(year from i.cancelled_at at time zone t.time_zone)::smallint as noted,
               row_number() over (partition by i.tenant_id, extract(year from i.cancelled_at at time zone t.time_zone)
                                      order by i.cancelled_at, i.id)::integer as place
          from invoices i
          join tenants t on t.tenant_id = i.tenant_id
         where i.credit_note_id is not null) n;
insert into credit_note_numbers (tenant_id, year, last)
select tenant_id, year, max(serial) from credit_notes group by tenant_id, year;
alter table invoices force row level security;
alter table tenants force row level security;

alter table billed_customers enable row level security;
alter table billed_customers force row level security;
create policy tenant on billed_customers
    using (tenant_id = (select nullif(current_setting('app.tenant', true), '')::uuid));
alter table billed_plans enable row level security;
alter table billed_plans force row level security;
create policy tenant on billed_plans
    using (tenant_id = (select nullif(current_setting('app.tenant', true), '')::uuid));
alter table credit_note_numbers enable row level security;
alter table credit_note_numbers force row level security;
create policy tenant on credit_note_numbers
    using (tenant_id = (select nullif(current_setting('app.tenant', true), '')::uuid));
alter table credit_notes enable row level security;
alter table credit_notes force row level security;
create policy tenant on credit_notes
    using (tenant_id = (select nullif(current_setting('app.tenant', true), '')::uuid));

grant select, insert, update on billed_customers, billed_plans, credit_note_numbers to easyisp_app;
grant update (reminded_at, fiscal) on invoices to easyisp_app;
grant select, insert on credit_notes to easyisp_app;
grant update (fiscal) on credit_notes to easyisp_app;
