-- What a person of the platform says of a top-up that M-Pesa never told of.
alter table topups
    -- M-Pesa's, from the platform's statement
    add column receipt text,
    add column settled_by uuid,
    add column settled_at timestamptz,
    add check ((settled_by is null) = (settled_at is null)),
    add check (receipt is null or settled_by is not null);

-- The top-ups of many tenants in one round trip, for the platform's own list; like `platform_settlements`, as the
-- caller and under row security.
create function platform_topups(ids uuid[], wanted text, most bigint)
returns table (
    tenant_id uuid, business_name text, id uuid, amount bigint, phone text, state text, message text,
    created_at timestamptz, ended_at timestamptz, receipt text, settled_by uuid, settled_at timestamptz)
language plpgsql security invoker as $$
declare
    one uuid;
    was text := current_setting('app.tenant', true);
begin
    foreach one in array ids loop
        perform set_config('app.tenant', one::text, true);
        return query
            select t.tenant_id, t.business_name, s.id, s.amount, s.phone, s.state, s.message, s.created_at, s.ended_at,
                   s.receipt, s.settled_by, s.settled_at
              from topups s
              join tenants t on t.tenant_id = s.tenant_id
             where s.tenant_id = one and (wanted is null or s.state = wanted)
             order by s.created_at desc
             limit most;
    end loop;
    perform set_config('app.tenant', coalesce(was, ''), true);
end $$;
