-- Which agent of a site lets vouchers in for the first time, and which may take its place. Until one did,
-- it is the agent that was there first; it is named here once that would be another one.
alter table sites
    add column voucher_agent_id uuid,
    -- how often another agent was named
    add column voucher_term     bigint not null default 0,
    -- the agents that may take its place, as it said itself
    add column voucher_deputies uuid[] not null default '{}',
    -- the epoch in which it said so: what it said after a backup was made is not known here
    add column voucher_epoch    uuid;

-- Where an agent listens to the other agents of its site, as it said at its last hello.
alter table agents
    add column addresses text[] not null default '{}';

-- Agents of its site that found nothing to do for a command: it is answered once all of them did.
alter table commands
    add column nothing_there uuid[] not null default '{}';

-- Those that expired unanswered are looked for once a day.
create index commands_waiting on commands (tenant_id, expires_at) where finished_at is null;
