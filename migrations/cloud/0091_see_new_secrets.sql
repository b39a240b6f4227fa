-- The secret before is taken until its router was seen to use the new one, and a day at the least: since when there is
-- a new one, and whether an agent of the router's site told that it is in use.
alter table routers add column secret_changed_at timestamptz;
alter table routers add column secret_seen boolean;
