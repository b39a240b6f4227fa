-- cache.db: a copy of what the cloud says about this site. Disposable: a lost file is fetched again.

create table feed (
    kind    integer not null,
    id      blob    not null check (length(id) = 16),
    version integer not null,
    body    blob    not null,
    primary key (kind, id)
) strict, without rowid;

-- A snapshot arrives in chunks; it waits here until it is whole and then replaces the feed in one transaction.
create table staged (
    kind    integer not null,
    id      blob    not null,
    version integer not null,
    body    blob    not null,
    primary key (kind, id)
) strict, without rowid;

-- What the link needs to know across restarts: the cursor, the cloud's epoch, digests.
create table marks (
    name  text primary key,
    value blob not null
) strict, without rowid;
