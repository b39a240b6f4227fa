-- Logos and portraits, as they were encoded anew. They are shown to whoever has the address, which nobody
-- guesses: the browser that loads one has no token to show.

-- Whose picture has this name: 16 random bytes. A directory table as those of 0001, and for their reason.
create table directory.pictures (
    name        bytea primary key check (length(name) = 16),
    tenant_id   uuid not null references directory.tenants
);
grant select, insert, delete on directory.pictures to easyisp_app;

create table pictures (
    tenant_id     uuid not null references tenants,
    name          bytea not null,
    -- whose portrait it is; null = the tenant's logo
    operator_id   uuid,
    content_type  text not null check (content_type in ('image/png', 'image/jpeg')),
    bytes         bytea not null check (length(bytes) <= 2097152),
    created_at    timestamptz not null,
    primary key (tenant_id, name),
    foreign key (tenant_id, operator_id) references operators (tenant_id, id)
);
create unique index picture_of on pictures (tenant_id, operator_id) nulls not distinct;

alter table pictures enable row level security;
alter table pictures force row level security;
create policy tenant on pictures
    using (tenant_id = (select nullif(current_setting('app.tenant', true), '')::uuid));
grant select, insert, delete on pictures to easyisp_app;
