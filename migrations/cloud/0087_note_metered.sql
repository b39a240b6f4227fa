-- An agent on a line that is paid by the octet tells of sessions that go on once an hour: its silence is no doubt
-- before that.
alter table agents add column metered boolean not null default false;
