-- A site whose agents are heard and say that the internet is not reached from there.
alter table outages drop constraint outages_cause_check;
alter table outages add constraint outages_cause_check
    check (cause in ('AGENT_SILENT', 'ROUTER_SILENT', 'UPSTREAM_DOWN', 'EXTENSION'));
