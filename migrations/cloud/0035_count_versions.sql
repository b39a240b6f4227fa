-- Which version of a package or a router somebody has seen: it grows with every change by a person, so that two who
-- edit one do not undo one another.
alter table packages add column version bigint not null default 1;
alter table routers add column version bigint not null default 1;
