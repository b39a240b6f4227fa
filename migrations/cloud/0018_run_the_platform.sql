-- What the platform's own people do with tenants.

-- A tenant that was deleted is hidden and cut off at once; its rows stay until they are purged.
alter table directory.tenants add column deleted_at timestamptz;

alter table tenants
    -- when it first became more than a trial
    add column activated_at timestamptz,
    -- prepaid messages, and by whom they are sent where not by the platform
    add column sms_balance bigint not null default 0,
    add column sms_provider text,
    add column sms_api_key_sealed bytea,
    add column sms_sender_id text;

-- A session in which somebody of the platform acts inside a tenant: `tenant_id` is the tenant he is in, this
-- is where his account is.
alter table directory.sessions add column home_tenant_id uuid references directory.tenants;

-- Rows of many tenants in one round trip, for the platform's own lists. It walks them one at a time under row
-- security, as the caller: nobody sees by it what he could not see tenant by tenant.
create function platform_tenants(ids uuid[])
returns table (
    id uuid, slug text, business_name text, email text, phone text, status text, activated_at timestamptz,
    trial_ends_at timestamptz, subscription_ends_at timestamptz, created_at timestamptz,
    users bigint, customers bigint, routers bigint)
language plpgsql security invoker as $$
declare
    one uuid;
    was text := current_setting('app.tenant', true);
begin
    foreach one in array ids loop
        perform set_config('app.tenant', one::text, true);
        return query
            select t.tenant_id, t.slug, t.business_name, t.email, t.phone, t.status, t.activated_at,
                   t.trial_ends_at, t.subscription_ends_at, t.created_at,
                   (select count(*) from operators o
                     where o.tenant_id = t.tenant_id and o.deleted_at is null),
                   (select coalesce(sum(c.n), 0)::bigint from counts c
                     where c.tenant_id = t.tenant_id and c.what like 'customers.%'),
                   (select count(*) from routers r
                     where r.tenant_id = t.tenant_id and r.deleted_at is null)
              from tenants t
             where t.tenant_id = one;
    end loop;
    perform set_config('app.tenant', coalesce(was, ''), true);
end $$;
