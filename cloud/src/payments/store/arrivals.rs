//! SQL on money that came by itself: what is known of it, and whose it may be.

use easyisp_shared::id::{CustomerId, GatewayId, InboxId, IntentId, PaymentId};
use easyisp_shared::money::Cents;
use easyisp_shared::time::Timestamp;
use sqlx::postgres::{PgArguments, PgRow};
use sqlx::query::Query;
use sqlx::types::Json;
use sqlx::{FromRow, Postgres, Row};

use super::super::arrival::Arrival;
use super::super::owner::{Candidate, Keys};
use super::super::words::SubType;
use super::{Intent, intent_columns};
use crate::db::Tx;
use crate::renewals::Typed;

/// What is known of an arrival before it is booked.
#[derive(Debug)]
pub(in super::super) struct Found {
    /// The receipt was booked before: here, or by whoever else proved that it came to this short code.
    pub(in super::super) known: bool,
    /// The prompt that it is the payment of, locked.
    pub(in super::super) intent: Option<Intent>,
    /// Several prompts of several payers fit.
    pub(in super::super) ambiguous: bool,
    /// Customers whom some of the keys fit, those first who fit best.
    pub(in super::super) candidates: Vec<Candidate>,
    /// The short code of the gateway.
    pub(in super::super) at: Place,
    /// The gateway was deleted.
    pub(in super::super) retired: bool,
    /// Somebody typed the receipt beside money that he booked by hand.
    pub(in super::super) typed: Option<Typed>,
}

/// The short code where money arrived.
#[derive(FromRow, Clone, Debug)]
pub(in super::super) struct Place {
    #[sqlx(rename = "at_shortcode")]
    pub(in super::super) shortcode: String,
    #[sqlx(rename = "at_store")]
    pub(in super::super) store_number: Option<String>,
    #[sqlx(rename = "at_kind")]
    pub(in super::super) kind: SubType,
    /// A payer is found by the end of what he is called too.
    #[sqlx(rename = "at_suffix")]
    pub(in super::super) match_suffix: bool,
    /// It is the platform's.
    #[sqlx(rename = "at_platform")]
    pub(in super::super) platform: bool,
    /// When the gateway was set up: what moved before is nothing of ours.
    #[sqlx(rename = "at_since")]
    pub(in super::super) since: Timestamp,
}

/// When prompts were asked for at the earliest, to which a receipt may belong.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct Since {
    /// By the account that the prompt showed.
    pub(in super::super) by_reference: Timestamp,
    /// By payer and amount, where the payer named nobody.
    pub(in super::super) by_payer: Timestamp,
}

