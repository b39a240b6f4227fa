-- What a seller earns of what he sells: hundredths of a percent of it, and so much for each sale.
alter table floats
    add column commission_basis_points integer not null default 0 check (commission_basis_points between 0 and 5000),
    add column commission_fixed bigint not null default 0 check (commission_fixed >= 0);

alter table entries drop constraint entries_kind_check;
alter table entries add constraint entries_kind_check check (kind in
    ('PAYMENT', 'PERIOD', 'RECHARGE', 'VOID', 'REVERSAL', 'INCOME', 'EXPENSE', 'FEE', 'ADJUSTMENT',
     'CORRECTION', 'INVOICE', 'SETTLEMENT', 'CREDIT_NOTE', 'REOPENING', 'REFUND', 'RELEASE', 'PAYOUT', 'FLOAT',
     'VOUCHER_SALE', 'COMMISSION'));
create index entries_of_commission on entries (tenant_id, source) where kind = 'COMMISSION';

-- The account on which it stands, for tenants who have their chart already.
alter table accounts no force row level security;
alter table tenants no force row level security;
insert into accounts (tenant_id, code, id, name, type, is_system, created_at)
select t.tenant_id, '5040', md5(t.tenant_id::text || '5040')::uuid, 'Sellers'' commission', 'Expense', true,
       t.created_at
  from tenants t
    on conflict (tenant_id, code) do update set is_system = true;
alter table accounts force row level security;
alter table tenants force row level security;
