//! Taking somebody out of every table that names him. Each statement leaves what counts: how much, when,
//! and ids.

use easyisp_shared::id::CustomerId;
use easyisp_shared::time::Timestamp;
use uuid::Uuid;

use crate::db::Tx;
use crate::privacy::rules::Marks;

/// Himself: from then on only his pseudonym is known.
pub async fn blank_customer(
    tx: &mut Tx,
    customer: CustomerId,
    pseudonym: &str,
    now: Timestamp,
) -> sqlx::Result<()> {
    sqlx::query(
        "update customers
            set username = $3, name = $3, password_sealed = '', email = null, phone = null,
                phone_number = null, phone_hash = null, static_ip = null, macs = '{}',
                remembered_macs = '{}', bound_macs = '{}', location = null, latitude = null, longitude = null,
                apartment_number = null, house_number = null, networks = '{}', auto_renew = false,
                funded_until = null, promised_from = null, promised_until = null, parent_id = null,
                erased_at = $4, updated_at = $4, version = version + 1
          where tenant_id = $1 and id = $2",
    )
    .bind(tx.tenant())
    .bind(customer)
    .bind(pseudonym)
    .bind(now)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// What operators wrote about him and how they labelled him, and what his router had of him.
pub async fn forget_notes(tx: &mut Tx, customer: CustomerId) -> sqlx::Result<()> {
    sqlx::query(
        "with tags as (delete from customer_tags where tenant_id = $1 and customer_id = $2),
              lines as (delete from customer_lines where tenant_id = $1 and customer_id = $2),
              codes as (delete from unlock_codes where tenant_id = $1 and customer_id = $2)
         delete from customer_notes where tenant_id = $1 and customer_id = $2",
    )
    .bind(tx.tenant())
    .bind(customer)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Where and with what he was last seen.
pub async fn blank_usage(tx: &mut Tx, customer: CustomerId) -> sqlx::Result<()> {
    sqlx::query(
        "update customer_usage set last_ip = null, last_mac = null
          where tenant_id = $1 and customer_id = $2",
    )
    .bind(tx.tenant())
    .bind(customer)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// What he called himself, and with which devices: sessions and logins that no customer is named for are
/// his when they are under that name (until he left, when another may have taken it) or of that device.
#[derive(Clone, Copy, Debug)]
pub struct Traces<'a> {
    /// His user name.
    pub username: &'a str,
    /// Until when it was his.
    pub until: Timestamp,
    /// His devices.
    pub devices: &'a [String],
}

/// His sessions.
pub async fn blank_sessions(
    tx: &mut Tx,
    customer: CustomerId,
    traces: Traces<'_>,
    pseudonym: &str,
) -> sqlx::Result<()> {
    sqlx::query(
        "with blanked as (
             update sessions
                set username = $3, framed_ip = null, prefixes = '{}', mac = null
              where tenant_id = $1
                and (customer_id = $2
                     or customer_id is null
                        and (username = $4 and started_at <= $5 or mac = any($6) or username = any($6)))
          returning id)
         delete from session_prefixes p
          using blanked b
          where p.tenant_id = $1 and p.session_id = b.id",
    )
    .bind(tx.tenant())
    .bind(customer)
    .bind(pseudonym)
    .bind(traces.username)
    .bind(traces.until)
    .bind(traces.devices)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Ways to his devices that were opened: what they led to is not his name any more.
pub async fn blank_access(tx: &mut Tx, customer: CustomerId, pseudonym: &str) -> sqlx::Result<()> {
    sqlx::query(
        "update access_grants set target_name = $3, address = '', reason = ''
          where tenant_id = $1 and customer_id = $2",
    )
    .bind(tx.tenant())
    .bind(customer)
    .bind(pseudonym)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// His attempts to log in.
pub async fn blank_logins(
    tx: &mut Tx,
    customer: CustomerId,
    traces: Traces<'_>,
    pseudonym: &str,
) -> sqlx::Result<()> {
    sqlx::query(
        "update auth_log
            set username = $3, mac = null
          where tenant_id = $1
            and (customer_id = $2
                 or customer_id is null
                    and (username = $4 and at <= $5 or mac = any($6) or username = any($6)))",
    )
    .bind(tx.tenant())
    .bind(customer)
    .bind(pseudonym)
    .bind(traces.username)
    .bind(traces.until)
    .bind(traces.devices)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Messages about him, and those to his number that are about nobody. What was not sent is not sent.
pub async fn blank_messages(
    tx: &mut Tx,
    customer: CustomerId,
    phones: &[String],
) -> sqlx::Result<()> {
    sqlx::query(
        "update messages
            set recipient = '', body = '',
                error = case when state in ('PENDING', 'SENDING') then 'erased' end,
                state = case when state in ('PENDING', 'SENDING') then 'FAILED' else state end
          where tenant_id = $1
            and (customer_id = $2 or customer_id is null and recipient = any($3))",
    )
    .bind(tx.tenant())
    .bind(customer)
    .bind(phones)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Payments that were asked of him. The provider's own number of a request holds the phone; one of which money
/// was reported keeps it until the provider has confirmed it, for without it nobody can ask.
pub async fn blank_intents(tx: &mut Tx, customer: CustomerId) -> sqlx::Result<()> {
    sqlx::query(
        "update intents
            set phone_number = '', client_key = null, checkout_request_id = null,
                merchant_request_id = null
          where tenant_id = $1 and customer_id = $2 and (claimed_receipt is null or state = 'POSTED')",
    )
    .bind(tx.tenant())
    .bind(customer)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// What the provider told us of them, once it was worked on.
pub async fn blank_callbacks(tx: &mut Tx, customer: CustomerId) -> sqlx::Result<()> {
    sqlx::query(
        "update payment_inbox
            set body = ''
          where tenant_id = $1 and processed_at is not null
            and (intent_id in (select id from intents where tenant_id = $1 and customer_id = $2)
                 or receipt in (select receipt from payments where tenant_id = $1 and customer_id = $2))",
    )
    .bind(tx.tenant())
    .bind(customer)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Payments that came: receipt, amount and account number stay, and a reference that does not name him.
pub async fn blank_payments(tx: &mut Tx, customer: CustomerId, marks: &Marks) -> sqlx::Result<()> {
    sqlx::query(
        "with refunded as (
             update refunds set reason = '' where tenant_id = $1 and customer_id = $2)
         update payments
            set phone = null, payer_hash = null, payer_name = null,
                account = case when account ~* $3 or account ~* $4 then null else account end,
                description = case when operator_id is null then description else '' end
          where tenant_id = $1 and customer_id = $2",
    )
    .bind(tx.tenant())
    .bind(customer)
    .bind(&marks.numbers)
    .bind(&marks.names)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Income and expenses whose words name him: amounts, days and accounts stay.
pub async fn blank_typed(tx: &mut Tx, marks: &Marks) -> sqlx::Result<()> {
    sqlx::query(
        "with marked as (select $2::text as numbers, $3::text as names),
         income as (
             update incomes i
                set customer_name = '', description = '', reference = null
               from marked m
              where i.tenant_id = $1
                and (concat_ws(' ', i.customer_name, i.description, i.reference) ~* m.numbers
                     or concat_ws(' ', i.customer_name, i.description, i.reference) ~* m.names)),
         series as (
             update recurring_expenses r
                set description = '', vendor = '', notes = ''
               from marked m
              where r.tenant_id = $1
                and (concat_ws(' ', r.description, r.vendor, r.notes) ~* m.numbers
                     or concat_ws(' ', r.description, r.vendor, r.notes) ~* m.names))
         update expenses x
            set description = '', vendor = '', notes = ''
           from marked m
          where x.tenant_id = $1
            and (concat_ws(' ', x.description, x.vendor, x.notes) ~* m.numbers
                 or concat_ws(' ', x.description, x.vendor, x.notes) ~* m.names)",
    )
    .bind(tx.tenant())
    .bind(&marks.numbers)
    .bind(&marks.names)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// What he was billed: amounts stay, and what identifies the invoice.
pub async fn blank_invoices(tx: &mut Tx, customer: CustomerId) -> sqlx::Result<()> {
    sqlx::query(
        "update invoices i
            set reference = null,
                items = (select coalesce(jsonb_agg(jsonb_set(l.item, '{description}', '\"\"') order by l.place), '[]')
                           from jsonb_array_elements(i.items) with ordinality as l (item, place))
          where i.tenant_id = $1 and i.customer_id = $2",
    )
    .bind(tx.tenant())
    .bind(customer)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// What was learnt of him while the tenant moved in.
pub async fn blank_moving(tx: &mut Tx, traces: Traces<'_>) -> sqlx::Result<()> {
    sqlx::query(
        "with strangers as (
             delete from moving_strangers
              where tenant_id = $1 and (username = $2 or mac = any($3) or username = any($3)))
         delete from moving_differences
          where tenant_id = $1 and (username = $2 or username = any($3))",
    )
    .bind(tx.tenant())
    .bind(traces.username)
    .bind(traces.devices)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// What routers listed by themselves. One that has him still will list him again.
pub async fn blank_router_lists(tx: &mut Tx, traces: Traces<'_>) -> sqlx::Result<()> {
    sqlx::query(
        "update routers r
            set local_secrets = (
                    select coalesce(jsonb_agg(l.one), '[]')
                      from jsonb_array_elements(r.local_secrets) as l (one)
                     where l.one #>> '{}' is distinct from $2),
                outside = (
                    select coalesce(jsonb_agg(o.one), '[]')
                      from jsonb_array_elements(r.outside) as o (one)
                     where o.one ->> 'username' is distinct from $2
                       and not coalesce(o.one ->> 'mac_address' = any($3), false))
          where r.tenant_id = $1
            and (exists (select from jsonb_array_elements(r.local_secrets) as l (one)
                          where l.one #>> '{}' = $2)
                 or exists (select from jsonb_array_elements(r.outside) as o (one)
                             where o.one ->> 'username' = $2
                                or o.one ->> 'mac_address' = any($3)))",
    )
    .bind(tx.tenant())
    .bind(traces.username)
    .bind(traces.devices)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Reports that could not be applied and have one of these in them.
pub async fn forget_quarantined(tx: &mut Tx, words: &[Vec<u8>]) -> sqlx::Result<()> {
    sqlx::query(
        "delete from quarantine q
          where q.tenant_id = $1
            and exists (select from unnest($2::bytea[]) as w (word) where position(w.word in q.body) > 0)",
    )
    .bind(tx.tenant())
    .bind(words)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Rows of files that were about him.
pub async fn blank_import_rows(
    tx: &mut Tx,
    customer: CustomerId,
    username: &str,
    pseudonym: &str,
) -> sqlx::Result<()> {
    sqlx::query(
        "update import_rows
            set name = $4, errors = '[]', warnings = '[]', before_sealed = null
          where tenant_id = $1 and (subject_id = $2 or subject_id is null and name = $3)",
    )
    .bind(tx.tenant())
    .bind(customer)
    .bind(username)
    .bind(pseudonym)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Lines of the trail to be blanked, and whether what they are about is called by his name.
///
/// All that are about him or something of his. Of the others only searches, exports and what was done to
/// sessions and money of nobody's: they say what an operator typed. What was done to somebody else stays
/// as it was written, whoever else it names.
pub async fn lines_on(
    tx: &mut Tx,
    customer: CustomerId,
    username: &str,
    marks: &Marks,
) -> sqlx::Result<Vec<(Uuid, bool)>> {
    sqlx::query_as(
        "with his as materialized (
             select $2::uuid as id
             union all select id from payments where tenant_id = $1 and customer_id = $2
             union all select id from intents where tenant_id = $1 and customer_id = $2
             union all select id from vouchers where tenant_id = $1 and customer_id = $2
             union all select id from invoices where tenant_id = $1 and customer_id = $2
             union all select id from sessions where tenant_id = $1 and customer_id = $2
             union all select id from messages where tenant_id = $1 and customer_id = $2),
         line as (
             select a.id,
                    a.target_id in (select id from his)
                        or a.target_type = 'session' and a.target_name = $3 as about_him,
                    a.target_type in ('sessions', 'audit') as is_question,
                    a.target_type in ('session', 'payment', 'message')
                        and not exists (select from payments p
                                         where p.tenant_id = $1 and p.id = a.target_id
                                           and p.customer_id is not null)
                        and not exists (select from sessions s
                                         where s.tenant_id = $1 and s.id = a.target_id
                                           and s.customer_id is not null)
                        and not exists (select from messages m
                                         where m.tenant_id = $1 and m.id = a.target_id
                                           and m.customer_id is not null) as is_nobodys,
                    a.target_name,
                    concat_ws(' ', a.target_name, a.details, a.before::text, a.after::text) as said
               from audit a
              where a.tenant_id = $1 and a.action <> $6
                and (a.target_type in ('sessions', 'audit', 'session', 'payment', 'message')
                     or a.target_id in (select id from his)))
         select id, coalesce(about_him or target_name ~* $4, false)
           from line
          where about_him
             or (is_question or is_nobodys)
                and (said ~* $4
                     or exists (select
                                  from regexp_matches(said, '[0-9a-f]{2}(?:[:-]?[0-9a-f]{2}){5}', 'gi') as m (mac)
                                 where upper(translate(m.mac[1], ':-', '')) = any($7)))
             or is_question and said ~* $5",
    )
    .bind(tx.tenant())
    .bind(customer)
    .bind(username)
    .bind(&marks.numbers)
    .bind(&marks.names)
    .bind(crate::ledger::VOUCHES)
    .bind(&marks.devices)
    .fetch_all(&mut **tx)
    .await
}

/// Entries of his whose text an operator typed.
pub async fn worded_entries(tx: &mut Tx, customer: CustomerId) -> sqlx::Result<Vec<Uuid>> {
    sqlx::query_scalar(
        "select e.id
           from payments p
           join entries e on e.tenant_id = $1 and e.id = p.entry_id
          where p.tenant_id = $1 and p.customer_id = $2 and p.operator_id is not null
            and e.description <> ''",
    )
    .bind(tx.tenant())
    .bind(customer)
    .fetch_all(&mut **tx)
    .await
}

/// Forgets what the provider's own programs were told of him.
pub async fn forget_told(tx: &mut Tx, customer: CustomerId) -> sqlx::Result<()> {
    sqlx::query(
        "delete from webhook_deliveries
          where tenant_id = $1 and position($2 in payload) > 0",
    )
    .bind(tx.tenant())
    .bind(customer.to_string())
    .execute(&mut **tx)
    .await?;
    Ok(())
}
