-- When the server that serves a way was last seen at it: one that died leaves ways behind that nobody comes through.
-- Null for those that were opened before.
alter table access_grants add column served_at timestamptz;
