-- A tenant that was deleted is purged after thirty days. What is left of him: that he was here (his row in
-- directory.tenants), and the receipts and account numbers that nobody may use again.
alter table directory.tenants add column purged_at timestamptz;

insert into directory.jobs (tenant_id, kind, subject, due_at)
select tenant_id, 'tenants.purge', tenant_id, deleted_at + interval '30 days'
  from directory.tenants
 where deleted_at is not null
    on conflict do nothing;

-- Removes at most `most` rows of a tenant that was deleted before `cutoff`, of one table, and returns how many;
-- 0 = nothing is left. It runs as the owner of the tables: the server itself may not delete books. Tables come
-- after those that refer to them.
create function purge_tenant(tenant uuid, cutoff timestamptz, most bigint) returns bigint
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
    delete from directory.certificates where tenant_id = tenant;
    delete from directory.callback_tokens where tenant_id = tenant;
    delete from directory.pictures where tenant_id = tenant;
    delete from directory.jobs where tenant_id = tenant and kind <> 'tenants.purge';
    return 0;
end $$;
revoke all on function purge_tenant(uuid, timestamptz, bigint) from public;
grant execute on function purge_tenant(uuid, timestamptz, bigint) to easyisp_app;
