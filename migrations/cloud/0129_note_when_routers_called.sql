-- When a router called last by a command of the wizard: what its agents found before says nothing of the board that calls.
alter table router_setups add column called_at timestamptz;
