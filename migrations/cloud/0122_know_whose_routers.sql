-- Whose a router is, for a page at its hotspot that names the router alone: GET /provision/hotspot-config/{router}. A
-- directory table, because whoever asks has no tenant yet; it goes with the router's row.
create table directory.routers (
    router_id  uuid primary key,
    tenant_id  uuid not null,
    foreign key (tenant_id, router_id) references routers (tenant_id, id) on delete cascade
);
create index on directory.routers (tenant_id, router_id);
grant select, insert on directory.routers to easyisp_app;

-- Those who are here, a tenant after the other: row security is forced on the owner too.
do $$
declare
    tenant uuid;
begin
    for tenant in select tenant_id from directory.tenants loop
        perform set_config('app.tenant', tenant::text, true);
        insert into directory.routers (router_id, tenant_id)
        select id, tenant_id from routers where tenant_id = tenant;
    end loop;
    perform set_config('app.tenant', '', true);
end $$;
