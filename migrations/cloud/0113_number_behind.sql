-- What was changed and committed and has no number in its sites' feeds yet. Written with the change, removed with the
-- number; empty but for moments.
create table directory.changes (
    tenant_id  uuid not null,
    number     bigint generated always as identity,
    kind       smallint not null,
    subject    uuid not null,
    primary key (tenant_id, number)
);
grant select, insert, delete on directory.changes to easyisp_app;
