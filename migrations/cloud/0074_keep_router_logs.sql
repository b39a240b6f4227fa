-- What routers write to their logs. It is kept for as many days as the provider says, and goes by tenant: no partitions.
alter table tenants
    add column log_retention_days integer not null default 7
        check (log_retention_days between 1 and 90);

-- Lines of one router that were said within an hour or two, some hundred of them: what is searched is found by block
-- first. No index serves `like` under row security (see 0064), and one entry for each word of each line would take more
-- room than the lines.
create table log_blocks (
    tenant_id  uuid not null,
    id         uuid not null,
    router_id  uuid not null,
    first_at   timestamptz not null,
    last_at    timestamptz not null,
    lines      integer not null check (lines > 0),
    -- the lowest of its lines' severities: the worst
    worst      smallint not null check (worst between 0 and 7),
    primary key (tenant_id, id)
);
create index on log_blocks (tenant_id, last_at);
create index on log_blocks (tenant_id, router_id, last_at);

create table router_logs (
    tenant_id  uuid not null,
    block_id   uuid not null,
    -- its place in the block
    line       integer not null,
    at         timestamptz not null,
    severity   smallint not null check (severity between 0 and 7),
    topics     text not null,
    message    text not null,
    -- in place of so many that are missing
    missing    bigint,
    primary key (tenant_id, block_id, line)
);

-- The words of a block, each once, as they begin; topics with a `#` before them.
create table log_words (
    tenant_id  uuid not null,
    word       text collate "C" not null,
    block_id   uuid not null,
    primary key (tenant_id, word, block_id)
);

do $$
declare
    name text;
begin
    foreach name in array array['log_blocks', 'router_logs', 'log_words'] loop
        execute format('alter table %I enable row level security', name);
        execute format('alter table %I force row level security', name);
        execute format(
            'create policy tenant on %I using (tenant_id = (select nullif(current_setting(''app.tenant'', true), '''')::uuid))',
            name);
        execute format('grant select, insert, update, delete on %I to easyisp_app', name);
    end loop;
end $$;
