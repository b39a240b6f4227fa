-- First uses of vouchers that were dated by this box's own clock, before the cloud had told the time since its start: a
-- box without a clock of its own is behind by as long as it was off. The cloud's word moves them.
create table doubtful_uses (
    voucher blob primary key check (length(voucher) = 16)
) strict, without rowid;
