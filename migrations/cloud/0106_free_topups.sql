-- A prompt for a top-up is open for some minutes, and asked after for a day: nobody has to wait for that who wants to pay.
alter table topups add column is_open boolean not null default true;
drop index topup_open;
-- One prompt is open at a time.
create unique index topup_open on topups (tenant_id) where state = 'PENDING' and is_open;
