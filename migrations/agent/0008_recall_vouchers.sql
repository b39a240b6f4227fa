-- First uses of which a damaged file held only the record for the cloud: that they were made, when, and by which
-- device. What each gives the voucher says, once the cache has it or the cloud tells it again.
create table recalled (
    voucher blob    primary key check (length(voucher) = 16),
    from_at integer not null,
    mac     blob    check (length(mac) = 6)
) strict, without rowid;
