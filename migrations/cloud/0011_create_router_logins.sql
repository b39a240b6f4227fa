-- People who may log in to the routers themselves. The switch is the tenant's; without it sites know nobody.
alter table tenants add column router_logins boolean not null default false;

create table router_logins (
    tenant_id        uuid not null references tenants,
    id               uuid not null,
    username         text not null,
    password_sealed  bytea not null,
    -- a `/user group` of the router
    router_group     text not null,
    -- the only router; null = every one
    router_id        uuid,
    created_at       timestamptz not null,
    updated_at       timestamptz not null,
    primary key (tenant_id, id),
    foreign key (tenant_id, router_id) references routers (tenant_id, id)
);
create unique index router_login_name on router_logins (tenant_id, username);

alter table router_logins enable row level security;
alter table router_logins force row level security;
create policy tenant on router_logins
    using (tenant_id = (select nullif(current_setting('app.tenant', true), '')::uuid));
grant select, insert, update, delete on router_logins to easyisp_app;
