-- Whether the DHCP servers of a router ask for the leases of DHCP customers themselves; else its API keeps them.
alter table routers add column dhcp_radius boolean not null default false;
