-- Customers are found by what stands anywhere in a word of their names, user names and phones: each end of such a word
-- is a word of its own, so that a search still walks one range. Of e-mails and account numbers it is the beginning, as
-- before.
create or replace function words_of_customer(
    username text, name text, email text, phone text, phone_number text, account_number integer)
returns text[]
language plpgsql immutable parallel safe as $$
declare
    digits text := regexp_replace(coalesce(phone, ''), '[^0-9]', '', 'g');
    words text[] := array[left(lower(email), 64), account_number::text, digits];
    rest text := lower(split_part(email, '@', 1));
begin
    while rest <> '' loop
        words := words || left(rest, 64);
        rest := substring(rest from '[-._/@+,;:()&#''"]+([^-._/@+,;:()&#''"].*)$');
    end loop;
    foreach rest in array regexp_split_to_array(
        lower(concat_ws(' ', username, name, coalesce(left(phone_number, 20), phone),
                        case when phone_number is null then digits end)), '\s+')
    loop
        for place in 1..length(rest) loop
            words := words || substr(rest, place, 64);
        end loop;
    end loop;
    return array(select distinct w from unnest(words) as w where w <> '');
end $$;

-- Those who are here, a tenant after the other: row security is forced on the owner too, and nobody is kept waiting.
do $$
declare
    tenant uuid;
begin
    for tenant in select tenant_id from directory.tenants loop
        perform set_config('app.tenant', tenant::text, true);
        delete from customer_words where tenant_id = tenant;
        insert into customer_words (tenant_id, word, customer_id)
        select c.tenant_id, w.word, c.id
          from customers c
         cross join lateral unnest(words_of_customer(c.username, c.name, c.email, c.phone, c.phone_number,
                                                     c.account_number)) as w (word)
         where c.tenant_id = tenant and c.deleted_at is null;
    end loop;
    perform set_config('app.tenant', '', true);
end $$;
