-- Row security on every table that carries a tenant. The setting is an empty string after the first
-- transaction of a connection, hence nullif; as a scalar subquery it is evaluated once a statement.

do $$
declare
    name text;
begin
    for name in
        select c.relname
          from pg_class c
          join pg_namespace n on n.oid = c.relnamespace
          join pg_attribute a on a.attrelid = c.oid and a.attname = 'tenant_id' and not a.attisdropped
         where n.nspname = 'public' and c.relkind in ('r', 'p')
    loop
        execute format('alter table %I enable row level security', name);
        execute format('alter table %I force row level security', name);
        execute format(
            'create policy tenant on %I using (tenant_id = (select nullif(current_setting(''app.tenant'', true), '''')::uuid))',
            name);
    end loop;
end $$;

-- Insert-only for the server: what was posted, sealed or audited stays.
grant select, insert on accounts, entries, transfers, chain, audit, periods to easyisp_app;
grant delete on accounts to easyisp_app;
grant select, insert, update on
    tenants, tenant_keys, counts, operators, wallets, day_totals,
    sites, agents, routers, packages, customers, customer_usage, sessions, messages,
    voucher_batches, vouchers,
    gateways, intents, payments,
    site_counters, commands, uplink_marks
    to easyisp_app;
grant select, insert, update, delete on
    idempotency_keys, unsealed, package_routers, payment_inbox, feed, feed_days, feed_digests, quarantine, usage
    to easyisp_app;
grant select, insert on auth_log, metrics to easyisp_app;
