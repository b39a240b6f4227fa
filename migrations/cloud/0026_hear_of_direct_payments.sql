-- Money that payers send by themselves: where a short code tells of it, and how its owner is found.

alter table gateways
    -- which of the two products of C2B the application has; null = not known yet
    add column c2b_version text check (c2b_version in ('v1', 'v2')),
    -- the secret of its C2B addresses, sealed: its digest finds the tenant; null = there is none yet
    add column c2b_token_sealed bytea,
    -- when the provider was asked to take the addresses with that secret and did not answer
    add column c2b_asked_at timestamptz,
    -- when it took them
    add column c2b_registered_at timestamptz;

-- The receipt that a report names, so that what is kept of somebody's payments is found with them.
alter table payment_inbox add column receipt text;
create index payment_inbox_receipt on payment_inbox (tenant_id, receipt) where receipt is not null;

-- What the provider says of the payer of money that belongs to nobody yet: the SHA-256 of his number where
-- that is all it tells, and his name.
alter table payments add column payer_hash text, add column payer_name text;
create index payment_unallocated on payments (tenant_id, paid_at desc, id desc)
    where customer_id is null and status = 'completed';
create index payment_phone on payments (tenant_id, phone, paid_at desc) where phone is not null;
create index payment_payer_hash on payments (tenant_id, payer_hash) where payer_hash is not null;

-- What a payer types as account: a user name without regard to case and spaces, or an account number. A
-- column rather than an expression: under row security an index on an expression is not used.
alter table customers
    add column username_key text generated always as (lower(replace(username, ' ', ''))) stored;
create index customer_username_key on customers (tenant_id, username_key) where deleted_at is null;
create index customer_account_number on customers (tenant_id, account_number);

-- Prompts whose receipt is not known: a confirmation may bring it.
create index intent_reference on intents (tenant_id, account_reference) where receipt is null;
create index intent_unpaid on intents (tenant_id, gateway_id, amount, created_at desc) where receipt is null;
