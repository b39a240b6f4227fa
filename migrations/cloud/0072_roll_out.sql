-- What is done to many routers, one ring after the other.
create table rollouts (
    tenant_id    uuid not null references tenants,
    id           uuid not null,
    name         text not null,
    -- what is to be done, in the words of the API
    action       jsonb not null,
    state        text not null check (state in ('RUNNING', 'PAUSED', 'STOPPED', 'DONE')),
    state_since  timestamptz not null,
    -- why it stopped by itself
    because      text,
    -- the ring at work, from 1
    ring         integer not null default 1 check (ring > 0),
    rings        integer not null check (rings > 0),
    max_failed   integer not null check (max_failed >= 0),
    soak_secs    integer not null check (soak_secs >= 0),
    -- minutes of the tenant's day between which a router is begun with; null = at any time
    window_from  smallint check (window_from between 0 and 1439),
    window_to    smallint check (window_to between 0 and 1439),
    -- who was not reached by then is missed
    until_at     timestamptz not null,
    -- the release that its first router found: what was not tried there goes to no other
    release      text,
    operator_id  uuid,
    created_at   timestamptz not null,
    primary key (tenant_id, id),
    check ((window_from is null) = (window_to is null))
);
create index on rollouts (tenant_id, created_at desc, id desc);

create table rollout_routers (
    tenant_id      uuid not null references tenants,
    id             uuid not null,
    rollout_id     uuid not null,
    router_id      uuid not null,
    place          integer not null,
    ring           integer not null,
    step           text not null check (step in
        ('WAITING', 'AWAY', 'CHECKING', 'SAVING', 'DOWNLOADING', 'INSTALLING', 'BOARD', 'BOARD_RESTARTING',
         'RESTARTING', 'ACTING', 'SETTLING', 'SOAKING', 'DONE', 'SKIPPED', 'FAILED', 'MISSED', 'UNTOUCHED')),
    step_since     timestamptz not null,
    -- grows with every turn: whoever slept past his lease writes nothing
    turn           bigint not null default 0,
    -- when the router was told to start anew in this step, and how often
    ordered_at     timestamptz,
    orders         smallint not null default 0,
    release_before text,
    release_wanted text,
    release_now    text,
    -- whether it answered at its CoA port before anything was done
    knew_us        boolean not null default false,
    message        text not null default '',
    primary key (tenant_id, id),
    unique (tenant_id, rollout_id, router_id),
    foreign key (tenant_id, rollout_id) references rollouts (tenant_id, id),
    foreign key (tenant_id, router_id) references routers (tenant_id, id)
);
-- One thing at a time is done to a router.
create unique index rollout_of_router on rollout_routers (tenant_id, router_id)
    where step not in ('DONE', 'SKIPPED', 'FAILED', 'MISSED', 'UNTOUCHED');

alter table rollouts enable row level security;
alter table rollouts force row level security;
create policy tenant on rollouts
    using (tenant_id = (select nullif(current_setting('app.tenant', true), '')::uuid));
alter table rollout_routers enable row level security;
alter table rollout_routers force row level security;
create policy tenant on rollout_routers
    using (tenant_id = (select nullif(current_setting('app.tenant', true), '')::uuid));
grant select, insert, update on rollouts to easyisp_app;
grant select, insert, update on rollout_routers to easyisp_app;

alter table alert_rules drop constraint alert_rules_rule_check;
alter table alert_rules add constraint alert_rules_rule_check check (rule in
    ('SITE_DOWN', 'ROUTER_DOWN', 'LINK_DOWN', 'TEMPERATURE', 'VOLTAGE', 'CPU', 'MEMORY', 'DISK', 'POOL',
     'PAYOUT_UNKNOWN', 'ROLLOUT_STOPPED'));
create index rollouts_stopped on rollouts (tenant_id, state_since) where state = 'STOPPED' and because is not null;
