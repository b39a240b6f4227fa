-- First uses of vouchers that this agent wrote down for another one, or before it asked the cloud: it gives
-- no other device its vote. Whether they happened, the one who asked knows.
create table votes (
    voucher  blob    primary key check (length(voucher) = 16),
    digest   blob    not null check (length(digest) = 32),
    package  blob    not null check (length(package) = 16),
    bytes    integer,
    from_at  integer not null,
    until_at integer not null,
    mac      blob    check (length(mac) = 6),
    -- which agent's use it is
    agent    blob    not null check (length(agent) = 16)
) strict, without rowid;
