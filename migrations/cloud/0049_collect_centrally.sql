-- The platform collects for a tenant through its own short code, where its people switched that on, and pays out every
-- day what it holds for him.

alter table gateways
    -- it is the platform's short code: its keys stand in the server's settings, and what comes is held for the tenant
    add column platform boolean not null default false;
create unique index gateway_of_platform on gateways (tenant_id) where platform;

-- What was agreed; no row = it was never switched on.
create table collecting (
    tenant_id         uuid primary key references tenants,
    gateway_id        uuid not null,
    enabled           boolean not null,
    -- to where it is paid out: a paybill, a till, or an account behind a bank's paybill
    payout_kind       text not null check (payout_kind in ('PAYBILL', 'BUYGOODS', 'BANK')),
    payout_number     text not null,
    payout_account    text,
    -- what stays with the platform for payers who want their money back
    reserve           bigint not null check (reserve >= 0),
    -- what the platform keeps, in hundredths of a percent
    fee_basis_points  integer not null check (fee_basis_points between 0 and 5000),
    -- the most of one day
    most              bigint not null check (most >= 1000),
    updated_at        timestamptz not null,
    foreign key (tenant_id, gateway_id) references gateways (tenant_id, id),
    check (payout_kind <> 'BANK' or payout_account is not null),
    check (payout_kind <> 'BUYGOODS' or payout_account is null)
);

create table settlements (
    tenant_id                   uuid not null references tenants,
    id                          uuid not null,
    gateway_id                  uuid not null,
    -- the tenant's day up to whose end it was reckoned
    day                         date not null,
    -- what was held then and was not on its way, what of it goes to him, and what the platform keeps
    held                        bigint not null,
    amount                      bigint not null check (amount > 0),
    fee                         bigint not null check (fee >= 0),
    payout_kind                 text not null check (payout_kind in ('PAYBILL', 'BUYGOODS', 'BANK')),
    payout_number               text not null,
    payout_account              text,
    state                       text not null check (state in ('DUE', 'SENT', 'UNKNOWN', 'DONE', 'FAILED')),
    message                     text,
    -- how often it was sent (again only where the provider had done nothing), and how often asked after
    attempts                    integer not null default 0,
    asked                       integer not null default 0,
    created_at                  timestamptz not null,
    sent_at                     timestamptz,
    ended_at                    timestamptz,
    originator_conversation_id  text,
    conversation_id             text,
    receipt                     text,
    primary key (tenant_id, id),
    foreign key (tenant_id, gateway_id) references gateways (tenant_id, id),
    constraint settlement_of_day unique (tenant_id, day)
);

alter table collecting enable row level security;
alter table collecting force row level security;
create policy tenant on collecting
    using (tenant_id = (select nullif(current_setting('app.tenant', true), '')::uuid));
alter table settlements enable row level security;
alter table settlements force row level security;
create policy tenant on settlements
    using (tenant_id = (select nullif(current_setting('app.tenant', true), '')::uuid));
grant select, insert, update on collecting, settlements to easyisp_app;

-- A question may be about a settlement.
alter table inquiries add column settlement_id uuid;

alter table entries drop constraint entries_kind_check;
alter table entries add constraint entries_kind_check check (kind in
    ('PAYMENT', 'PERIOD', 'RECHARGE', 'VOID', 'REVERSAL', 'INCOME', 'EXPENSE', 'FEE', 'ADJUSTMENT',
     'CORRECTION', 'INVOICE', 'SETTLEMENT', 'CREDIT_NOTE', 'REOPENING', 'REFUND', 'RELEASE', 'PAYOUT'));

-- The account on which it stands, for tenants who have their chart already.
alter table accounts no force row level security;
alter table tenants no force row level security;
insert into accounts (tenant_id, code, id, name, type, is_system, created_at)
select t.tenant_id, '1040', md5(t.tenant_id::text || '1040')::uuid, 'Held by the platform', 'Asset', true, t.created_at
  from tenants t
    on conflict do nothing;
alter table accounts force row level security;
alter table tenants force row level security;

-- The settlements of many tenants in one round trip, for the platform's own list; like `platform_tenants`, as the
-- caller and under row security.
create function platform_settlements(ids uuid[], wanted text, since date, until date)
returns table (
    tenant_id uuid, business_name text, id uuid, day date, held bigint, amount bigint, fee bigint, payout_kind text,
    payout_number text, payout_account text, state text, message text, created_at timestamptz,
    sent_at timestamptz, ended_at timestamptz, receipt text)
language plpgsql security invoker as $$
declare
    one uuid;
    was text := current_setting('app.tenant', true);
begin
    foreach one in array ids loop
        perform set_config('app.tenant', one::text, true);
        return query
            select t.tenant_id, t.business_name, s.id, s.day, s.held, s.amount, s.fee, s.payout_kind,
                   s.payout_number, s.payout_account, s.state, s.message, s.created_at, s.sent_at, s.ended_at,
                   s.receipt
              from settlements s
              join tenants t on t.tenant_id = s.tenant_id
             where s.tenant_id = one and (wanted is null or s.state = wanted)
               and (since is null or s.day >= since) and (until is null or s.day <= until);
    end loop;
    perform set_config('app.tenant', coalesce(was, ''), true);
end $$;
