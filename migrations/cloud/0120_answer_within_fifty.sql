-- Pages of a provider with years behind him that took longer than 50 ms: what they ask stands in the index that finds
-- it, so that a hundred thousand rows are counted without a look at one of them; and a search looks through what was
-- typed by hand only where that is shown.

-- Totals of a list by package or router. The list shows some kinds of connection or all.
create index customer_of_package on customers (tenant_id, package_id) include (connection_type)
    where deleted_at is null;
create index customer_of_router on customers (tenant_id, router_id) include (connection_type)
    where deleted_at is null;

-- Who is served and until when; when he came, for the report on who came and left.
create index customer_serves on customers (tenant_id, served_until) include (connection_type, created_at)
    where deleted_at is null and standing = 'ACTIVE';

-- Whose paid time ends when, and what he pays then.
create index customer_paid on customers (tenant_id, paid_until) include (package_id, funded_until, parent_id, postpaid)
    where deleted_at is null and standing = 'ACTIVE';

-- Those in whose place they are go last: it shuts everybody out, for a moment and not while indexes are made.
drop index customers_tenant_id_package_id_idx;
drop index customers_tenant_id_router_id_idx;
drop index customers_tenant_id_paid_until_idx;
drop index customer_served;
alter index customer_serves rename to customer_served;

-- What a search finds of payments that providers told of. Of a word that begins more than a thousand customers the newest
-- hundred thousand payments are looked through.
create function found_electronic(tenant uuid, spoken text, digits text) returns uuid[]
language plpgsql stable parallel safe as $$
declare
    hits uuid[] := found_customers(tenant, spoken, digits);
    said text := btrim(spoken);
    code text := upper(regexp_replace(spoken, '\s', '', 'g'));
    ids uuid[];
begin
    if cardinality(hits) <= 1000 then
        ids := array(select p.id from payments p
                        where p.tenant_id = tenant and p.customer_id = any(hits)
                        order by p.created_at desc
                        limit 10000);
    else
        ids := array(select n.id
                         from (select p.id, p.customer_id from payments p
                                where p.tenant_id = tenant
                                order by p.created_at desc
                                limit 100000) n
                         join unnest(hits) as h (id) on h.id = n.customer_id
                        limit 10000);
    end if;
    if length(code) >= 4 then
        ids := ids || array(select p.id from payments p
                                 where p.tenant_id = tenant and p.receipt >= code and p.receipt < code || chr(1114111)
                                 order by p.receipt desc
                                 limit 10000);
    end if;
    if length(digits) >= 9 then
        ids := ids || array(select p.id from payments p
                                 where p.tenant_id = tenant and p.phone >= digits and p.phone < digits || chr(1114111)
                                 limit 10000);
    end if;
    return array(
        select f.id from unnest(ids) as f (id)
         union
        -- whatever the order of letters in this database
        select p.id from payments p where p.tenant_id = tenant and p.receipt = code
         union
        select p.id from payments p
         where p.tenant_id = tenant and p.account = any(array[said, upper(said), lower(said)])
         union
        select p.id
          from intents i
          join payments p on p.tenant_id = tenant and p.intent_id = i.id
         where i.tenant_id = tenant and i.checkout_request_id = said
         union
        select p.id from payments p where p.tenant_id = tenant and p.id = uuid_of(said)
         union
        -- Who was deleted has no words any more: the newest five thousand of them are looked through.
        select p.id
          from (select c.id, c.name, c.username from customers c
                 where c.tenant_id = tenant and c.deleted_at is not null and c.erased_at is null
                 order by c.deleted_at desc
                 limit 5000) c
          join payments p on p.tenant_id = tenant and p.customer_id = c.id
         where said <> '' and (strpos(lower(c.name), lower(said)) > 0 or strpos(lower(c.username), lower(said)) > 0));
end $$;

-- The same with what was written down by hand, the newest fifty thousand of which are looked through for words.
create or replace function found_payments(tenant uuid, spoken text, digits text) returns uuid[]
language plpgsql stable parallel safe as $$
declare
    -- asked here, as a plan would ask it once more to know how many they are
    ids uuid[] := found_electronic(tenant, spoken, digits);
begin
    return array(
        select f.id from unnest(ids) as f (id)
         union
        select n.id
          from (select p.id, p.description, p.account from payments p
                 where p.tenant_id = tenant and p.method not in ('MPESA', 'AIRTEL') and p.status = 'completed'
                 order by p.created_at desc
                 limit 50000) n
         where strpos(lower(n.description), lower(btrim(spoken))) > 0
            or strpos(lower(n.account), lower(btrim(spoken))) > 0);
end $$;
