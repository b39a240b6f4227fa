-- When the first row of a deleted tenant went: his books cannot be exported whole after that.
alter table directory.tenants add column purge_began_at timestamptz;
