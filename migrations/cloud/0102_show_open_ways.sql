-- At which port operators come in by a way: a router says whether one to its WinBox is open, and where. Null for those
-- that were opened before.
alter table access_grants add column listen_port integer check (listen_port between 1 and 65535);
create index on access_grants (tenant_id, router_id, opened_at desc) where closed_at is null;
