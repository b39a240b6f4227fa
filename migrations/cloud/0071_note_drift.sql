-- What of a router differs from its set-up, by the newest version of its configuration: what a person sees of it, how
-- much it is, and since when.
alter table routers
    add column drift       jsonb not null default '[]',
    add column drift_count bigint not null default 0,
    add column drift_since timestamptz;
