-- "Who had this address then?", for IPv6: a line has prefixes, which its router may tell long after it began, and may
-- change while it goes on.

-- What a session has now, or had at its end, as lists show it.
alter table sessions add column prefixes text[] not null default '{}';

-- What each session had, and when: written when that changes and not with each record.
create table session_prefixes (
    tenant_id   uuid not null,
    session_id  uuid not null,
    -- an address alone has 128 bits; nothing shorter than what a provider himself gets tells his lines apart
    prefix      cidr not null check (family(prefix) = 6 and masklen(prefix) >= 32),
    -- when it was told first
    told_at     timestamptz not null,
    -- since when it may have had it; null = since it began
    since       timestamptz,
    -- when it was told last, and when the session was told to have others; null as long as it has it
    last_at     timestamptz,
    until       timestamptz,
    primary key (tenant_id, session_id, prefix, told_at),
    foreign key (tenant_id, session_id) references sessions on delete cascade
);
-- A prefix that an address is in is one of ninety-seven, and those within a prefix stand beside each other: equality and
-- order go by an index under row security, where an operator of containment may not (it could leak).
create index session_prefixes_held on session_prefixes (tenant_id, prefix);

alter table session_prefixes enable row level security;
alter table session_prefixes force row level security;
create policy tenant on session_prefixes
    using (tenant_id = (select nullif(current_setting('app.tenant', true), '')::uuid));
grant select, insert, update, delete on session_prefixes to easyisp_app;
