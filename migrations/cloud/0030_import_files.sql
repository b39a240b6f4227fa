-- What came from files: which file made what, row by row, so that it can be told and undone.

create table imports (
    tenant_id      uuid not null references tenants,
    id             uuid not null,
    what           text not null check (what in ('CUSTOMERS', 'PACKAGES')),
    format         text not null,
    on_existing    text not null check (on_existing in ('SKIP', 'UPDATE', 'FAIL')),
    state          text not null check (state in ('QUEUED', 'RUNNING', 'DONE', 'FAILED')),
    total          integer not null check (total between 0 and 20000),
    created        integer not null default 0,
    updated        integer not null default 0,
    skipped        integer not null default 0,
    failed         integer not null default 0,
    -- about the file as a whole, such as columns that mean nothing here
    warnings       jsonb not null default '[]',
    -- why it was given up
    error          text,
    -- who sent it, for the lines of the trail that are written long after
    operator_id    uuid not null,
    operator_name  text not null,
    of_platform    boolean not null,
    address        text not null,
    request_id     text not null,
    created_at     timestamptz not null,
    finished_at    timestamptz,
    undone_at      timestamptz,
    primary key (tenant_id, id)
);
create index on imports (tenant_id, created_at desc, id);

-- Up to 500 rows of a file that are still to be taken in. They hold passwords, so they are sealed; a part is
-- deleted by the transaction that takes its rows in, which is how each is taken in once.
create table import_parts (
    tenant_id    uuid not null,
    import_id    uuid not null,
    part         integer not null,
    rows_sealed  bytea not null,
    primary key (tenant_id, import_id, part),
    foreign key (tenant_id, import_id) references imports (tenant_id, id)
);

-- What became of each row.
create table import_rows (
    tenant_id   uuid not null,
    import_id   uuid not null,
    -- its place among the file's rows, and the line of the file on which it begins
    place       integer not null,
    line        integer not null,
    outcome     text not null check (outcome in ('CREATED', 'UPDATED', 'SKIPPED', 'FAILED')),
    -- the customer or package; null where there is none
    subject_id  uuid,
    name        text not null,
    errors      jsonb not null default '[]',
    warnings    jsonb not null default '[]',
    undone_at   timestamptz,
    created_at  timestamptz not null,
    primary key (tenant_id, import_id, place),
    foreign key (tenant_id, import_id) references imports (tenant_id, id)
);
create index on import_rows (tenant_id, subject_id) where subject_id is not null;
create index on import_rows (tenant_id, created_at);

alter table imports enable row level security;
alter table imports force row level security;
create policy tenant on imports
    using (tenant_id = (select nullif(current_setting('app.tenant', true), '')::uuid));
alter table import_parts enable row level security;
alter table import_parts force row level security;
create policy tenant on import_parts
    using (tenant_id = (select nullif(current_setting('app.tenant', true), '')::uuid));
alter table import_rows enable row level security;
alter table import_rows force row level security;
create policy tenant on import_rows
    using (tenant_id = (select nullif(current_setting('app.tenant', true), '')::uuid));

grant select, insert, update on imports to easyisp_app;
grant select, insert, delete on import_parts to easyisp_app;
grant select, insert, update, delete on import_rows to easyisp_app;
