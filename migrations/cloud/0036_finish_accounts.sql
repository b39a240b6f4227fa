-- An answer with new tokens may be lost: the old refresh token leads to them again until they are used.

alter table directory.refresh_tokens
    -- when the access token that goes with it was used first
    add column used_at timestamptz;
-- Nobody noted it so far: these count as used.
update directory.refresh_tokens set used_at = coalesce(replaced_at, expires_at);

alter table directory.sessions
    -- the refresh token that a console's access token goes with; null = a bearer token, or an older one
    add column refresh_digest bytea;

-- The tenant's colour on pages that customers see.
alter table tenants
    add column primary_color text check (primary_color ~ '^#[0-9A-F]{6}$');

-- Lists sorted by other columns: each index ends in what makes the order whole, and serves both directions.
create index customer_by_name on customers (tenant_id, name, id) where deleted_at is null;
create index customer_by_end on customers (tenant_id, served_until, id) where deleted_at is null;
create index payment_by_amount on payments (tenant_id, amount, id);
create index payment_by_hand on payments (tenant_id, created_at, id)
    where method <> 'MPESA' and status = 'completed';
create index intent_by_amount on intents (tenant_id, amount, id)
    where state not in ('PROVISIONAL', 'POSTED');
create index voucher_used on vouchers (tenant_id, used_at, id);
create index voucher_ends on vouchers (tenant_id, expires_at, id);
create index invoice_due on invoices (tenant_id, due_at, serial);
create index invoice_by_amount on invoices (tenant_id, amount, serial);
