-- outbox.db: what this site owes the cloud and must never lose. Written with synchronous = FULL.

-- The file's own name, random when the file is made: a lane's sequence means nothing without it.
create table file (
    only      integer primary key check (only = 1),
    outbox_id blob    not null check (length(outbox_id) = 16)
) strict;

-- Sequences of a lane have no holes and are never reused: the next one follows the larger of the
-- newest record and the acknowledged mark, so pruning acknowledged records forgets nothing.
create table records (
    lane integer not null,
    seq  integer not null,
    kind integer not null,
    body blob    not null,
    at   integer not null,
    -- Eight octets of a digest of the rest: a record is found and believed without the tree around it.
    proof blob not null check (length(proof) = 8),
    primary key (lane, seq)
) strict, without rowid;

create table lanes (
    lane         integer primary key,
    acknowledged integer not null
) strict;

-- Who is online, as the routers last told it. Counters are cumulative per session.
create table sessions (
    router          blob    not null check (length(router) = 16),
    acct_session_id blob    not null,
    class           blob    not null,
    customer        blob    check (length(customer) = 16),
    username        blob    not null,
    service         text    not null check (service in ('ppp', 'hotspot')),
    mac             blob    check (length(mac) = 6),
    framed_ip       integer,
    port            blob    not null,
    started_at      integer not null,
    seen_at         integer not null,
    secs            integer not null,
    bytes_in        integer not null,
    bytes_out       integer not null,
    -- of both: bytes of hours whose data does not count
    bytes_free      integer not null,
    closed_at       integer,
    cause           integer,
    primary key (router, acct_session_id, class)
) strict, without rowid;

create index sessions_closed on sessions (closed_at) where closed_at is not null;

-- Bytes and seconds of the present paid period, over all sessions of a customer whose package limits them.
create table usage (
    customer     blob    primary key check (length(customer) = 16),
    period_start integer not null,
    bytes        integer not null,
    secs         integer not null
) strict, without rowid;

-- Small facts that must survive a power cut, such as the latest time known to have passed.
create table marks (
    name  text    primary key,
    value integer not null
) strict, without rowid;

-- Vouchers used here for the first time: written before anybody is let in, so no code is good twice. The
-- code itself is not here, only its keyed hash.
create table redemptions (
    voucher  blob    primary key check (length(voucher) = 16),
    digest   blob    not null check (length(digest) = 32),
    package  blob    not null check (length(package) = 16),
    bytes    integer,
    from_at  integer not null,
    until_at integer not null,
    mac      blob    check (length(mac) = 6)
) strict, without rowid;

-- Devices customers were seen with here for the first time.
create table devices (
    customer blob    not null check (length(customer) = 16),
    mac      blob    not null check (length(mac) = 6),
    at       integer not null,
    primary key (customer, mac)
) strict, without rowid;
