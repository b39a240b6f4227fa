-- What an operator can name: sites and agents, routers, packages, customers, sessions, messages.

create table sites (
    tenant_id   uuid not null references tenants,
    id          uuid not null,
    name        text not null,
    -- seals subscriber secrets on this site's agents; itself sealed under the tenant's key
    key_sealed  bytea not null,
    created_at  timestamptz not null,
    updated_at  timestamptz not null,
    deleted_at  timestamptz,
    primary key (tenant_id, id)
);
create unique index site_name on sites (tenant_id, lower(name)) where deleted_at is null;

create table agents (
    tenant_id        uuid not null,
    id               uuid not null,
    site_id          uuid not null,
    fingerprint      text not null,
    version          text not null default '',
    -- The generation that counts, and the newest one offered. An older one is presented by a copy of the
    -- box: from then on neither is let in.
    generation       bigint not null default 0,
    offered          bigint not null default 0,
    cloned_at        timestamptz,
    enrolled_at      timestamptz not null,
    last_seen_at     timestamptz,
    queue_depth      bigint,
    clock_offset_ms  bigint,
    report           jsonb,
    revoked_at       timestamptz,
    primary key (tenant_id, id),
    foreign key (tenant_id, site_id) references sites (tenant_id, id)
);
create index on agents (tenant_id, site_id);

create table routers (
    tenant_id               uuid not null,
    id                      uuid not null,
    site_id                 uuid not null,
    name                    text not null,
    ip_address              text not null,
    source_network          text not null,
    secret_sealed           bytea not null,
    previous_secret_sealed  bytea,
    message_authenticator   text not null default 'LEARN' check (message_authenticator in ('LEARN', 'REQUIRE')),
    coa_port                integer not null default 3799 check (coa_port between 1 and 65535),
    api_username            text,
    api_password_sealed     bytea,
    api_port                integer not null default 8728 check (api_port between 1 and 65535),
    latitude                double precision,
    longitude               double precision,
    location                text,
    status                  text not null default 'PENDING' check (status in ('ONLINE', 'OFFLINE', 'PENDING', 'ERROR')),
    provisioning_status     text not null default 'Pending' check (provisioning_status in
                            ('Provisioned', 'Command Pending', 'Failed', 'Pending')),
    -- what the router last said of itself
    board_name              text,
    model                   text,
    serial_number           text,
    routeros_version        text,
    cpu_load                integer,
    memory_usage_mb         integer,
    memory_total_mb         integer,
    uptime                  text,
    last_seen_at            timestamptz,
    -- what its API last said: when, why it could not be read, who is online outside the system
    api_asked_at            timestamptz,
    api_problem             text,
    outside                 jsonb not null default '[]',
    outside_count           bigint not null default 0,
    created_at              timestamptz not null,
    updated_at              timestamptz not null,
    deleted_at              timestamptz,
    primary key (tenant_id, id),
    foreign key (tenant_id, site_id) references sites (tenant_id, id)
);
create unique index router_name on routers (tenant_id, lower(name)) where deleted_at is null;
create index on routers (tenant_id, site_id);

create table packages (
    tenant_id          uuid not null references tenants,
    id                 uuid not null,
    name               text not null,
    type               text not null check (type in ('PPPOE', 'HOTSPOT')),
    price              bigint not null check (price >= 0),
    download_mbps      integer not null check (download_mbps > 0),
    upload_mbps        integer not null check (upload_mbps > 0),
    burst_download     integer,
    burst_upload       integer,
    period_count       integer not null check (period_count > 0),
    period_unit        text not null check (period_unit in ('MINUTES', 'HOURS', 'DAYS', 'WEEKS', 'MONTHS')),
    data_limit         bigint check (data_limit > 0),
    devices            integer not null default 1 check (devices between 1 and 1000),
    idle_timeout_secs  integer,
    -- time limit, fair use, hours, burst, names on the router
    terms              jsonb not null default '{}',
    is_active          boolean not null default true,
    created_at         timestamptz not null,
    updated_at         timestamptz not null,
    deleted_at         timestamptz,
    primary key (tenant_id, id)
);
create unique index package_name on packages (tenant_id, type, lower(name)) where deleted_at is null;

