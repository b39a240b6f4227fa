-- The device through which a router or switch is reached: while that one is away, nobody is told that this one is.
alter table routers add column parent_id uuid;
alter table routers add foreign key (tenant_id, parent_id) references routers (tenant_id, id)
    on delete set null (parent_id);
create index on routers (tenant_id, parent_id) where parent_id is not null;
