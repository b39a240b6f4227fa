-- First uses that another agent of the site told: they are that agent's to report, unless this one takes
-- its place.
alter table redemptions add column told   integer not null default 0;
alter table redemptions add column router blob;
