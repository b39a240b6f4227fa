-- How far a tenant's books are proved: what was sealed since is proved every few minutes, everything every night.
create table directory.book_checks (
    tenant_id   uuid primary key references directory.tenants,
    -- the last row of the chain that was proved, and its digest as it was then
    sequence    bigint not null,
    digest      bytea not null check (length(digest) = 32),
    checked_at  timestamptz not null,
    -- when the whole of it was proved last; null = not yet
    proved_at   timestamptz,
    -- what is wrong, in sentences that name rows; empty = nothing
    findings    text[] not null default '{}',
    found_at    timestamptz
);
grant select, insert, update, delete on directory.book_checks to easyisp_app;
create index book_checks_found on directory.book_checks (found_at) where found_at is not null;

-- Tenants that are here already.
insert into directory.jobs (tenant_id, kind, subject, due_at)
select t.tenant_id, k.kind, t.tenant_id, t.created_at
  from directory.tenants t
 cross join (values ('ledger.check'), ('ledger.prove')) as k (kind)
 where t.purged_at is null
    on conflict do nothing;
