-- What agents know and what they told us.

-- Head: the newest version of a site's feed. Horizon: tombstones up to here are gone, so a cursor below
-- it needs a snapshot. Always the last lock of a transaction, taken in site order.
create table site_counters (
    tenant_id  uuid not null,
    site_id    uuid not null,
    head       bigint not null default 0,
    horizon    bigint not null default 0,
    primary key (tenant_id, site_id),
    foreign key (tenant_id, site_id) references sites (tenant_id, id)
);

-- State, not operations: the newest encoded form of everything a site must know; no body = gone.
create table feed (
    tenant_id  uuid not null,
    site_id    uuid not null,
    kind       smallint not null,
    id         uuid not null,
    version    bigint not null,
    body       bytea,
    primary key (tenant_id, site_id, kind, id),
    foreign key (tenant_id, site_id) references sites (tenant_id, id)
);
create index on feed (tenant_id, site_id, version);
create index on feed (tenant_id, kind, id) where body is not null;

-- Where a site's feed stood at the end of each day, so that tombstones can be forgotten by age.
create table feed_days (
    tenant_id  uuid not null,
    site_id    uuid not null,
    day        date not null,
    head       bigint not null,
    primary key (tenant_id, site_id, day),
    foreign key (tenant_id, site_id) references sites (tenant_id, id)
);

-- What all rows of a site's feed come to, per kind: the exclusive or of their weights. An agent that holds
-- the same rows comes to the same 16 bytes. Kept by the triggers below, so that no statement can forget it.
create table feed_digests (
    tenant_id  uuid not null,
    site_id    uuid not null,
    kind       smallint not null,
    epoch      uuid not null,
    digest     bit(128) not null,
    primary key (tenant_id, site_id, kind),
    foreign key (tenant_id, site_id) references sites (tenant_id, id)
);

-- The same as wire::digest::row_hash: the first half of SHA-256, keyed by the epoch. A tombstone weighs nothing.
create function feed_weight(epoch uuid, kind smallint, id uuid, version bigint, body bytea) returns bit(128)
language sql immutable parallel safe as $$
    select ('x' || encode(substring(sha256(
        uuid_send(epoch) || int2send(kind) || uuid_send(id) || int8send(version) || body) for 16), 'hex'))::bit(128)
$$;

-- Transition tables hold the rows as they really were and became, also where a writer waited for another:
-- what its own snapshot saw would be too old. The counter's lock makes writers of one site take turns.
create function keep_feed_digests() returns trigger language plpgsql as $$
declare
    now_epoch uuid := (select epoch from directory.authority);
begin
    if now_epoch is null then
        return null;
    end if;
    if tg_op = 'INSERT' then
        insert into feed_digests as d (tenant_id, site_id, kind, epoch, digest)
        select n.tenant_id, n.site_id, n.kind, now_epoch,
               bit_xor(feed_weight(now_epoch, n.kind, n.id, n.version, n.body))
          from after n
         where n.body is not null
         group by n.tenant_id, n.site_id, n.kind
         order by n.tenant_id, n.site_id, n.kind
            on conflict (tenant_id, site_id, kind)
            do update set digest = d.digest # excluded.digest where d.epoch = excluded.epoch;
    else
        insert into feed_digests as d (tenant_id, site_id, kind, epoch, digest)
        select r.tenant_id, r.site_id, r.kind, now_epoch, bit_xor(r.weight)
          from (select b.tenant_id, b.site_id, b.kind,
                       feed_weight(now_epoch, b.kind, b.id, b.version, b.body) as weight
                  from before b where b.body is not null
                 union all
                select n.tenant_id, n.site_id, n.kind,
                       feed_weight(now_epoch, n.kind, n.id, n.version, n.body)
                  from after n where n.body is not null) r
         group by r.tenant_id, r.site_id, r.kind
         order by r.tenant_id, r.site_id, r.kind
            on conflict (tenant_id, site_id, kind)
            do update set digest = d.digest # excluded.digest where d.epoch = excluded.epoch;
    end if;
    return null;
