-- Money that was sent, and nobody knows for an hour whether it arrived, is told to people; it is at no site.
alter table alert_rules drop constraint alert_rules_rule_check;
alter table alert_rules add constraint alert_rules_rule_check check (rule in
    ('SITE_DOWN', 'ROUTER_DOWN', 'LINK_DOWN', 'TEMPERATURE', 'VOLTAGE', 'CPU', 'MEMORY', 'DISK', 'POOL',
     'PAYOUT_UNKNOWN'));
alter table alerts alter column site_id drop not null;
create index refunds_open on refunds (tenant_id, sent_at) where state in ('SENT', 'UNKNOWN');
create index settlements_open on settlements (tenant_id, sent_at) where state in ('SENT', 'UNKNOWN');
