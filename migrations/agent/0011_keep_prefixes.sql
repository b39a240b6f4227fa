-- What a session has of IPv6, as its router told it last; null where it told nothing.
alter table sessions add column prefixes blob;
