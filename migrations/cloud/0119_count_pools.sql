-- A router's pools as its API told them last: name, how many addresses, how many are given out.
alter table routers add column pools jsonb not null default '[]';
alter table routers add column pools_at timestamptz;
