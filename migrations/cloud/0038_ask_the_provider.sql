-- What became of a payment is asked of the provider; it answers later, to an address of ours.

alter table gateways
    -- who asks in the short code's name, and his password, sealed
    add column initiator_name text,
    add column initiator_password_sealed bytea,
    -- the secret of the addresses to which results come, sealed: its digest finds the tenant
    add column result_token_sealed bytea;

alter table directory.callback_tokens drop constraint callback_tokens_purpose_check;
alter table directory.callback_tokens add constraint callback_tokens_purpose_check
    check (purpose in ('stk', 'c2b', 'result'));

-- A question about a receipt, or about money that we sent back.
create table inquiries (
    tenant_id                   uuid not null references tenants,
    id                          uuid not null,
    gateway_id                  uuid not null,
    -- what is asked about: the receipt of a payment, or the provider's name of a request of ours
    receipt                     text,
    conversation                text,
    refund_id                   uuid,
    state                       text not null check (state in
                                ('CREATED', 'ASKED', 'CONFIRMED', 'REFUTED', 'UNDECIDED', 'REFUSED', 'UNANSWERED')),
    -- how often it was asked
    attempts                    integer not null default 0,
    -- the provider's names of the question
    originator_conversation_id  text,
    conversation_id             text,
    amount                      bigint,
    paid_at                     timestamptz,
    message                     text,
    -- null: nobody asked, it was asked by itself
    operator_id                 uuid,
    created_at                  timestamptz not null,
    asked_at                    timestamptz,
    answered_at                 timestamptz,
    primary key (tenant_id, id),
    foreign key (tenant_id, gateway_id) references gateways (tenant_id, id),
    check ((receipt is null) <> (conversation is null))
);
create index on inquiries (tenant_id, created_at desc, id desc);
create index on inquiries (tenant_id, refund_id) where refund_id is not null;
-- Who asks twice while the first question is open gets the first.
create unique index inquiry_open on inquiries (tenant_id, receipt)
    where receipt is not null and refund_id is null and state in ('CREATED', 'ASKED');

alter table inquiries enable row level security;
alter table inquiries force row level security;
create policy tenant on inquiries
    using (tenant_id = (select nullif(current_setting('app.tenant', true), '')::uuid));
grant select, insert, update on inquiries to easyisp_app;

-- What a result is about, by our own id, which its address names.
alter table payment_inbox add column about uuid;
alter table payment_inbox drop constraint payment_inbox_kind_check;
alter table payment_inbox add constraint payment_inbox_kind_check
    check (kind in ('STK_CALLBACK', 'C2B_VALIDATION', 'C2B_CONFIRMATION', 'RESULT', 'TIME_OUT'));

-- A receipt that was held on nobody's word, and of which the provider says that there is none, was never a receipt:
-- once its payment is taken back (and nobody's), the provider may use it. The server itself may not delete receipts.
create function free_receipt(refuted uuid) returns void
language sql security definer set search_path = public, pg_temp as $$
    delete from directory.receipts r
     using payments p
     where p.tenant_id = (select nullif(current_setting('app.tenant', true), '')::uuid)
       and p.id = refuted and p.status = 'voided' and p.method = 'MPESA' and p.customer_id is null
       and r.tenant_id = p.tenant_id and r.payment_id = p.id
$$;
revoke all on function free_receipt(uuid) from public;
grant execute on function free_receipt(uuid) to easyisp_app;
