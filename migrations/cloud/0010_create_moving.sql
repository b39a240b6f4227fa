-- Moving in from an old RADIUS server, router by router; a router without a row never had one.
create table moving (
    tenant_id          uuid not null,
    router_id          uuid not null,
    mode               text not null check (mode in ('OWN', 'SHADOW', 'FORWARD')),
    old_address        text not null,
    old_auth_port      integer not null check (old_auth_port between 1 and 65535),
    old_acct_port      integer not null check (old_acct_port between 1 and 65535),
    old_secret_sealed  bytea not null,
    copy_accounting    boolean not null,
    since              timestamptz not null,
    updated_at         timestamptz not null,
    primary key (tenant_id, router_id),
    foreign key (tenant_id, router_id) references routers (tenant_id, id)
);

-- What the two servers said, added up since `since`.
create table moving_tallies (
    tenant_id      uuid not null,
    router_id      uuid not null,
    asked          bigint not null default 0,
    same           bigint not null default 0,
    other_answer   bigint not null default 0,
    other_rate     bigint not null default 0,
    other_address  bigint not null default 0,
    other_timeout  bigint not null default 0,
    not_compared   bigint not null default 0,
    forwarded      bigint not null default 0,
    accepted       bigint not null default 0,
    rejected       bigint not null default 0,
    silent         bigint not null default 0,
    accounted      bigint not null default 0,
    not_accounted  bigint not null default 0,
    shed           bigint not null default 0,
    ignored        bigint not null default 0,
    problem        text,
    reported_at    timestamptz not null,
    primary key (tenant_id, router_id),
    foreign key (tenant_id, router_id) references routers (tenant_id, id)
);

-- The newest difference of each kind and user, at most some hundred a router.
create table moving_differences (
    tenant_id  uuid not null,
    router_id  uuid not null,
    username   text not null,
    kind       text not null check (kind in ('ANSWER', 'RATE', 'ADDRESS', 'TIMEOUT')),
    ours       text not null,
    theirs     text not null,
    at         timestamptz not null,
    primary key (tenant_id, router_id, username, kind),
    foreign key (tenant_id, router_id) references routers (tenant_id, id)
);
create index on moving_differences (tenant_id, router_id, at desc);

-- Users whom only the old server let in, at most some thousand a router.
create table moving_strangers (
    tenant_id  uuid not null,
    router_id  uuid not null,
    username   text not null,
    hotspot    boolean not null,
    mac        text,
    rate       text not null,
    address    text not null,
    first_at   timestamptz not null,
    last_at    timestamptz not null,
    primary key (tenant_id, router_id, username),
    foreign key (tenant_id, router_id) references routers (tenant_id, id)
);
create index on moving_strangers (tenant_id, router_id, last_at desc);

-- Customers whom a router answers by its own lists, as it was last read.
alter table routers
    add column local_secrets        jsonb not null default '[]',
    add column local_secrets_count  bigint not null default 0,
    add column local_secrets_at     timestamptz;

do $$
declare
    name text;
begin
    foreach name in array array['moving', 'moving_tallies', 'moving_differences', 'moving_strangers'] loop
        execute format('alter table %I enable row level security', name);
        execute format('alter table %I force row level security', name);
        execute format(
            'create policy tenant on %I using (tenant_id = (select nullif(current_setting(''app.tenant'', true), '''')::uuid))',
            name);
    end loop;
end $$;
grant select, insert, update on moving to easyisp_app;
grant select, insert, update, delete on moving_tallies, moving_differences, moving_strangers to easyisp_app;
