-- Until when a tenant's sites may treat its subscribers as agreed without hearing from the cloud. Afterwards
-- they give what was paid for, and nothing ahead of it. Null until the daily job first writes it.
alter table tenants add column lease_until timestamptz;
