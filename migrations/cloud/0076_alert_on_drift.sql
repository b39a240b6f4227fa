-- A router that is otherwise than the wizard configured it is told to people.
alter table alert_rules drop constraint alert_rules_rule_check;
alter table alert_rules add constraint alert_rules_rule_check check (rule in
    ('SITE_DOWN', 'ROUTER_DOWN', 'LINK_DOWN', 'TEMPERATURE', 'VOLTAGE', 'CPU', 'MEMORY', 'DISK', 'POOL',
     'CONFIGURATION_DRIFT', 'PAYOUT_UNKNOWN', 'ROLLOUT_STOPPED'));
