-- Whether hours were given by somebody who may give them to subscribers at home alone, and to nobody at a hotspot.
alter table outages add column but_hotspot boolean not null default false;
