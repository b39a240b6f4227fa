-- Tokens with which an operator who forgot his password sets another one: SHA-256 of what his mail says. A
-- directory table as those of 0001, and for their reason.
create table directory.reset_tokens (
    token_digest  bytea primary key check (length(token_digest) = 32),
    tenant_id     uuid not null references directory.tenants,
    -- one at a time
    operator_id   uuid not null unique,
    expires_at    timestamptz not null
);
grant select, insert, delete on directory.reset_tokens to easyisp_app;
