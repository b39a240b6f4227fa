-- Money that payers send to the platform's own short code by themselves: it finds the tenant whose customer has the
-- account number that was typed, and what names none is kept until a person of the platform says whose it is.

alter table payment_inbox drop constraint payment_inbox_kind_check;
alter table payment_inbox add constraint payment_inbox_kind_check
    check (kind in ('STK_CALLBACK', 'C2B_VALIDATION', 'C2B_CONFIRMATION', 'CENTRAL_CONFIRMATION', 'RESULT', 'TIME_OUT',
                    'AIRTEL_CALLBACK'));

-- No tenant's, and therefore in the directory: without a name or number of who paid.
create table directory.stray_payments (
    receipt      text primary key,
    -- environment and number of the platform's short code, as in directory.receipts
    shortcode    text not null,
    amount       bigint not null check (amount > 0),
    -- what the payer typed
    account      text not null,
    -- SHA-256 of his number, where that is known; emptied when it is assigned
    payer_hash   text,
    -- when it moved, as the provider says
    paid_at      timestamptz,
    came_at      timestamptz not null,
    -- whose word it is: the provider's when we asked it, the provider's from its own address, or anybody's
    word         text not null check (word in ('ASKED', 'TOLD', 'HELD')),
    -- the account number that a person of the platform gave it to
    assigned_to  integer references directory.account_numbers,
    assigned_by  uuid,
    assigned_at  timestamptz,
    reason       text,
    check ((assigned_at is null) = (assigned_to is null)),
    check ((assigned_at is null) = (assigned_by is null)),
    check ((assigned_at is null) = (reason is null))
);
create index on directory.stray_payments (came_at desc, receipt);
grant select, insert, update on directory.stray_payments to easyisp_app;
