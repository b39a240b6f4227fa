-- A second provider beside M-Pesa: Airtel Money.

alter table gateways drop constraint gateways_type_check;
alter table gateways add constraint gateways_type_check check (type in ('MPESA_API', 'AIRTEL_MONEY'));

alter table payment_inbox drop constraint payment_inbox_kind_check;
alter table payment_inbox add constraint payment_inbox_kind_check
    check (kind in ('STK_CALLBACK', 'C2B_VALIDATION', 'C2B_CONFIRMATION', 'RESULT', 'TIME_OUT', 'AIRTEL_CALLBACK'));

alter table payments drop constraint payments_method_check;
alter table payments add constraint payments_method_check
    check (method in ('MPESA', 'AIRTEL', 'CASH', 'BANK_TRANSFER', 'CARD', 'OTHER'));
alter table incomes drop constraint incomes_method_check;
alter table incomes add constraint incomes_method_check
    check (method in ('MPESA', 'AIRTEL', 'CASH', 'BANK_TRANSFER', 'CARD', 'OTHER'));
alter table recurring_expenses drop constraint recurring_expenses_method_check;
alter table recurring_expenses add constraint recurring_expenses_method_check
    check (method in ('MPESA', 'AIRTEL', 'CASH', 'BANK_TRANSFER', 'CARD', 'OTHER'));
alter table expenses drop constraint expenses_method_check;
alter table expenses add constraint expenses_method_check
    check (method in ('MPESA', 'AIRTEL', 'CASH', 'BANK_TRANSFER', 'CARD', 'OTHER'));

-- What a person typed, without what a provider told.
drop index payment_by_hand;
create index payment_by_hand on payments (tenant_id, created_at, id)
    where method not in ('MPESA', 'AIRTEL') and status = 'completed';

-- The account on which it stands, for tenants who have their chart already.
alter table accounts no force row level security;
alter table tenants no force row level security;
insert into accounts (tenant_id, code, id, name, type, is_system, created_at)
select t.tenant_id, '1011', md5(t.tenant_id::text || '1011')::uuid, 'Airtel Money', 'Asset', true, t.created_at
  from tenants t
    on conflict do nothing;
alter table accounts force row level security;
alter table tenants force row level security;
