-- What every open dashboard asks again after half a minute is read from few rows, not counted from many.

-- Bytes by day (in the tenant's zone as it was then) and site, kept by the statement that books the hours. A
-- site's reports apply one after the other, so nobody waits for a row; and it outlives the hours.
create table site_usage (
    tenant_id  uuid not null references tenants,
    day        date not null,
    site_id    uuid not null,
    bytes_in   bigint not null check (bytes_in >= 0),
    bytes_out  bigint not null check (bytes_out >= 0),
    primary key (tenant_id, day, site_id)
) with (fillfactor = 60);

alter table site_usage enable row level security;
alter table site_usage force row level security;
create policy tenant on site_usage
    using (tenant_id = (select nullif(current_setting('app.tenant', true), '')::uuid));
grant select, insert, update on site_usage to easyisp_app;

-- What was booked before: the owner sees every tenant's rows while security is not forced.
alter table usage no force row level security;
alter table sessions no force row level security;
alter table tenants no force row level security;
alter table site_usage no force row level security;
insert into site_usage (tenant_id, day, site_id, bytes_in, bytes_out)
select u.tenant_id, (u.at at time zone t.time_zone)::date, s.site_id, sum(u.bytes_in), sum(u.bytes_out)
  from usage u
  join sessions s on s.tenant_id = u.tenant_id and s.id = u.session_id
  join tenants t on t.tenant_id = u.tenant_id
 group by 1, 2, 3;
alter table usage force row level security;
alter table sessions force row level security;
alter table tenants force row level security;
alter table site_usage force row level security;

-- How many of a batch's codes are gone, kept by who takes them: a tenant has few batches and many codes, and
-- the codes of a batch end together.
alter table voucher_batches
    add column used     integer not null default 0 check (used >= 0),
    add column revoked  integer not null default 0 check (revoked >= 0);
alter table voucher_batches no force row level security;
alter table vouchers no force row level security;
update voucher_batches b
   set used = v.used, revoked = v.revoked
  from (select tenant_id, batch_id, count(*) filter (where status = 'USED') as used,
               count(*) filter (where status = 'REVOKED') as revoked
          from vouchers
         group by tenant_id, batch_id) v
 where b.tenant_id = v.tenant_id and b.id = v.batch_id;
alter table voucher_batches force row level security;
alter table vouchers force row level security;

-- Who is online; an interim update changes nothing of it, so it stays heap-only.
create index session_online on sessions (tenant_id) where status = 'ACTIVE';

-- Reports of a stretch of time.
create index on payments (tenant_id, paid_at);
create index on periods (tenant_id, created_at);
