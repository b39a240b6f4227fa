-- Agents of its site that found nothing to do for a command: it is answered once all that are there did.
alter table commands
    add column nothing_there uuid[] not null default '{}';

-- Those that expire unanswered.
create index commands_waiting on commands (tenant_id, site_id, expires_at) where finished_at is null;
