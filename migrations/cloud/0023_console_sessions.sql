-- The console's sessions. A browser holds an access token for minutes and a refresh token for days, both in
-- cookies that no script reads. Directory tables as those of 0001, and for their reason.

-- One signing-in of a browser: all the tokens that came of it.
create table directory.families (
    id             uuid primary key,
    tenant_id      uuid not null references directory.tenants,
    operator_id    uuid not null,
    created_at     timestamptz not null,
    seen_at        timestamptz not null,
    -- when the password was shown last
    proved_at      timestamptz not null,
    -- unused for so long it ends; null = as long as its refresh token is good
    idle_secs      integer check (idle_secs > 0),
    -- its end, however much it is used
    ends_at        timestamptz not null,
    origin_sealed  bytea not null
);
create index on directory.families (operator_id);
create index on directory.families (ends_at);
grant select, insert, update, delete on directory.families to easyisp_app;

-- Refresh tokens, the replaced ones too: SHA-256 of the token. One that was replaced and comes back was stolen,
-- by whoever shows it or from him.
create table directory.refresh_tokens (
    token_digest  bytea primary key check (length(token_digest) = 32),
    family_id     uuid not null references directory.families on delete cascade,
    expires_at    timestamptz not null,
    replaced_at   timestamptz
);
create index on directory.refresh_tokens (family_id);
grant select, insert, update, delete on directory.refresh_tokens to easyisp_app;

alter table directory.sessions
    -- whose access token it is; null = a bearer token
    add column family_id uuid references directory.families on delete cascade,
    -- when the password was shown last; null = not known
    add column proved_at timestamptz;
create index on directory.sessions (family_id) where family_id is not null;