end $$;
create trigger keep_digests_of_new after insert on feed
    referencing new table as after
    for each statement execute function keep_feed_digests();
create trigger keep_digests_of_changed after update on feed
    referencing old table as before new table as after
    for each statement execute function keep_feed_digests();

-- What operators want done at a site, as state with a version; its result comes back from the agent.
create table commands (
    tenant_id    uuid not null,
    id           uuid not null,
    site_id      uuid not null,
    kind         text not null,
    customer_id  uuid,
    body         bytea not null,
    issued_at    timestamptz not null,
    expires_at   timestamptz not null,
    result       text,
    finished_at  timestamptz,
    primary key (tenant_id, id),
    foreign key (tenant_id, site_id) references sites (tenant_id, id)
);
create index on commands (tenant_id, customer_id, issued_at desc);

-- Exactly-once effect: one high mark per agent's outbox and lane, moved by the transaction that applies.
create table uplink_marks (
    tenant_id   uuid not null,
    agent_id    uuid not null,
    outbox_id   uuid not null,
    lane        smallint not null,
    mark        bigint not null,
    updated_at  timestamptz not null,
    primary key (tenant_id, agent_id, outbox_id, lane),
    foreign key (tenant_id, agent_id) references agents (tenant_id, id)
);

-- Records that could not be applied, kept raw.
create table quarantine (
    tenant_id   uuid not null,
    agent_id    uuid not null,
    outbox_id   uuid not null,
    lane        smallint not null,
    sequence    bigint not null,
    kind        smallint not null,
    version     smallint not null,
    body        bytea not null,
    error       text not null,
    at          timestamptz not null,
    primary key (tenant_id, agent_id, outbox_id, lane, sequence)
);

-- Usage by hour, authentication by event, metrics by sample: cut by month, dropped by retention.
create table usage (
    tenant_id    uuid not null,
    at           timestamptz not null,
    customer_id  uuid not null,
    session_id   uuid not null,
    bytes_in     bigint not null check (bytes_in >= 0),
    bytes_out    bigint not null check (bytes_out >= 0),
    primary key (tenant_id, customer_id, at, session_id)
) partition by range (at);

create table auth_log (
    tenant_id    uuid not null,
    at           timestamptz not null,
    id           uuid not null,
    site_id      uuid not null,
    router_id    uuid,
    customer_id  uuid,
    username     text not null,
    mac          text,
    accepted     boolean not null,
    reason       text not null,
    primary key (tenant_id, at, id)
) partition by range (at);
create index on auth_log (tenant_id, username, at desc);
create index on auth_log (tenant_id, customer_id, at desc);

create table metrics (
    tenant_id  uuid not null,
    at         timestamptz not null,
    site_id    uuid not null,
    router_id  uuid not null,
    name       text not null,
    value      bigint not null,
    primary key (tenant_id, router_id, name, at)
) partition by range (at);

-- Makes the monthly partitions from `first` on. The server's role owns nothing, so it calls this.
create function ensure_partitions(first date, months integer) returns void
language plpgsql security definer set search_path = public, pg_temp as $$
declare
    parent text;
    month date;
    part text;
begin
    perform pg_advisory_xact_lock(hashtext('ensure_partitions'));
    if months not between 1 and 24 then
        raise exception 'ensure_partitions: months must be between 1 and 24, not %', months;
    end if;
    foreach parent in array array['usage', 'auth_log', 'metrics'] loop
        for i in 0..months - 1 loop
            month := date_trunc('month', first::timestamp)::date + make_interval(months => i);
            part := format('%s_%s', parent, to_char(month, 'YYYYMM'));
            continue when to_regclass(part) is not null;
            execute format(
                'create table %I partition of %I for values from (%L) to (%L)',
                part, parent,
                month::timestamp at time zone 'UTC',
                (month + interval '1 month')::timestamp at time zone 'UTC');
            execute format('alter table %I enable row level security', part);
            execute format('alter table %I force row level security', part);
        end loop;
    end loop;
end $$;
revoke all on function ensure_partitions(date, integer) from public;
grant execute on function ensure_partitions(date, integer) to easyisp_app;
