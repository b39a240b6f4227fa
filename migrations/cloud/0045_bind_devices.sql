-- The devices that first logins bound a customer to, oldest first, where the terms bind; and since when what
-- a site bound before no longer counts, because an operator freed him.
alter table customers add column bound_macs text[] not null default '{}';
alter table customers add column unbound_at timestamptz;
