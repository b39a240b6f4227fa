-- Customers who log in nowhere are sessions too, of a third service. SQLite changes no check: the table is made
-- anew and filled before the one before it goes.
create table sessions_of_all (
    router          blob    not null check (length(router) = 16),
    acct_session_id blob    not null,
    class           blob    not null,
    customer        blob    check (length(customer) = 16),
    username        blob    not null,
    service         text    not null check (service in ('ppp', 'hotspot', 'line')),
    mac             blob    check (length(mac) = 6),
    framed_ip       integer,
    port            blob    not null,
    started_at      integer not null,
    seen_at         integer not null,
    secs            integer not null,
    bytes_in        integer not null,
    bytes_out       integer not null,
    bytes_free      integer not null,
    closed_at       integer,
    cause           integer,
    granted         blob,
    primary key (router, acct_session_id, class)
) strict, without rowid;

insert into sessions_of_all (router, acct_session_id, class, customer, username, service, mac, framed_ip, port,
                             started_at, seen_at, secs, bytes_in, bytes_out, bytes_free, closed_at, cause, granted)
select router, acct_session_id, class, customer, username, service, mac, framed_ip, port,
       started_at, seen_at, secs, bytes_in, bytes_out, bytes_free, closed_at, cause, granted
  from sessions;

drop table sessions;
alter table sessions_of_all rename to sessions;
create index sessions_closed on sessions (closed_at) where closed_at is not null;

-- How far the queue of each of them had counted when it was read last: what it counted since is his usage.
create table line_counters (
    customer  blob    primary key check (length(customer) = 16),
    router    blob    not null check (length(router) = 16),
    -- the queue's id at the router: another one begins to count anew
    queue     text    not null,
    bytes_in  integer not null,
    bytes_out integer not null,
    at        integer not null
) strict, without rowid;
