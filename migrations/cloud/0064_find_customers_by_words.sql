-- The words by which customers are found. No index serves `like` under row security, because it is not leakproof; the
-- comparisons of text are, so that a search for the beginning of a word walks a range of this table and not all
-- customers. Its rows are kept by the database itself with every change of a customer, so that no writer can forget
-- them; one who is deleted has none.
create table customer_words (
    tenant_id    uuid not null,
    word         text collate "C" not null,
    customer_id  uuid not null,
    primary key (tenant_id, word, customer_id)
);

-- What somebody can begin to type of a customer: the words of his names and what stands in one behind a separator, of a
-- very long one its beginning; of a phone also its end, from any digit on with three behind it. Not in SQL: a plan for
-- each customer would take longer than all the rest.
create function words_of_customer(
    username text, name text, email text, phone text, phone_number text, account_number integer)
returns text[]
language plpgsql immutable parallel safe as $$
declare
    digits text := regexp_replace(coalesce(phone, ''), '[^0-9]', '', 'g');
    number text := left(coalesce(phone_number, digits), 20);
    words text[] := array[left(lower(email), 64), account_number::text, digits];
    rest text;
begin
    foreach rest in array regexp_split_to_array(
        lower(concat_ws(' ', username, name, split_part(email, '@', 1), case when phone_number is null then phone end)), '\s+')
    loop
        while rest <> '' loop
            words := words || left(rest, 64);
            rest := substring(rest from '[-._/@+,;:()&#''"]+([^-._/@+,;:()&#''"].*)$');
        end loop;
    end loop;
    for place in 1..length(number) - 3 loop
        words := words || substr(number, place);
    end loop;
    return array(select distinct w from unnest(words) as w where w <> '');
end $$;

create function keep_customer_words() returns trigger language plpgsql as $$
begin
    if tg_op = 'INSERT' then
        insert into customer_words (tenant_id, word, customer_id)
        select n.tenant_id, w.word, n.id
          from after n
         cross join lateral unnest(words_of_customer(n.username, n.name, n.email, n.phone, n.phone_number,
                                                     n.account_number)) as w (word)
         where n.deleted_at is null;
        return null;
    end if;
    -- The old row's words are found by themselves: no index by customer is needed.
    delete from customer_words
     where tenant_id = old.tenant_id and customer_id = old.id
       and word = any(words_of_customer(old.username, old.name, old.email, old.phone, old.phone_number,
                                        old.account_number));
    if new.deleted_at is null then
        insert into customer_words (tenant_id, word, customer_id)
        select new.tenant_id, w.word, new.id
          from unnest(words_of_customer(new.username, new.name, new.email, new.phone, new.phone_number,
                                        new.account_number)) as w (word);
    end if;
    return null;
end $$;
create trigger keep_words_of_new after insert on customers
    referencing new table as after
    for each statement execute function keep_customer_words();
-- What money and time change of a customer is none of these.
create trigger keep_words_of_changed
    after update of username, name, email, phone, phone_number, account_number, deleted_at on customers
    for each row
    when ((old.username, old.name, old.email, old.phone, old.phone_number, old.account_number,
           old.deleted_at is null)
          is distinct from
          (new.username, new.name, new.email, new.phone, new.phone_number, new.account_number,
           new.deleted_at is null))
    execute function keep_customer_words();

-- Who has a word that begins so for each word that is looked for, the longest first; or a phone that does. Not in SQL:
-- its plan would not know that these are ranges of an index.
create function found_customers(tenant uuid, spoken text, phone text) returns uuid[]
language plpgsql stable parallel safe as $$
declare
    sought text;
    hits uuid[];
begin
    for sought in
        select t.word
          from (select distinct left(token, 64) as word
                  from regexp_split_to_table(lower(spoken), '\s+') as token
                 where token <> '') t
         order by length(t.word) desc, t.word
    loop
        if hits is null then
            hits := array(select distinct w.customer_id from customer_words w
                           where w.tenant_id = tenant and w.word >= sought and w.word < sought || chr(1114111));
        else
            hits := array(select w.customer_id from customer_words w
                           where w.tenant_id = tenant and w.word >= sought and w.word < sought || chr(1114111)
                          intersect
                          select unnest(hits));
        end if;
    end loop;
    if phone is null then
        return coalesce(hits, '{}');
    end if;
    return array(select w.customer_id from customer_words w
                  where w.tenant_id = tenant and w.word >= phone and w.word < phone || chr(1114111)
                 union
                 select unnest(hits));
end $$;

alter table customer_words enable row level security;
alter table customer_words force row level security;
create policy tenant on customer_words
    using (tenant_id = (select nullif(current_setting('app.tenant', true), '')::uuid));
grant select, insert, delete on customer_words to easyisp_app;

-- Those who are here. Row security is forced on the owner too, so it stands aside for this one statement.
alter table customers no force row level security;
alter table customer_words no force row level security;
insert into customer_words (tenant_id, word, customer_id)
select c.tenant_id, w.word, c.id
  from customers c
 cross join lateral unnest(words_of_customer(c.username, c.name, c.email, c.phone, c.phone_number,
                                             c.account_number)) as w (word)
 where c.deleted_at is null;
alter table customers force row level security;
alter table customer_words force row level security;

-- What a search looked into.
alter table customers drop column search_text;
