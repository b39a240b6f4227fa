-- Which of a site's agents let vouchers in for the first time: one alone, or two of whom, with the cloud,
-- any two must have written a first use down. Empty until an agent joins.
alter table sites
    add column keepers      uuid[] not null default '{}',
    -- how often they became others
    add column keepers_term bigint not null default 0;

update sites s
   set keepers = coalesce((select array[a.id] from agents a
                            where a.tenant_id = s.tenant_id and a.site_id = s.id and a.revoked_at is null
                            order by a.enrolled_at, a.id
                            limit 1), '{}');

alter table agents
    -- SHA-256 of the public key in its certificates; null where it joined before this was noted, until it renews
    add column key_digest bytea check (octet_length(key_digest) = 32),
    -- where it hears the other agents of its site, as it said at its last hello
    add column addresses  text[] not null default '{}';
