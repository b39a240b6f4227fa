-- By which supplicants and RadSec routers know a site's boxes: what its first box made, so that those who join later, or
-- take its place, are known by the same. The key is sealed under the site's key.
create table site_authorities (
    tenant_id    uuid not null references tenants,
    site_id      uuid not null,
    certificate  bytea not null,
    key_sealed   bytea not null,
    told_at      timestamptz not null,
    primary key (tenant_id, site_id),
    foreign key (tenant_id, site_id) references sites (tenant_id, id)
);
alter table site_authorities enable row level security;
alter table site_authorities force row level security;
create policy tenant on site_authorities
    using (tenant_id = (select nullif(current_setting('app.tenant', true), '')::uuid));
grant select, insert, update, delete on site_authorities to easyisp_app;

-- SHA-256 of the certificate that an agent told as its own. Who had the site's may tell another one in its place.
alter table agents add column authority_digest bytea;
