-- Sessions that are to end though nothing that is known of their users says so: they were begun under a password that
-- counts no more. Kept until they are over, so that a box that was started again in between ends them too.
create table owed_cuts (
    router          blob not null check (length(router) = 16),
    acct_session_id blob not null,
    class           blob not null,
    primary key (router, acct_session_id, class)
) strict, without rowid;
