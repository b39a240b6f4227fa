-- Reports of an agent that could not be applied are kept aside up to a bound, so that none fills everybody's disk;
-- what came beyond it is counted here, with the day it began.
alter table agents
    add column dropped_reports bigint not null default 0 check (dropped_reports >= 0),
    add column dropped_at      timestamptz;
