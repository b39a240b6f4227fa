-- Which nodes this cloud has and which of them holds an agent's connection, so that a question reaches an
-- agent through any node. Directory tables as those of 0001, and for their reason: addresses and ids only.
create table directory.nodes (
    -- made anew at every start: what a node that died left behind is never taken for its successor's
    node_id     uuid primary key,
    -- HOST:PORT, as the node itself says; nobody else writes it
    address     text not null check (length(address) between 3 and 262),
    started_at  timestamptz not null,
    -- its lease: a node that was not heard of for some seconds is not asked
    seen_at     timestamptz not null
);

create table directory.connections (
    agent_id   uuid primary key,
    tenant_id  uuid not null references directory.tenants,
    site_id    uuid not null,
    node_id    uuid not null references directory.nodes on delete cascade,
    since      timestamptz not null
);
create index on directory.connections (tenant_id, site_id);
create index on directory.connections (node_id);

grant select, insert, update, delete on directory.nodes, directory.connections to easyisp_app;