-- The routers a package is sold at; none = all.
create table package_routers (
    tenant_id   uuid not null,
    package_id  uuid not null,
    router_id   uuid not null,
    primary key (tenant_id, package_id, router_id),
    foreign key (tenant_id, package_id) references packages (tenant_id, id),
    foreign key (tenant_id, router_id) references routers (tenant_id, id)
);

create table customers (
    tenant_id         uuid not null references tenants,
    id                uuid not null,
    account_number    integer not null,
    site_id           uuid not null,
    username          text not null,
    password_sealed   bytea not null,
    name              text not null,
    email             text,
    phone             text,
    -- 254XXXXXXXXX and its SHA-256, when the phone is a number at all
    phone_number      text,
    phone_hash        text,
    connection_type   text not null check (connection_type in ('PPPOE', 'HOTSPOT', 'DHCP', 'STATIC')),
    standing          text not null check (standing in ('ACTIVE', 'SUSPENDED', 'DISABLED')),
    package_id        uuid,
    router_id         uuid,
    paid_until        timestamptz not null,
    funded_until      timestamptz,
    -- the day of the month that monthly periods return to after a short month
    anchor_day        smallint check (anchor_day between 1 and 31),
    auto_renew        boolean not null default false,
    static_ip         text,
    macs              text[] not null default '{}',
    -- devices he was seen with, oldest first; they lock nobody out
    remembered_macs   text[] not null default '{}',
    devices           integer check (devices between 1 and 1000),
    rate_up_mbps      integer,
    rate_down_mbps    integer,
    rate_until        timestamptz,
    location          text,
    latitude          double precision,
    longitude         double precision,
    apartment_number  text,
    house_number      text,
    installation_fee  bigint not null default 0 check (installation_fee >= 0),
    total_spent       bigint not null default 0,
    -- when the current period of service began: usage before it does not count; null = none yet
    bytes_used_since  timestamptz,
    -- routes behind his line and IPv6 prefixes
    networks          jsonb not null default '{}',
    version           bigint not null default 1,
    created_at        timestamptz not null,
    updated_at        timestamptz not null,
    deleted_at        timestamptz,
    primary key (tenant_id, id),
    foreign key (tenant_id, site_id) references sites (tenant_id, id),
    foreign key (tenant_id, package_id) references packages (tenant_id, id),
    foreign key (tenant_id, router_id) references routers (tenant_id, id)
);
-- A deleted customer frees the user name.
create unique index customer_username on customers (tenant_id, username) where deleted_at is null;
create unique index customer_static_ip on customers (tenant_id, site_id, static_ip) where deleted_at is null and static_ip is not null;
create index on customers (tenant_id, created_at desc, id) where deleted_at is null;
create index on customers (tenant_id, phone_hash) where deleted_at is null;
create index on customers (tenant_id, package_id) where deleted_at is null;
create index on customers (tenant_id, router_id) where deleted_at is null;
create index on customers (tenant_id, paid_until) where deleted_at is null;

-- What a customer's sessions showed. Apart from customers because it changes with every accounting
-- record: narrow rows, and the money path never waits for a batch of them. The bytes count from
-- `since`; they are nothing once customers.bytes_used_since is another. No foreign key: rows are selected
-- from customers, which are never removed, and checking each took a sixth of a batch.
create table customer_usage (
    tenant_id     uuid not null,
    customer_id   uuid not null,
    since         timestamptz,
    bytes_up      bigint not null default 0 check (bytes_up >= 0),
    bytes_down    bigint not null default 0 check (bytes_down >= 0),
    -- of both: bytes of free hours; and the seconds online
    bytes_free    bigint not null default 0 check (bytes_free >= 0),
    secs          bigint not null default 0 check (secs >= 0),
    -- what his site was last told of this; see sessions/quota
    told_since    timestamptz,
    told_bytes    bigint not null default 0,
    told_secs     bigint not null default 0,
    last_ip       text,
    last_mac      text,
    last_seen_at  timestamptz not null,
    primary key (tenant_id, customer_id)
) with (fillfactor = 60);