/// The prompt that an arrival belongs to, locked, and the customers whom it may belong to. `$if` is one more
/// condition before the lock.
///
/// The account of a prompt names a customer and the prompt; a payer who named nobody is known by his number
/// and the amount, when the prompts that fit are one customer's, or one of them was credited without a receipt.
/// A short code is one, whichever of our gateways has it or had it.
macro_rules! found_ctes {
    ($if:literal) => {
        concat!(
            "prompts as (
                 select i.id, i.customer_id, i.account_reference = $5 as named,
                        i.state = 'PROVISIONAL' as credited,
                        row_number() over (
                            order by (i.account_reference = $5) desc, (i.amount = $4) desc,
                                     (i.state = 'PROVISIONAL') desc, i.created_at desc) as place
                   from intents i
                  where i.tenant_id = $1 and i.receipt is null
                    and i.gateway_id in (select same.id
                                           from gateways here
                                           join gateways same on same.tenant_id = $1
                                                             and same.shortcode = here.shortcode
                                                             and same.type = here.type
                                          where here.tenant_id = $1 and here.id = $2)
                    and (i.account_reference = $5 and i.created_at >= $6
                         or $7 and i.amount = $4 and i.created_at >= $8
                            and (i.state <> 'REFUSED' or i.result_code = 1037)
                            and (i.phone_number like $9
                                 or encode(sha256(convert_to(i.phone_number, 'UTF8')), 'hex') = $10))
                  order by place
                  limit 50),
             intent as materialized (",
            intent_columns!(),
            " and i.id = (select (array_agg(p.id order by p.place))[1]
                            from prompts p
                          having bool_or(p.named) or count(distinct p.customer_id) = 1
                              or count(*) filter (where p.credited) = 1)",
            $if,
            " for update of i),
             owners as (
                 select jsonb_agg(jsonb_build_object(
                            'id', o.id, 'by_account', o.by_account, 'by_name', o.by_name,
                            'by_phone', o.by_phone, 'by_payer', o.by_payer,
                            'phone', case when o.by_payer then o.phone_number end)) as all_of_them
                   from (select c.id, c.phone_number, coalesce(c.account_number = $11, false) as by_account,
                                coalesce(c.username_key = $12, false) as by_name,
                                coalesce(c.phone_hash = $13, false) as by_phone,
                                coalesce(c.phone_hash = $14, false) as by_payer
                           from customers c
                          where c.tenant_id = $1 and c.deleted_at is null
                            and (c.account_number = $11 or c.username_key = $12
                                 or c.phone_hash = $13 or c.phone_hash = $14)
                          order by by_account desc, by_name desc, by_phone desc
                          limit 20) o)
             select exists (select from directory.receipts r
                             where r.provider = 'MPESA' and r.receipt = $3
                               and (r.tenant_id = $1
                                    or r.shortcode = at.env || ' ' || at.shortcode)) as known,
                    (select count(distinct customer_id) > 1 and not coalesce(bool_or(named), false)
                            and count(*) filter (where credited) <> 1
                       from prompts) as ambiguous,
                    (select all_of_them from owners) as candidates,
                    at.shortcode as at_shortcode, at.store_number as at_store,
                    at.sub_type as at_kind, at.match_suffix as at_suffix, at.created_at as at_since,
                    at.platform as at_platform, at.deleted_at is not null as at_retired,
                    typed_by_hand($1, $3) as typed, intent.*
               from gateways at
               left join intent on true
              where at.tenant_id = $1 and at.id = $2"
        )
    };
}

type Statement<'q> = Query<'q, Postgres, PgArguments>;

fn bound<'q>(
    statement: Statement<'q>,
    tx: &Tx,
    gateway: GatewayId,
    arrival: &Arrival,
    keys: &Keys,
    since: Since,
) -> Statement<'q> {
    statement
        .bind(tx.tenant())
        .bind(gateway)
        .bind(arrival.receipt.clone())
        .bind(arrival.amount)
        .bind(keys.prompt.clone())
        .bind(since.by_reference)
        .bind(keys.named_nobody)
        .bind(since.by_payer)
        .bind(arrival.payer.pattern())
        .bind(arrival.payer.hash())
        .bind(keys.account)
        .bind(keys.username.clone())
        .bind(keys.phone.clone())
        .bind(keys.payer.clone())
}

fn read(row: &PgRow) -> sqlx::Result<Found> {
    let intent: Option<IntentId> = row.try_get("id")?;
    let candidates: Option<Json<Vec<Candidate>>> = row.try_get("candidates")?;
    Ok(Found {
        known: row.try_get("known")?,
        intent: intent.map(|_| Intent::from_row(row)).transpose()?,
        ambiguous: row.try_get("ambiguous")?,
        candidates: candidates.map_or(Vec::new(), |Json(all)| all),
        at: Place::from_row(row)?,
        retired: row.try_get("at_retired")?,
        typed: row.try_get("typed")?,
    })
}

/// Looks for what is known of an arrival; locks the prompt it belongs to. `None` when there is no such
/// gateway.
pub(in super::super) async fn find(
    tx: &mut Tx,
    gateway: GatewayId,
    arrival: &Arrival,
    keys: &Keys,
    since: Since,
) -> sqlx::Result<Option<Found>> {
    let statement = sqlx::query(concat!("with ", found_ctes!("")));
    let row = bound(statement, tx, gateway, arrival, keys, since)
        .fetch_optional(&mut **tx)
        .await?;
    row.as_ref().map(read).transpose()
}

