-- Devices that first logins bound customers to, so that a restarted agent binds nobody to a second one before
-- the cloud has heard of the first. Forgotten once the cloud has had them for long.
create table binds (
    customer   blob    not null check (length(customer) = 16),
    mac        blob    not null check (length(mac) = 6),
    -- the one that left for it
    instead_of blob    check (length(instead_of) = 6),
    at         integer not null,
    primary key (customer, mac)
) strict, without rowid;
