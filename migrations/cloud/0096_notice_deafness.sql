-- How many sites of a tenant there are that were not silent before, and how many of them are not heard now, as of its
-- last look: where nearly all of all tenants fall silent together, it is this end that is deaf.
create table directory.listening (
    tenant_id uuid primary key references directory.tenants,
    sites     bigint not null,
    silent    bigint not null,
    looked_at timestamptz not null
);
grant select, insert, update, delete on directory.listening to easyisp_app;
