-- Whose wallet gave the money that goes back, where it was not its owner's: he had become a child account, and his
-- parent pays for him. What comes back is the same one's, whatever the child has become since.
alter table refunds
    add column bearer_id uuid,
    add foreign key (tenant_id, bearer_id) references customers (tenant_id, id);
