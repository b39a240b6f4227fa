-- What a search finds of money that is nobody's yet and of income that was typed by hand, as `found_payments` does of
-- payments: what is known by a code walks an index, and of words the newest fifty thousand are looked through, never years
-- of rows.
create function found_unallocated(tenant uuid, spoken text, digits text) returns uuid[]
language plpgsql stable parallel safe as $$
declare
    said text := lower(btrim(spoken));
    code text := upper(regexp_replace(spoken, '\s', '', 'g'));
begin
    return array(
        select p.id from payments p
         where p.tenant_id = tenant and p.receipt >= code and p.receipt < code || chr(1114111)
           and p.customer_id is null and length(code) >= 4
         union
        -- whatever the order of letters in this database
        select p.id from payments p where p.tenant_id = tenant and p.receipt = code and p.customer_id is null
         union
        select p.id from payments p
         where p.tenant_id = tenant and p.account = any(array[btrim(spoken), upper(said), said]) and p.customer_id is null
         union
        select p.id from payments p where p.tenant_id = tenant and p.phone = digits and p.customer_id is null
         union
        select n.id
          from (select p.id, p.receipt, p.phone, p.account, p.payer_name from payments p
                 where p.tenant_id = tenant and p.customer_id is null and p.status = 'completed'
                 order by p.paid_at desc, p.id desc
                 limit 50000) n
         where strpos(lower(n.receipt), said) > 0 or strpos(n.phone, said) > 0 or strpos(n.phone, digits) = 1
            or strpos(lower(n.account), said) > 0 or strpos(lower(n.payer_name), said) > 0
         limit 10000);
end $$;

create function found_incomes(tenant uuid, spoken text) returns uuid[]
language plpgsql stable parallel safe as $$
declare
    said text := lower(btrim(spoken));
    code text := left(upper(regexp_replace(spoken, '\s', '', 'g')), 40);
begin
    return array(
        select i.id from incomes i where i.tenant_id = tenant and i.typed_key = code
         union
        select n.id
          from (select i.id, i.customer_name, i.description, i.reference from incomes i
                 where i.tenant_id = tenant
                 order by i.occurred_at desc, i.id desc
                 limit 50000) n
         where strpos(lower(n.customer_name), said) > 0 or strpos(lower(n.description), said) > 0
            or strpos(lower(n.reference), said) > 0
         limit 10000);
end $$;

-- What a package brought in of the months that were billed on it.
create index invoice_of_package on invoices (tenant_id, package_id) where package_id is not null;
