-- A customer's life beside paying: he is away for a while, promises to pay, is labelled and written about,
-- is told before his time ends, and may come back after he was deleted.

alter table customers
    -- Away since then, his time stands still: what was left then is given back when he is back. He is
    -- SUSPENDED meanwhile. Until when, where that is known.
    add column paused_at      timestamptz,
    add column paused_until   timestamptz,
    -- Service that he promised to pay for: from the end of what was paid (or the moment of the promise) on.
    -- Paying ends it, and the days he was served are the first of what he buys.
    add column promised_from  timestamptz,
    add column promised_until timestamptz,
    -- Whose account he is on: his time is the other's, and he pays nothing himself.
    add column parent_id      uuid,
    add constraint parent_of_tenant foreign key (tenant_id, parent_id) references customers (tenant_id, id),
    add constraint parent_is_another check (parent_id <> id),
    add constraint paused_is_suspended check (paused_at is null or standing <> 'ACTIVE'),
    add constraint promise_whole check ((promised_from is null) = (promised_until is null));

-- When his service ends if nothing is paid, before the tenant's days of grace.
alter table customers
    add column served_until timestamptz not null
        generated always as (greatest(paid_until, funded_until, promised_until)) stored;
create index customer_served on customers (tenant_id, served_until) include (connection_type)
    where deleted_at is null and standing = 'ACTIVE';
create index customer_stopped on customers (tenant_id, standing) include (connection_type)
    where deleted_at is null and standing <> 'ACTIVE';
-- Those who were deleted, the last one first.
create index customer_gone on customers (tenant_id, deleted_at desc) where deleted_at is not null;
create index customer_children on customers (tenant_id, parent_id) where parent_id is not null;
create index customer_promised on customers (tenant_id, promised_until) where promised_until is not null;

-- What a search looks into, folded once: comparing three columns without regard to case took three times as
-- long for a tenant of a hundred thousand, and no index serves a search under row security.
alter table customers
    add column search_text text not null
        generated always as (lower(username || ' ' || name || ' ' || coalesce(phone, ''))) stored;

-- Labels. Apart from customers, because a label is looked for by equality alone: the only kind of comparison
-- that an index serves under row security.
create table customer_tags (
    tenant_id    uuid not null,
    tag          text not null check (length(tag) between 1 and 40),
    customer_id  uuid not null,
    primary key (tenant_id, tag, customer_id),
    foreign key (tenant_id, customer_id) references customers (tenant_id, id)
);
create index on customer_tags (tenant_id, customer_id);

-- What operators wrote about him.
create table customer_notes (
    tenant_id    uuid not null,
    id           uuid not null,
    customer_id  uuid not null,
    body         text not null check (length(body) between 1 and 2000),
    operator_id  uuid not null,
    created_at   timestamptz not null,
    primary key (tenant_id, id),
    foreign key (tenant_id, customer_id) references customers (tenant_id, id),
    foreign key (tenant_id, operator_id) references operators (tenant_id, id)
);
create index on customer_notes (tenant_id, customer_id, created_at desc, id);

-- Every promise that was taken: so many a month, and no more.
create table promises (
    tenant_id    uuid not null,
    id           uuid not null,
    customer_id  uuid not null,
    days         integer not null check (days between 1 and 31),
    from_at      timestamptz not null,
    until_at     timestamptz not null,
    operator_id  uuid not null,
    created_at   timestamptz not null,
    primary key (tenant_id, id),
    foreign key (tenant_id, customer_id) references customers (tenant_id, id)
);
create index on promises (tenant_id, customer_id, created_at desc);

-- Who was told of which end, how many days before: once.
create table reminders (
    tenant_id    uuid not null references tenants,
    customer_id  uuid not null,
    ends_at      timestamptz not null,
    days         smallint not null check (days between 0 and 30),
    message_id   uuid not null,
    created_at   timestamptz not null,
    primary key (tenant_id, customer_id, ends_at, days)
);
create index on reminders (tenant_id, ends_at);

-- When subscribers are told of their end and in which words, and what may be promised.
alter table tenants add column courtesy jsonb not null default '{}';

alter table customer_tags enable row level security;
alter table customer_tags force row level security;
create policy tenant on customer_tags
    using (tenant_id = (select nullif(current_setting('app.tenant', true), '')::uuid));
alter table customer_notes enable row level security;
alter table customer_notes force row level security;
create policy tenant on customer_notes
    using (tenant_id = (select nullif(current_setting('app.tenant', true), '')::uuid));
alter table promises enable row level security;
alter table promises force row level security;
create policy tenant on promises
    using (tenant_id = (select nullif(current_setting('app.tenant', true), '')::uuid));
alter table reminders enable row level security;
alter table reminders force row level security;
create policy tenant on reminders
    using (tenant_id = (select nullif(current_setting('app.tenant', true), '')::uuid));

-- A pause moves what was bought ahead; what was paid for it stays.
grant update (starts_at, ends_at) on periods to easyisp_app;
grant select, insert, delete on customer_tags, customer_notes, reminders to easyisp_app;
grant select, insert on promises to easyisp_app;
