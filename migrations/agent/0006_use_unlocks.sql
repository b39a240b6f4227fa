-- Codes with which customers were let in while the link was down: each is good once here, also after a restart.
create table unlocks (
    customer blob    not null check (length(customer) = 16),
    -- in which hour since 1970 it was made, for how many, and which of that hour's
    hour     integer not null,
    hours    integer not null,
    serial   integer not null,
    until_at integer not null,
    primary key (customer, hour, hours, serial)
) strict, without rowid;
