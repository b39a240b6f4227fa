-- Whose a device is, and whose a phone: so often may a package be bought by one device or phone, under whatever account,
-- and every such purchase asks while it holds a lock. No index serves the operators of arrays under row security, because
-- they are not leakproof; the comparison of text is. The rows are kept by the database itself with every change of a
-- customer and of what was last seen of him, so that no writer can forget them. Who is deleted keeps his: what he bought
-- counts on.
create table customer_devices (
    tenant_id    uuid not null,
    mac          text not null,
    customer_id  uuid not null,
    -- seen with him last (customer_usage), or written with him (customers): each keeps its own rows
    seen         boolean not null,
    primary key (tenant_id, mac, customer_id, seen)
);

create function keep_customer_devices() returns trigger language plpgsql as $$
declare
    had text[] := '{}';
    has text[] := new.macs || new.remembered_macs || new.bound_macs;
begin
    if tg_op = 'UPDATE' then
        had := old.macs || old.remembered_macs || old.bound_macs;
        -- The old row's devices are found by themselves: no index by customer is needed.
        delete from customer_devices
         where tenant_id = old.tenant_id and customer_id = old.id and not seen
           and mac = any(had) and mac <> all(has);
    end if;
    insert into customer_devices (tenant_id, mac, customer_id, seen)
    select distinct new.tenant_id, mac, new.id, false
      from unnest(has) as mac
     where mac <> all(had)
        on conflict do nothing;
    return null;
end $$;
create trigger keep_devices_of_new after insert on customers
    for each row
    when (cardinality(new.macs || new.remembered_macs || new.bound_macs) > 0)
    execute function keep_customer_devices();
create trigger keep_devices_of_changed after update of macs, remembered_macs, bound_macs on customers
    for each row
    when ((old.macs, old.remembered_macs, old.bound_macs) is distinct from
          (new.macs, new.remembered_macs, new.bound_macs))
    execute function keep_customer_devices();

create function keep_seen_device() returns trigger language plpgsql as $$
begin
    if tg_op = 'UPDATE' and old.last_mac is not null then
        delete from customer_devices
         where tenant_id = old.tenant_id and customer_id = old.customer_id and mac = old.last_mac and seen;
    end if;
    if new.last_mac is not null then
        insert into customer_devices (tenant_id, mac, customer_id, seen)
        values (new.tenant_id, new.last_mac, new.customer_id, true)
            on conflict do nothing;
    end if;
    return null;
end $$;
create trigger keep_device_of_new after insert on customer_usage
    for each row when (new.last_mac is not null)
    execute function keep_seen_device();
-- Nearly every report is of the device that was seen before.
create trigger keep_device_of_changed after update of last_mac on customer_usage
    for each row when (old.last_mac is distinct from new.last_mac)
    execute function keep_seen_device();

alter table customer_devices enable row level security;
alter table customer_devices force row level security;
create policy tenant on customer_devices
    using (tenant_id = (select nullif(current_setting('app.tenant', true), '')::uuid));
grant select, insert, delete on customer_devices to easyisp_app;

-- The same of phones, of those too who were deleted.
create index customer_of_phone on customers (tenant_id, phone_number) where phone_number is not null;

-- What a person has looked at, in the words in which it was noted: these stay, because they keep the same money from being
-- credited a second time.
alter table intents add column reviewed text;
-- Payments that a person must look at, among all there are.
create index intent_to_review on intents (tenant_id, created_at desc, id)
 where nullif(needs_review, reviewed) is not null;

-- Those who are here, a tenant after the other: row security is forced on the owner too.
do $$
declare
    tenant uuid;
begin
    for tenant in select tenant_id from directory.tenants loop
        perform set_config('app.tenant', tenant::text, true);
        insert into customer_devices (tenant_id, mac, customer_id, seen)
        select distinct c.tenant_id, d.mac, c.id, false
          from customers c
         cross join lateral unnest(c.macs || c.remembered_macs || c.bound_macs) as d (mac)
         where c.tenant_id = tenant
        union all
        select u.tenant_id, u.last_mac, u.customer_id, true
          from customer_usage u
         where u.tenant_id = tenant and u.last_mac is not null;
    end loop;
    perform set_config('app.tenant', '', true);
end $$;