/// Takes a report to work on it, as done, withdraws the due work and looks for what is known of the arrival
/// it tells of, in one statement. Locks the report and then the prompt. `None` when it was worked on before.
pub(in super::super) async fn take_and_find(
    tx: &mut Tx,
    id: InboxId,
    gateway: GatewayId,
    arrival: &Arrival,
    keys: &Keys,
    since: Since,
    now: Timestamp,
) -> sqlx::Result<Option<Found>> {
    let statement = sqlx::query(concat!(
        "with report as (
             update payment_inbox
                set processed_at = $16, attempts = attempts + 1, outcome = 'done'
              where tenant_id = $1 and id = $15 and processed_at is null
             returning id),
         undue as (
             delete from directory.jobs
              where tenant_id = $1 and kind = $17 and subject = $15 and exists (select from report)), ",
        found_ctes!(" and exists (select from report)"),
        " and exists (select from report)"
    ));
    let row = bound(statement, tx, gateway, arrival, keys, since)
        .bind(id)
        .bind(now)
        .bind(super::super::INBOX)
        .fetch_optional(&mut **tx)
        .await?;
    row.as_ref().map(read).transpose()
}

/// Which of these receipts were booked before, here or by whoever else proved that they came to this short code;
/// without those that this tenant holds on nobody's word, by what is written beside them (`hearsay`).
pub(in super::super) async fn known(
    tx: &mut Tx,
    gateway: GatewayId,
    receipts: &[String],
    hearsay: &[&str],
) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar(
        "select distinct r.receipt
           from directory.receipts r
          where r.provider = 'MPESA' and r.receipt = any($2)
            and (r.tenant_id = $1
                 or r.shortcode = (select env || ' ' || shortcode from gateways
                                    where tenant_id = $1 and id = $4))
            and not exists (select from payments p
                             where p.tenant_id = $1 and p.id = r.payment_id and p.customer_id is null
                               and p.intent_id is null and p.status = 'completed'
                               and p.description = any($3))",
    )
    .bind(tx.tenant())
    .bind(receipts)
    .bind(hearsay.iter().map(|why| (*why).to_owned()).collect::<Vec<String>>())
    .bind(gateway)
    .fetch_all(&mut **tx)
    .await
}

/// A payment that stands with a receipt that another report names, locked.
#[derive(FromRow, Clone, Debug)]
pub(in super::super) struct Standing {
    #[sqlx(rename = "customer_id")]
    pub(in super::super) customer: Option<CustomerId>,
    /// It is nobody's yet, or whose it is has the prompt or pays for who has.
    pub(in super::super) mine: bool,
    /// It came to the short code of the prompt.
    pub(in super::super) here: bool,
    pub(in super::super) amount: Cents,
}

/// Reads and locks the payment with this receipt, when no prompt has it and it stands; `gateway` and `customer` are
/// the prompt's.
pub(in super::super) async fn lock_without_prompt(
    tx: &mut Tx,
    receipt: &str,
    gateway: GatewayId,
    customer: CustomerId,
) -> sqlx::Result<Option<Standing>> {
    sqlx::query_as(
        "select p.customer_id, p.amount,
                (p.customer_id is null or p.customer_id = $4
                 or exists (select from customers k
                             where k.tenant_id = $1 and k.id = $4 and k.parent_id = p.customer_id)) as mine,
                exists (select
                          from gateways here
                          join gateways same on same.tenant_id = $1 and same.shortcode = here.shortcode
                                            and same.type = here.type
                         where here.tenant_id = $1 and here.id = $3 and same.id = p.gateway_id) as here
           from payments p
          where p.tenant_id = $1 and p.receipt = $2 and p.method = 'MPESA' and p.status = 'completed'
            and p.intent_id is null and p.refunded = 0
            for update of p",
    )
    .bind(tx.tenant())
    .bind(receipt)
    .bind(gateway)
    .bind(customer)
    .fetch_optional(&mut **tx)
    .await
}