-- One time online. Key: router, Acct-Session-Id and the random cookie sent in Class.
create table sessions (
    tenant_id        uuid not null references tenants,
    id               uuid not null,
    site_id          uuid not null,
    router_id        uuid not null,
    acct_session_id  text not null,
    cookie           bytea not null default '',
    customer_id      uuid,
    username         text not null,
    connection_type  text check (connection_type in ('PPPOE', 'HOTSPOT', 'DHCP', 'STATIC')),
    framed_ip        text,
    mac              text,
    status           text not null check (status in ('ACTIVE', 'UNCONFIRMED', 'COMPLETED')),
    started_at       timestamptz not null,
    last_seen_at     timestamptz not null,
    stopped_at       timestamptz,
    session_secs     bigint not null default 0,
    bytes_in         bigint not null default 0,
    bytes_out        bigint not null default 0,
    bytes_free       bigint not null default 0,
    terminate_cause  text,
    primary key (tenant_id, id),
    unique (tenant_id, router_id, acct_session_id, cookie)
) with (fillfactor = 70);
create index on sessions (tenant_id, customer_id, started_at desc);
create index on sessions (tenant_id, started_at desc);
create index session_open on sessions (tenant_id, router_id) where status <> 'COMPLETED';
create index session_open_customer on sessions (tenant_id, customer_id, started_at desc) where status <> 'COMPLETED';

-- Messages to people, written in the transaction that causes them and sent afterwards.
create table messages (
    tenant_id    uuid not null references tenants,
    id           uuid not null,
    channel      text not null check (channel in ('SMS', 'EMAIL')),
    recipient    text not null,
    body         text not null,
    purpose      text not null,
    customer_id  uuid,
    initiator    text not null,
    state        text not null check (state in ('PENDING', 'SENDING', 'SENT', 'DELIVERED', 'FAILED', 'UNKNOWN')),
    attempts     integer not null default 0,
    provider     text,
    provider_id  text,
    error        text,
    created_at   timestamptz not null,
    sent_at      timestamptz,
    primary key (tenant_id, id)
);
create index on messages (tenant_id, created_at desc);

-- Codes that are worth a period. What was sold is written down when it is made: a package that is edited
-- later changes no voucher's face value.
create table voucher_batches (
    tenant_id    uuid not null references tenants,
    id           uuid not null,
    package_id   uuid not null,
    -- the site that may let its codes in without asking; null = the cloud
    site_id      uuid,
    quantity     integer not null check (quantity between 1 and 100000),
    made         integer not null default 0 check (made between 0 and quantity),
    prefix       text not null,
    code_length  smallint not null check (code_length between 10 and 16),
    price        bigint not null check (price >= 0),
    secs         bigint not null check (secs > 0),
    data_limit   bigint check (data_limit > 0),
    expires_at   timestamptz,
    created_at   timestamptz not null,
    primary key (tenant_id, id),
    foreign key (tenant_id, package_id) references packages (tenant_id, id),
    foreign key (tenant_id, site_id) references sites (tenant_id, id)
);

-- A code stands here as a keyed hash, by which it is found, and sealed, for who may see it.
create table vouchers (
    tenant_id    uuid not null,
    id           uuid not null,
    batch_id     uuid not null,
    package_id   uuid not null,
    digest       bytea not null check (length(digest) = 32),
    code_sealed  bytea not null,
    -- EXPIRED follows from expires_at
    status       text not null check (status in ('AVAILABLE', 'USED', 'REVOKED')),
    holder_id    uuid,
    price        bigint not null check (price >= 0),
    secs         bigint not null check (secs > 0),
    data_limit   bigint check (data_limit > 0),
    expires_at   timestamptz,
    -- the first use: whose, from when to when, who said so
    customer_id  uuid,
    used_at      timestamptz,
    used_until   timestamptz,
    used_agent   uuid,
    created_at   timestamptz not null,
    updated_at   timestamptz not null,
    primary key (tenant_id, id),
    constraint voucher_digest unique (tenant_id, digest),
    check ((status = 'USED') = (used_at is not null)),
    foreign key (tenant_id, batch_id) references voucher_batches (tenant_id, id),
    foreign key (tenant_id, package_id) references packages (tenant_id, id),
    foreign key (tenant_id, holder_id) references sites (tenant_id, id)
);
create index on vouchers (tenant_id, created_at desc, id);
create index on vouchers (tenant_id, batch_id);
create index on vouchers (tenant_id, package_id);
create index on vouchers (tenant_id, customer_id) where customer_id is not null;
