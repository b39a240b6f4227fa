-- Texts go through the platform's account: how many of a tenant have gone on a day of its calendar, those about money
-- apart, which nothing else may use up.
create table sms_days (
    tenant_id   uuid not null references tenants,
    day         date not null,
    about_money boolean not null,
    texts       integer not null,
    primary key (tenant_id, day, about_money)
);
alter table sms_days enable row level security;
alter table sms_days force row level security;
create policy tenant on sms_days
    using (tenant_id = (select nullif(current_setting('app.tenant', true), '')::uuid));
grant select, insert, update, delete on sms_days to easyisp_app;

-- How many of a message's tries may have arrived, of all that were made.
alter table messages add column doubtful integer not null default 0;