/// Whether a prompt under this account was paid so much, under a receipt that only somebody unknown named: our query
/// said that it was paid, and names no receipt.
pub(in super::super) async fn is_unproven(
    tx: &mut Tx,
    gateway: GatewayId,
    reference: &str,
    amount: Cents,
    since: Timestamp,
) -> sqlx::Result<bool> {
    sqlx::query_scalar(
        "select exists (
             select from intents i
               join gateways here on here.tenant_id = $1 and here.id = $2
               join gateways same on same.tenant_id = $1 and same.id = i.gateway_id
                                 and same.shortcode = here.shortcode and same.type = here.type
               join directory.receipts r on r.provider = 'MPESA' and r.receipt = i.receipt
                                        and r.tenant_id = $1 and r.shortcode is null
              where i.tenant_id = $1 and i.account_reference = $3 and i.amount = $4 and i.created_at >= $5
                and i.state = 'POSTED')",
    )
    .bind(tx.tenant())
    .bind(gateway)
    .bind(reference)
    .bind(amount)
    .bind(since)
    .fetch_one(&mut **tx)
    .await
}

/// A payment of this tenant with a receipt that another report tells of, locked.
#[derive(FromRow, Clone, Debug)]
pub(in super::super) struct Told {
    pub(in super::super) id: PaymentId,
    #[sqlx(rename = "customer_id")]
    pub(in super::super) customer: Option<CustomerId>,
    pub(in super::super) amount: Cents,
    pub(in super::super) description: String,
    /// It stands, and no prompt has it.
    pub(in super::super) alone: bool,
}

/// Reads and locks the payment with this receipt.
pub(in super::super) async fn lock_told(tx: &mut Tx, receipt: &str) -> sqlx::Result<Option<Told>> {
    sqlx::query_as(
        "select id, customer_id, amount, description,
                status = 'completed' and intent_id is null and refunded = 0 as alone
           from payments
          where tenant_id = $1 and receipt = $2 and method = 'MPESA' and status <> 'voided'
            for update",
    )
    .bind(tx.tenant())
    .bind(receipt)
    .fetch_optional(&mut **tx)
    .await
}

/// What the payer of a payment that is booked typed as account; empty when nothing. `None` when none is booked.
pub(in super::super) async fn account_of(
    tx: &mut Tx,
    receipt: &str,
) -> sqlx::Result<Option<String>> {
    sqlx::query_scalar(
        "select coalesce(account, '') from payments
          where tenant_id = $1 and receipt = $2 and method = 'MPESA' and status <> 'voided'",
    )
    .bind(tx.tenant())
    .bind(receipt)
    .fetch_optional(&mut **tx)
    .await
}

