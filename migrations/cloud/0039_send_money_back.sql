-- Money goes back to who paid it: asked for by one operator, approved by another, sent by the provider.

alter table gateways
    -- the most that is sent back from this short code in 24 hours
    add column refund_day_limit bigint not null default 5000000 check (refund_day_limit >= 0);

-- What of a payment is sent back or on its way: it is no longer there to be given to anybody.
alter table payments
    add column refunded bigint not null default 0,
    add constraint payment_refunded check (refunded between 0 and amount);

-- What of its price was given back.
alter table periods
    add column taken_back bigint not null default 0,
    add constraint period_taken_back check (taken_back between 0 and price);
grant update (taken_back) on periods to easyisp_app;

create table refunds (
    tenant_id                   uuid not null references tenants,
    id                          uuid not null,
    payment_id                  uuid not null,
    gateway_id                  uuid not null,
    -- whose wallet pays it back; null: it is nobody's yet
    customer_id                 uuid,
    amount                      bigint not null check (amount > 0),
    -- the whole payment: the provider reverses it; else it sends the amount to the payer's phone
    whole                       boolean not null,
    service                     text not null check (service in ('KEEP', 'TAKE_BACK', 'WAIVE')),
    reason                      text not null,
    state                       text not null check (state in
                                ('REQUESTED', 'APPROVED', 'SENT', 'UNKNOWN', 'DONE', 'FAILED', 'DECLINED')),
    message                     text,
    requested_by                uuid not null,
    requested_at                timestamptz not null,
    decided_by                  uuid,
    decided_at                  timestamptz,
    -- how often it was sent (again only where the provider had done nothing), and how often asked after
    attempts                    integer not null default 0,
    asked                       integer not null default 0,
    sent_at                     timestamptz,
    ended_at                    timestamptz,
    originator_conversation_id  text,
    conversation_id             text,
    receipt                     text,
    primary key (tenant_id, id),
    foreign key (tenant_id, payment_id) references payments (tenant_id, id),
    foreign key (tenant_id, gateway_id) references gateways (tenant_id, id),
    foreign key (tenant_id, customer_id) references customers (tenant_id, id),
    -- nobody approves his own
    constraint refund_second_person check
        (state in ('REQUESTED', 'DECLINED') or decided_by is not null and decided_by <> requested_by)
);
create index on refunds (tenant_id, requested_at desc, id desc);
create index on refunds (tenant_id, gateway_id, decided_at) where state <> 'DECLINED';
create unique index refund_open on refunds (tenant_id, payment_id)
    where state in ('REQUESTED', 'APPROVED', 'SENT', 'UNKNOWN');

alter table refunds enable row level security;
alter table refunds force row level security;
create policy tenant on refunds
    using (tenant_id = (select nullif(current_setting('app.tenant', true), '')::uuid));
grant select, insert, update on refunds to easyisp_app;

alter table entries drop constraint entries_kind_check;
alter table entries add constraint entries_kind_check check (kind in
    ('PAYMENT', 'PERIOD', 'RECHARGE', 'VOID', 'REVERSAL', 'INCOME', 'EXPENSE', 'FEE', 'ADJUSTMENT',
     'CORRECTION', 'INVOICE', 'SETTLEMENT', 'CREDIT_NOTE', 'REOPENING', 'REFUND', 'RELEASE'));

-- The account on which it waits, for tenants who have their chart already.
alter table accounts no force row level security;
alter table tenants no force row level security;
insert into accounts (tenant_id, code, id, name, type, is_system, created_at)
select t.tenant_id, '2400', md5(t.tenant_id::text || '2400')::uuid, 'Refunds under way', 'Liability', true, t.created_at
  from tenants t
    on conflict do nothing;
alter table accounts force row level security;
alter table tenants force row level security;
