-- Operators are changed by others: each change is a version, so that two who edit one person notice, and a
-- password that somebody else set is good for a while only.
alter table operators
    add column version bigint not null default 1,
    add column password_expires_at timestamptz;
