-- What the router of a customer who logs in nowhere (STATIC, DHCP) has of him, as his site's agent read it last.
create table customer_lines (
    tenant_id    uuid not null,
    customer_id  uuid not null,
    router_id    uuid not null,
    state        text not null check (state in ('ENFORCED', 'WAITING', 'REFUSED')),
    -- why it is not as it should be
    why          text not null check (length(why) <= 500),
    -- what is in force; null where nothing is known to be
    address      text,
    reach        text check (reach in ('OPEN', 'GARDEN', 'BLOCKED')),
    up_kbps      integer,
    down_kbps    integer,
    at           timestamptz not null,
    primary key (tenant_id, customer_id),
    foreign key (tenant_id, customer_id) references customers (tenant_id, id),
    foreign key (tenant_id, router_id) references routers (tenant_id, id)
);
create index on customer_lines (tenant_id, router_id);

alter table customer_lines enable row level security;
alter table customer_lines force row level security;
create policy tenant on customer_lines
    using (tenant_id = (select nullif(current_setting('app.tenant', true), '')::uuid));
grant select, insert, update, delete on customer_lines to easyisp_app;
