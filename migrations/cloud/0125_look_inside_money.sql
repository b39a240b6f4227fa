-- A search of payments, prompts and invoices also finds what is looked for in the middle of an account, a receipt, a phone,
-- a number or a reference: the newest ten thousand of each are looked through, in the order of an index, which takes some
-- ten milliseconds whatever stands behind them. Everything older is found as before, by its beginning or as a whole. No
-- index of parts of words: each payment would have to write it. What is shorter than four letters stands in too many
-- receipts and phones.

-- What a search finds of payments that providers told of. Of a word that begins more than a thousand customers the newest
-- hundred thousand payments are looked through.
create or replace function found_electronic(tenant uuid, spoken text, digits text) returns uuid[]
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
          from (select p.id, p.receipt, p.account, p.phone from payments p
                 where p.tenant_id = tenant
                 order by p.created_at desc
                 limit 10000) n
         where strpos(lower(n.account), lower(said)) > 0 or (length(code) >= 4 and strpos(n.receipt, code) > 0)
            or strpos(n.phone, digits) > 0
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
create or replace function found_intents(tenant uuid, spoken text, digits text) returns uuid[]
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
        select n.id
          from (select i.id, i.checkout_request_id, i.account_reference, i.phone_number from intents i
                 where i.tenant_id = tenant
                 order by i.created_at desc
                 limit 10000) n
         where strpos(lower(n.account_reference), lower(said)) > 0 or strpos(n.phone_number, digits) > 0
            or (length(said) >= 4 and strpos(lower(n.checkout_request_id), lower(said)) > 0)
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
create or replace function found_invoices(tenant uuid, spoken text, digits text) returns uuid[]
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
        select n.id
          from (select i.id, i.number, i.reference from invoices i
                 where i.tenant_id = tenant
                 order by i.issued_at desc, i.serial desc
                 limit 10000) n
         where strpos(n.number, code) > 0 or strpos(lower(n.reference), lower(said)) > 0
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
