-- Interfaces of a device that are not watched, because it has more than an agent reads at every poll.
alter table monitored add column ports_left_out integer not null default 0;
