-- The trail is read newest first, whole or by one operator or thing (these have their indexes).
create index on audit (tenant_id, at desc, id desc);
