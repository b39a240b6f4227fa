-- At which router a period was sold: the buyer may move to another later, and what the first one brought in stays its.
alter table periods add column router_id uuid;
-- Of those that were sold before, where their buyers are today. Row security is forced on the owner too, so it stands
-- aside for this one statement.
alter table periods no force row level security;
alter table customers no force row level security;
update periods p
   set router_id = c.router_id
  from customers c
 where c.tenant_id = p.tenant_id and c.id = p.customer_id and c.router_id is not null;
alter table periods force row level security;
alter table customers force row level security;
