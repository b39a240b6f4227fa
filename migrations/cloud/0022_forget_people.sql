-- Whoever wishes it is taken out of what is kept, and what is kept of people ends with its time.

-- When a customer was erased: from then on he is a pseudonym.
alter table customers add column erased_at timestamptz;
-- Few, and asked for with every batch of accounting.
create index customer_erased on customers (tenant_id, id) where erased_at is not null;

-- Lines of the trail and texts of entries that were blanked after they were written. The chain's digest of such
-- a row covers what it said, which nobody can compute any more: `digest` is of what is left, and `line_id` the
-- line of the trail that vouches for all that was blanked with it. That one stands in the chain like any other.
create table redactions (
    tenant_id   uuid not null references tenants,
    line_id     uuid not null,
    kind        text not null check (kind in ('ENTRY', 'AUDIT')),
    subject_id  uuid not null,
    digest      bytea not null check (length(digest) = 32),
    primary key (tenant_id, line_id, kind, subject_id)
);
create index on redactions (tenant_id, kind, subject_id, line_id);

alter table redactions enable row level security;
alter table redactions force row level security;
create policy tenant on redactions
    using (tenant_id = (select nullif(current_setting('app.tenant', true), '')::uuid));
grant select, insert on redactions to easyisp_app;

-- The server may not change the trail or the journal. These let it blank, and nothing else: what stands there
-- afterwards is nothing, or a pseudonym. Of an old line who did it goes as well, but for his id.
create function blank_audit(lines uuid[], names_too boolean[], pseudonym text, is_old boolean) returns void
language plpgsql security definer set search_path = public, pg_temp as $$
begin
    if pseudonym !~ '^(erased-[0-9a-f]{12})?$' then
        raise exception 'blank_audit: a pseudonym is erased- and twelve hex digits';
    end if;
    update audit a
       set details = '', before = null, after = null,
           target_name = case when l.named then pseudonym else a.target_name end,
           actor_name = case when is_old then '' else a.actor_name end,
           ip_address = case when is_old then null else a.ip_address end,
           request_id = case when is_old then null else a.request_id end
      from unnest(lines, names_too) as l (id, named)
     where a.tenant_id = (select nullif(current_setting('app.tenant', true), '')::uuid) and a.id = l.id;
end $$;
revoke all on function blank_audit(uuid[], boolean[], text, boolean) from public;
grant execute on function blank_audit(uuid[], boolean[], text, boolean) to easyisp_app;

create function blank_entries(ids uuid[]) returns void
language sql security definer set search_path = public, pg_temp as $$
    update entries
       set description = ''
     where tenant_id = (select nullif(current_setting('app.tenant', true), '')::uuid) and id = any(ids)
$$;
revoke all on function blank_entries(uuid[]) from public;
grant execute on function blank_entries(uuid[]) to easyisp_app;

-- A name and a device can be taken out of a line of the log; lines and messages go when they are old.
grant update (username, mac), delete on auth_log to easyisp_app;
grant delete on messages to easyisp_app;

-- The oldest hours are found by where they lie: a tree would cost every record of accounting.
create index usage_age on usage using brin (at);
