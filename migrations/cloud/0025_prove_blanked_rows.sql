-- What a provider told of one payment, for whoever shows or blanks one subscriber's.
create index payment_inbox_intent on payment_inbox (tenant_id, intent_id) where intent_id is not null;

-- The chain holds what a row says in words as a salted digest of its own, so that amounts, accounts and moments of
-- a row are proved after its words are gone. The salt goes with the words: without it nobody can try which words
-- had the digest. A row without a salt is older than this, or was blanked.
alter table entries add column salt bytea check (length(salt) = 16);
alter table audit add column salt bytea check (length(salt) = 16);
-- The digest of the words that were there; null = the row is older.
alter table redactions add column words bytea check (length(words) = 32);

create or replace function blank_audit(lines uuid[], names_too boolean[], pseudonym text, is_old boolean) returns void
language plpgsql security definer set search_path = public, pg_temp as $$
begin
    if pseudonym !~ '^(erased-[0-9a-f]{12})?$' then
        raise exception 'blank_audit: a pseudonym is erased- and twelve hex digits';
    end if;
    update audit a
       set details = '', before = null, after = null, salt = null,
           target_name = case when l.named then pseudonym else a.target_name end,
           actor_name = case when is_old then '' else a.actor_name end,
           ip_address = case when is_old then null else a.ip_address end,
           request_id = case when is_old then null else a.request_id end
      from unnest(lines, names_too) as l (id, named)
     where a.tenant_id = (select nullif(current_setting('app.tenant', true), '')::uuid) and a.id = l.id;
end $$;

create or replace function blank_entries(ids uuid[]) returns void
language sql security definer set search_path = public, pg_temp as $$
    update entries
       set description = '', salt = null
     where tenant_id = (select nullif(current_setting('app.tenant', true), '')::uuid) and id = any(ids)
$$;

-- Whoever could not be erased when his time was over is tried again then: nobody waits behind him.
alter table customers add column erase_after timestamptz;
