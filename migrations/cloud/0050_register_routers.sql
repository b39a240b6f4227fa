-- Routers that enter themselves: with a token of their tenant's, good once, of which only SHA-256 is kept. A directory
-- table as provision_tokens, and for its reason.
create table directory.enrolment_tokens (
    token_digest  bytea primary key check (length(token_digest) = 32),
    tenant_id     uuid not null references directory.tenants,
    site_id       uuid not null,
    expires_at    timestamptz not null
);
create index on directory.enrolment_tokens (tenant_id);
grant select, insert, delete on directory.enrolment_tokens to easyisp_app;

-- Which router registered with which serial number: a second one with it is an operator's matter.
create table router_serials (
    tenant_id      uuid not null references tenants,
    serial         text not null check (serial ~ '^[0-9A-Z-]{4,32}$'),
    router_id      uuid not null,
    registered_at  timestamptz not null,
    primary key (tenant_id, serial),
    foreign key (tenant_id, router_id) references routers (tenant_id, id)
);

alter table router_serials enable row level security;
alter table router_serials force row level security;
create policy tenant on router_serials
    using (tenant_id = (select nullif(current_setting('app.tenant', true), '')::uuid));
grant select, insert, update, delete on router_serials to easyisp_app;

-- Codes that let a customer in for some hours at his site while it is away: who made them, and whether they were used.
-- The code itself follows from the row and the site's key, and is kept nowhere.
create table unlock_codes (
    tenant_id    uuid not null,
    customer_id  uuid not null,
    -- in which hour since 1970, and which of that hour's
    hour         bigint not null,
    serial       smallint not null check (serial between 0 and 9),
    hours        smallint not null,
    site_id      uuid not null,
    made_by      text not null,
    made_at      timestamptz not null,
    used_at      timestamptz,
    -- the agent that told it
    used_by      uuid,
    primary key (tenant_id, customer_id, hour, serial),
    foreign key (tenant_id, customer_id) references customers (tenant_id, id),
    foreign key (tenant_id, site_id) references sites (tenant_id, id)
);

alter table unlock_codes enable row level security;
alter table unlock_codes force row level security;
create policy tenant on unlock_codes
    using (tenant_id = (select nullif(current_setting('app.tenant', true), '')::uuid));
grant select, insert, update, delete on unlock_codes to easyisp_app;

-- As in 0047, and the tokens of routers that enter themselves.
create or replace function purge_tenant(tenant uuid, cutoff timestamptz, most bigint) returns bigint
language plpgsql security definer set search_path = public, pg_temp as $$
declare
    one record;
    gone bigint;
begin
    if tenant is distinct from (select nullif(current_setting('app.tenant', true), '')::uuid)
       or not exists (select from directory.tenants t
                       where t.tenant_id = tenant and t.deleted_at <= cutoff) then
        raise exception 'purge_tenant: this tenant was not deleted by then';
    end if;
    -- Customers refer to one another.
    update customers set parent_id = null where tenant_id = tenant and parent_id is not null;
    for one in
        with recursive tables as (
            select c.oid
              from pg_class c
              join pg_namespace n on n.oid = c.relnamespace and n.nspname = 'public'
              join pg_attribute a on a.attrelid = c.oid and a.attname = 'tenant_id' and not a.attisdropped
             where c.relkind = 'r'),
        refers as (
            select distinct conrelid as child, confrelid as parent
              from pg_constraint
             where contype = 'f' and conrelid <> confrelid),
        -- how far above it the deepest table stands that refers to a table
        depth as (
            select oid, 0 as n from tables
            union
            select r.parent, d.n + 1
              from depth d
              join refers r on r.child = d.oid
             where d.n < 30)
        select d.oid::regclass as name, max(d.n) as n
          from depth d
          join tables t on t.oid = d.oid
         group by d.oid
         order by 2, 1
    loop
        execute format(
            'delete from %s where ctid = any(array(select ctid from %s where tenant_id = $1 limit $2))',
            one.name, one.name)
          using tenant, most;
        get diagnostics gone = row_count;
        if gone > 0 then
            return gone;
        end if;
    end loop;

    delete from directory.refresh_tokens r
     using directory.families f
     where f.id = r.family_id and f.tenant_id = tenant;
    delete from directory.sessions where tenant_id = tenant or home_tenant_id = tenant;
    delete from directory.families where tenant_id = tenant;
    delete from directory.reset_tokens where tenant_id = tenant;
    delete from directory.api_keys where tenant_id = tenant;
    delete from directory.logins where tenant_id = tenant;
    delete from directory.join_tokens where tenant_id = tenant;
    delete from directory.provision_tokens where tenant_id = tenant;
    delete from directory.enrolment_tokens where tenant_id = tenant;
    delete from directory.certificates where tenant_id = tenant;
    delete from directory.callback_tokens where tenant_id = tenant;
    delete from directory.pictures where tenant_id = tenant;
    delete from directory.jobs where tenant_id = tenant and kind <> 'tenants.purge';
    return 0;
end $$;
