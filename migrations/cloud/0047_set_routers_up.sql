-- The wizard that brings a router up. A router fetches its script and says that it is through with tokens of which
-- only SHA-256 is kept, each good once. A directory table as those of 0001, and for their reason.
create table directory.provision_tokens (
    token_digest  bytea primary key check (length(token_digest) = 32),
    tenant_id     uuid not null references directory.tenants,
    router_id     uuid not null,
    -- FETCH = takes the script, CALLBACK = says that it was imported
    purpose       text not null check (purpose in ('FETCH', 'CALLBACK')),
    expires_at    timestamptz not null,
    unique (router_id, purpose)
);
create index on directory.provision_tokens (tenant_id);
grant select, insert, delete on directory.provision_tokens to easyisp_app;

create table router_setups (
    tenant_id    uuid not null references tenants,
    router_id    uuid not null,
    stage        text not null check (stage in
                 ('WAITING', 'FETCHED', 'CALLED', 'CONFIGURING', 'UNDOING', 'DONE', 'FAILED')),
    -- for people
    message      text not null,
    -- grows with every configuration that is begun
    run          bigint not null default 0,
    -- what of it is done, and how much there is
    place        integer not null default 0,
    places       integer not null default 0,
    -- since when the present place is tried
    place_since  timestamptz not null,
    -- what was done, line by line
    results      jsonb not null default '[]',
    -- what came of trying it
    tested       jsonb,
    -- what was chosen
    choice       jsonb,
    -- what is wanted and what stood there before, sealed for `router_setups.work`; until nothing of it is under way
    work_sealed  bytea,
    -- what the wizard's page keeps for itself
    saved        jsonb,
    -- where the router called from
    called_from  text,
    started_at   timestamptz not null,
    updated_at   timestamptz not null,
    primary key (tenant_id, router_id),
    foreign key (tenant_id, router_id) references routers (tenant_id, id)
);

alter table router_setups enable row level security;
alter table router_setups force row level security;
create policy tenant on router_setups
    using (tenant_id = (select nullif(current_setting('app.tenant', true), '')::uuid));
grant select, insert, update, delete on router_setups to easyisp_app;

-- As in 0034, and the tokens of routers.
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
    delete from directory.certificates where tenant_id = tenant;
    delete from directory.callback_tokens where tenant_id = tenant;
    delete from directory.pictures where tenant_id = tenant;
    delete from directory.jobs where tenant_id = tenant and kind <> 'tenants.purge';
    return 0;
end $$;