/// Writes beside a payment what a person reads.
pub(in super::super) async fn describe(
    tx: &mut Tx,
    payment: PaymentId,
    description: &str,
) -> sqlx::Result<()> {
    sqlx::query("update payments set description = $3 where tenant_id = $1 and id = $2")
        .bind(tx.tenant())
        .bind(payment)
        .bind(description)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Writes what a report that is believed says of money that is held: where it came to, and from whom.
pub(in super::super) async fn vouch(
    tx: &mut Tx,
    payment: PaymentId,
    gateway: GatewayId,
    arrival: &Arrival,
    description: &str,
) -> sqlx::Result<()> {
    sqlx::query(
        "update payments
            set gateway_id = $3, phone = $4, account = nullif($5, ''), payer_hash = $6, payer_name = $7,
                description = $8
          where tenant_id = $1 and id = $2",
    )
    .bind(tx.tenant())
    .bind(payment)
    .bind(gateway)
    .bind(arrival.payer.shown())
    .bind(&arrival.reference)
    .bind(arrival.payer.hash())
    .bind(&arrival.payer_name)
    .bind(description)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Whether another tenant has proved that a receipt came to this gateway's short code.
pub(in super::super) async fn is_anothers(
    tx: &mut Tx,
    receipt: &str,
    gateway: GatewayId,
) -> sqlx::Result<bool> {
    sqlx::query_scalar(
        "select exists (select from directory.receipts r
                          join gateways g on g.tenant_id = $1 and g.id = $3
                         where r.provider = 'MPESA' and r.receipt = $2 and r.tenant_id <> $1
                           and r.shortcode = g.env || ' ' || g.shortcode)",
    )
    .bind(tx.tenant())
    .bind(receipt)
    .bind(gateway)
    .fetch_one(&mut **tx)
    .await
}

/// Writes that the provider says itself that a payment came to this gateway's short code. Somebody else's proof of
/// the same stands, and is told as `false`.
pub(in super::super) async fn prove(
    tx: &mut Tx,
    payment: PaymentId,
    gateway: GatewayId,
) -> sqlx::Result<bool> {
    let proved = sqlx::query(
        "update directory.receipts r
            set shortcode = g.env || ' ' || g.shortcode
           from gateways g
          where g.tenant_id = $1 and g.id = $3 and r.provider = 'MPESA' and r.tenant_id = $1
            and r.payment_id = $2
            and not exists (select from directory.receipts other
                             where other.provider = 'MPESA' and other.receipt = r.receipt
                               and other.payment_id <> $2
                               and other.shortcode = g.env || ' ' || g.shortcode)",
    )
    .bind(tx.tenant())
    .bind(payment)
    .bind(gateway)
    .execute(&mut **tx)
    .await?;
    Ok(proved.rows_affected() == 1)
}

/// A payment that may be that of a prompt.
#[derive(FromRow, Clone, Debug)]
pub(in super::super) struct Fitting {
    pub(in super::super) receipt: String,
    /// It is held, on nobody's word.
    pub(in super::super) hearsay: bool,
}

/// A payment that may be that of this prompt: it came to its short code, after it was asked for, under the
/// account that only this prompt showed, or of its amount by its phone. At a till also one that a later prompt of the customer has: no
/// receipt says there which of them it pays.
pub(in super::super) async fn fitting(
    tx: &mut Tx,
    intent: &Intent,
    since: Timestamp,
    hearsay: &[&str],
) -> sqlx::Result<Option<Fitting>> {
    sqlx::query_as(
        "select p.receipt,
                p.customer_id is null and p.intent_id is null and p.description = any($9) as hearsay
           from payments p
           join gateways theirs on theirs.tenant_id = $1 and theirs.id = p.gateway_id
           join gateways ours on ours.tenant_id = $1 and ours.id = $2
          where p.tenant_id = $1 and p.method = 'MPESA' and p.status = 'completed'
            and p.receipt is not null and p.paid_at >= $4
            and theirs.shortcode = ours.shortcode and theirs.type = ours.type
            and (p.intent_id is null
                     and (p.customer_id is null or p.customer_id = $5
                          or p.customer_id = (select k.parent_id from customers k
                                               where k.tenant_id = $1 and k.id = $5))
                     and (upper(p.account) = $6 and ours.sub_type <> 'BANK'
                          or p.amount = $3
                             and ($7 like replace(p.phone, '*****', '%')
                                  or p.payer_hash = encode(sha256(convert_to($7, 'UTF8')), 'hex')))
                 or p.intent_id <> $8 and p.phone = $7 and p.amount = $3
                     and p.customer_id in (select unnest(array[k.id, k.parent_id]) from customers k
                                            where k.tenant_id = $1 and k.id = $5)
                     and ours.sub_type = 'BUYGOODS')
          order by hearsay, p.amount = $3 desc, p.intent_id is null desc,
                   upper(p.account) = $6 desc nulls last, p.paid_at
          limit 1",
    )
    .bind(tx.tenant())
    .bind(intent.gateway_id)
    .bind(intent.amount)
    .bind(since)
    .bind(intent.customer_id)
    .bind(&intent.account_reference)
    .bind(&intent.phone_number)
    .bind(intent.id)
    .bind(
        hearsay
            .iter()
            .map(|why| (*why).to_owned())
            .collect::<Vec<String>>(),
    )
    .fetch_optional(&mut **tx)
    .await
}

/// Writes that a payment is that of a prompt.
pub(in super::super) async fn give_to_prompt(
    tx: &mut Tx,
    receipt: &str,
    intent: IntentId,
) -> sqlx::Result<()> {
    sqlx::query(
        "update payments set intent_id = $3
          where tenant_id = $1 and receipt = $2 and method = 'MPESA' and intent_id is null",
    )
    .bind(tx.tenant())
    .bind(receipt)
    .bind(intent)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// A receipt that is booked, and what stands with it.
#[derive(FromRow, Clone, Debug)]
pub(in super::super) struct Booked {
    pub(in super::super) receipt: String,
    /// `None` when it was booked for another tenant.
    pub(in super::super) amount: Option<Cents>,
    /// It is held, on nobody's word.
    pub(in super::super) hearsay: bool,
}

/// Which of these receipts are booked, here or by whoever else proved that they came to this short code, in their
/// order.
pub(in super::super) async fn booked(
    tx: &mut Tx,
    gateway: GatewayId,
    receipts: &[String],
    hearsay: &[&str],
) -> sqlx::Result<Vec<Booked>> {
    let mut booked: Vec<Booked> = sqlx::query_as(
        "select distinct on (r.receipt) r.receipt, p.amount,
                coalesce(p.customer_id is null and p.intent_id is null and p.status = 'completed'
                         and p.description = any($3), false) as hearsay
           from directory.receipts r
           left join payments p on p.tenant_id = $1 and p.id = r.payment_id
          where r.provider = 'MPESA' and r.receipt = any($2)
            and (r.tenant_id = $1
                 or r.shortcode = (select env || ' ' || shortcode from gateways
                                    where tenant_id = $1 and id = $4))
          order by r.receipt, r.tenant_id = $1 desc",
    )
    .bind(tx.tenant())
    .bind(receipts)
    .bind(
        hearsay
            .iter()
            .map(|why| (*why).to_owned())
            .collect::<Vec<String>>(),
    )
    .bind(gateway)
    .fetch_all(&mut **tx)
    .await?;
    booked.sort_unstable_by(|a, b| a.receipt.cmp(&b.receipt));
    Ok(booked)
}

/// A payment that a statement does not have.
#[derive(FromRow, Clone, Debug)]
pub(in super::super) struct Extra {
    pub(in super::super) id: PaymentId,
    pub(in super::super) receipt: Option<String>,
    pub(in super::super) amount: Cents,
    pub(in super::super) paid_at: Timestamp,
}

/// Payments to a gateway's short code from `from` to `to` with none of these receipts, newest first.
pub(in super::super) async fn extra(
    tx: &mut Tx,
    gateway: GatewayId,
    from: Timestamp,
    to: Timestamp,
    receipts: &[String],
    most: i64,
) -> sqlx::Result<Vec<Extra>> {
    sqlx::query_as(
        "select id, receipt, amount, paid_at
           from payments p
          where tenant_id = $1 and paid_at between $3 and $4 and method = 'MPESA' and status = 'completed'
            and gateway_id in (select same.id
                                 from gateways here
                                 join gateways same on same.tenant_id = $1 and same.shortcode = here.shortcode
                                                   and same.type = here.type
                                where here.tenant_id = $1 and here.id = $2)
            and not exists (select from unnest($5::text[]) as s (receipt) where s.receipt = p.receipt)
          order by paid_at desc, id desc
          limit $6",
    )
    .bind(tx.tenant())
    .bind(gateway)
    .bind(from)
    .bind(to)
    .bind(receipts)
    .bind(most)
    .fetch_all(&mut **tx)
    .await
}
