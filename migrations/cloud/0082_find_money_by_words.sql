-- What a search finds of payments, prompts and invoices: those of the customers who have words that begin so
-- (`found_customers`), and those whose receipt, number, account or phone is what is looked for. Each part walks an
-- index and not years of rows; what fits more of them than anybody reads ends with the newest 10,000. Not in SQL: its
-- plan would not know that these are ranges of an index.

-- What payers and operators gave as account; and what came to a short code in a stretch of time.
create index payment_account on payments (tenant_id, account) where account is not null;
create index payment_at_gateway on payments (tenant_id, gateway_id, paid_at) where gateway_id is not null;

-- The payments that a search finds. Of a word that begins more than a thousand customers the newest hundred thousand are
-- looked through, and of what is in words that somebody typed by hand the newest fifty thousand.
create function found_payments(tenant uuid, spoken text, digits text) returns uuid[]
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
        select n.id
          from (select p.id, p.description, p.account from payments p
                 where p.tenant_id = tenant and p.method not in ('MPESA', 'AIRTEL') and p.status = 'completed'
                 order by p.created_at desc
                 limit 50000) n
         where strpos(lower(n.description), lower(said)) > 0 or strpos(lower(n.account), lower(said)) > 0
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

-- The same of prompts that brought no payment.
create function found_intents(tenant uuid, spoken text, digits text) returns uuid[]
language plpgsql stable parallel safe as $$
declare
    hits uuid[] := found_customers(tenant, spoken, digits);
    said text := btrim(spoken);
    ids uuid[];
begin
    if cardinality(hits) <= 1000 then
        ids := array(select i.id from intents i
                        where i.tenant_id = tenant and i.customer_id = any(hits)
                        order by i.created_at desc
                        limit 10000);
    else
        ids := array(select n.id
                         from (select i.id, i.customer_id from intents i
                                where i.tenant_id = tenant
                                order by i.created_at desc
                                limit 100000) n
                         join unnest(hits) as h (id) on h.id = n.customer_id
                        limit 10000);
    end if;
    if length(digits) >= 9 then
        ids := ids || array(select i.id from intents i
                                 where i.tenant_id = tenant and i.phone_number >= digits
                                   and i.phone_number < digits || chr(1114111)
                                 limit 10000);
    end if;
    return array(
        select f.id from unnest(ids) as f (id)
         union
        select i.id from intents i where i.tenant_id = tenant and i.checkout_request_id = said
         union
        select i.id from intents i
         where i.tenant_id = tenant and i.account_reference = upper(said) and i.receipt is null
         union
        select i.id from intents i where i.tenant_id = tenant and i.id = uuid_of(said)
         union
        -- Who was deleted has no words any more: the newest five thousand of them are looked through.
        select i.id
          from (select c.id, c.name, c.username from customers c
                 where c.tenant_id = tenant and c.deleted_at is not null and c.erased_at is null
                 order by c.deleted_at desc
                 limit 5000) c
          join intents i on i.tenant_id = tenant and i.customer_id = c.id
         where said <> '' and (strpos(lower(c.name), lower(said)) > 0 or strpos(lower(c.username), lower(said)) > 0));
end $$;

-- The same of invoices and receipts of sales: by their number from its beginning on, or its digits, and by what was
-- given as reference when they were paid.
create function found_invoices(tenant uuid, spoken text, digits text) returns uuid[]
language plpgsql stable parallel safe as $$
declare
    hits uuid[] := found_customers(tenant, spoken, digits);
    said text := btrim(spoken);
    code text := upper(regexp_replace(spoken, '\s', '', 'g'));
    wanted text := case when code ~ '^[0-9]+$' then 'INV-' || code else code end;
    ids uuid[];
begin
    if cardinality(hits) <= 1000 then
        ids := array(select i.id from invoices i
                        where i.tenant_id = tenant and i.customer_id = any(hits)
                        order by i.issued_at desc
                        limit 10000);
    else
        ids := array(select n.id
                         from (select i.id, i.customer_id from invoices i
                                where i.tenant_id = tenant
                                order by i.issued_at desc, i.serial desc
                                limit 100000) n
                         join unnest(hits) as h (id) on h.id = n.customer_id
                        limit 10000);
    end if;
    ids := ids || array(select i.id from invoices i
                             where i.tenant_id = tenant and i.number >= wanted
                               and i.number < wanted || chr(1114111)
                             order by i.number desc
                             limit 10000);
    return array(
        select f.id from unnest(ids) as f (id)
         union
        select i.id from invoices i where i.tenant_id = tenant and i.number = wanted
         union
        select i.id from invoices i where i.tenant_id = tenant and i.typed_key = left(code, 40)
         union
        -- Who was deleted has no words any more: the newest five thousand of them are looked through.
        select i.id
          from (select c.id, c.name, c.username from customers c
                 where c.tenant_id = tenant and c.deleted_at is not null and c.erased_at is null
                 order by c.deleted_at desc
                 limit 5000) c
          join invoices i on i.tenant_id = tenant and i.customer_id = c.id
         where said <> '' and (strpos(lower(c.name), lower(said)) > 0 or strpos(lower(c.username), lower(said)) > 0));
end $$;

-- A text that is an id; null for every other one.
create function uuid_of(said text) returns uuid
language sql immutable parallel safe as $$
    select case when said ~* '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' then said::uuid end
$$;
