-- How money arrives and becomes a period of service.

create table gateways (
    tenant_id               uuid not null references tenants,
    id                      uuid not null,
    type                    text not null check (type in ('MPESA_API')),
    sub_type                text not null check (sub_type in ('PAYBILL', 'BUYGOODS', 'BANK')),
    name                    text,
    shortcode               text not null,
    store_number            text,
    account_number          text,
    consumer_key_sealed     bytea not null,
    consumer_secret_sealed  bytea not null,
    passkey_sealed          bytea not null,
    -- the secret of this gateway's push callbacks, sealed: its digest finds the tenant
    callback_token_sealed   bytea not null,
    env                     text not null check (env in ('production', 'sandbox')),
    is_default              boolean not null,
    for_hotspot             boolean not null,
    for_pppoe               boolean not null,
    -- up to this amount a callback that agrees with its intent credits before our own query
    confirm_above           bigint not null default 100000,
    created_at              timestamptz not null,
    updated_at              timestamptz not null,
    deleted_at              timestamptz,
    primary key (tenant_id, id)
);
create unique index gateway_default on gateways (tenant_id) where is_default and deleted_at is null;

-- A payment we asked for: one state machine per row.
create table intents (
    tenant_id            uuid not null references tenants,
    id                   uuid not null,
    gateway_id           uuid not null,
    customer_id          uuid not null,
    package_id           uuid,
    amount               bigint not null check (amount > 0),
    phone_number         text not null,
    account_reference    text not null,
    state                text not null check (state in
                         ('CREATED', 'PENDING', 'UNKNOWN', 'PROVISIONAL', 'POSTED', 'REFUSED', 'EXPIRED')),
    checkout_request_id  text,
    merchant_request_id  text,
    receipt              text,
    result_code          integer,
    message              text,
    client_key           text,
    queries              integer not null default 0,
    needs_review         text,
    -- a report of money that waits for our own query
    claimed_receipt      text,
    claimed_amount       bigint,
    claimed_at           timestamptz,
    -- when our own query agreed with the callback, and when we last asked
    confirmed_at         timestamptz,
    queried_at           timestamptz,
    created_at           timestamptz not null,
    expires_at           timestamptz not null,
    updated_at           timestamptz not null,
    primary key (tenant_id, id),
    foreign key (tenant_id, gateway_id) references gateways (tenant_id, id),
    foreign key (tenant_id, customer_id) references customers (tenant_id, id)
);
create unique index intent_checkout on intents (tenant_id, checkout_request_id) where checkout_request_id is not null;
-- A second tap returns the first prompt.
create unique index intent_open on intents (tenant_id, customer_id, coalesce(package_id, '00000000-0000-0000-0000-000000000000'))
    where state in ('CREATED', 'PENDING', 'UNKNOWN');
-- A repeated request finds what the first one began.
create unique index intent_client_key on intents (tenant_id, client_key) where client_key is not null;
create index on intents (tenant_id, phone_number, created_at desc);
create index on intents (tenant_id, customer_id, created_at desc);
create index on intents (tenant_id, created_at desc);

-- What a provider told us, byte for byte, durable before we answered.
create table payment_inbox (
    tenant_id     uuid not null references tenants,
    id            uuid not null,
    gateway_id    uuid,
    -- the payment that the path of the call names, where it names one
    intent_id     uuid,
    kind          text not null check (kind in ('STK_CALLBACK', 'C2B_VALIDATION', 'C2B_CONFIRMATION')),
    body          bytea not null,
    source        text not null,
    received_at   timestamptz not null,
    processed_at  timestamptz,
    attempts      integer not null default 0,
    outcome       text,
    primary key (tenant_id, id)
);
create index payment_inbox_waiting on payment_inbox (tenant_id, received_at) where processed_at is null;

-- Money that arrived.
create table payments (
    tenant_id        uuid not null references tenants,
    id               uuid not null,
    customer_id      uuid,
    method           text not null check (method in ('MPESA', 'CASH', 'BANK_TRANSFER', 'CARD', 'OTHER')),
    receipt          text,
    amount           bigint not null check (amount > 0),
    status           text not null check (status in ('completed', 'refunded', 'voided')),
    phone            text,
    account          text,
    description      text not null default '',
    intent_id        uuid,
    gateway_id       uuid,
    operator_id      uuid,
    entry_id         uuid not null,
    reversal_id      uuid,
    paid_at          timestamptz not null,
    created_at       timestamptz not null,
    primary key (tenant_id, id),
    foreign key (tenant_id, customer_id) references customers (tenant_id, id),
    foreign key (tenant_id, entry_id) references entries (tenant_id, id),
    foreign key (tenant_id, reversal_id) references entries (tenant_id, id)
);
create index on payments (tenant_id, created_at desc);
create index on payments (tenant_id, customer_id, created_at desc);
create unique index payment_intent on payments (tenant_id, intent_id) where intent_id is not null;
create index on payments (tenant_id, receipt);

-- A period of service exists if and only if its debit is posted.
create table periods (
    tenant_id    uuid not null references tenants,
    id           uuid not null,
    customer_id  uuid not null,
    package_id   uuid not null,
    entry_id     uuid,
    price        bigint not null check (price >= 0),
    starts_at    timestamptz not null,
    ends_at      timestamptz not null check (ends_at > starts_at),
    created_at   timestamptz not null,
    primary key (tenant_id, id),
    foreign key (tenant_id, customer_id) references customers (tenant_id, id),
    foreign key (tenant_id, package_id) references packages (tenant_id, id),
    foreign key (tenant_id, entry_id) references entries (tenant_id, id),
    constraint period_paid check ((price = 0) = (entry_id is null))
);
create index on periods (tenant_id, customer_id, starts_at desc);
