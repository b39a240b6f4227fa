-- A person sees where he is signed in: from where is sealed under his tenant's key, since the directory
-- holds nothing of a tenant in the clear.
alter table directory.sessions
    add column seen_at timestamptz,
    add column origin_sealed bytea;

-- The second factor. The secret counts once a code of it was shown (`totp_since`); `totp_step` is the step of
-- the last code used, so that none is good twice. Recovery codes are kept as keyed hashes, each good once.
alter table operators
    add column totp_sealed bytea,
    add column totp_since timestamptz,
    add column totp_step bigint not null default 0,
    add column recovery_codes bytea[] not null default '{}';
