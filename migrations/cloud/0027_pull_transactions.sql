-- Money that no callback told of is asked for, where the provider has that switched on for a short code.

alter table gateways
    add column pull_enabled boolean not null default false,
    -- the phone that the provider wants named at the registration
    add column pull_number text,
    add column pull_registered_at timestamptz,
    -- everything that moved before was asked for and booked
    add column pulled_until timestamptz;
