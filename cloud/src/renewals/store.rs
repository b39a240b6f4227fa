//! SQL on payments and periods, and the one statement that makes a deed.

mod account;
mod limits;
mod manual;
mod payment;
mod refund;
mod shares;
mod typed;

use easyisp_shared::id::CustomerId;
use easyisp_shared::money::Cents;
use easyisp_shared::time::Timestamp;
use sqlx::Row;

use crate::db::Tx;
use crate::due::due_cte;
use crate::ledger::{bind_posting, posting_ctes};
use crate::messaging::{SEND, message_cte};
use crate::webhooks::{Columns, event_cte};

use super::deed::{Bought, Deed, Due};
use super::told;

pub use account::payer;
pub(super) use account::{lock, lock_payer};
pub(super) use limits::{identity, limits, one_at_a_time, purchases};
pub(super) use manual::{By, ManualRow, manual, some_manual};
pub use payment::{Gone, taken_back};
pub(super) use payment::{
    Payment, PaymentStatus, free_receipt, give_payment, insert_unallocated, join_receipt,
    lock_payment, lock_receipt, retract_payment, void_payment,
};
pub(super) use refund::{
    Sold, add_refunded, owed_again, refund_paid, release_refunded, sold_for, take_back,
};
pub use typed::{Typed, typed_by_hand};

/// The statement of a deed. What it would write nothing with is left out of it: PostgreSQL makes every part ready
/// before it finds that there is nothing to do.
macro_rules! deed {
    ([$($receipt:tt)*], [$($later:tt)*], [$($told:tt)*]) => {
        concat!(
            "with ",
            posting_ctes!(),
            $($receipt)*,
            ",
         payment as (
             insert into payments (tenant_id, id, customer_id, method, receipt, amount, status, phone,
                                   account, description, intent_id, gateway_id, operator_id, entry_id,
                                   paid_at, created_at, seller_id)
             select $1, $18, $19, $20, $21, $22, 'completed', $23, $24, $25, $26, $27, $28, $29, $30, $2, $59
              where $18 is not null),
         period as (
             insert into periods (tenant_id, id, customer_id, package_id, entry_id, price, starts_at,
                                  ends_at, created_at, tax, taxes, receipted, written_off, router_id)
             select $1, b.id, $19, b.package_id, b.entry_id, b.price, b.starts_at, b.ends_at, $2, b.tax,
                    b.taxes::jsonb, b.receipted, b.written_off,
                    (select router_id from customers where tenant_id = $1 and id = $19)
               from unnest($31::uuid[], $32::uuid[], $33::uuid[], $34::bigint[], $35::timestamptz[],
                           $36::timestamptz[], $55::bigint[], $56::text[], $57::boolean[], $58::bigint[])
                    as b (id, package_id, entry_id, price, starts_at, ends_at, tax, taxes, receipted,
                          written_off)),
         sold as (
             select count(*) > 0 as is_sold, coalesce(sum(price), 0)::bigint as price
               from unnest($34::bigint[]) as b (price)),
         entitled as (
             update customers
                set standing = case when standing = 'SUSPENDED' and s.is_sold then 'ACTIVE' else standing end,
                    paid_until = $37, anchor_day = $38, funded_until = $39, bytes_used_since = $40,
                    paused_at = case when not s.is_sold then paused_at end,
                    paused_until = case when not s.is_sold then paused_until end,
                    promised_from = case when not s.is_sold then promised_from end,
                    promised_until = case when not s.is_sold then promised_until end,
                    total_spent = total_spent + s.price,
                    version = version + 1, updated_at = $2
               from sold s
              where tenant_id = $1 and id = $19), ",
            message_cte!("$1", "$2", "$41", "$42", "$43", "$44", "$45", "$46"),
            ", ",
            due_cte!("$1", "$47", "$48", "$49"),
            $($later)*,
            $($told)*,
            " select balance from wallet where customer_id = $19
          union all
          select balance from wallets w
           where tenant_id = $1 and customer_id = $19 and not exists (select from wallet)"
        )
    };
}

/// The provider's receipt, credited once.
macro_rules! receipt_cte {
    () => {
        ", receipt as (
             insert into directory.receipts (provider, receipt, tenant_id, payment_id, shortcode)
             select $20, $21, $1, $18,
                    case when $54 then (select env || ' ' || shortcode from gateways
                                         where tenant_id = $1 and id = $27) end
              where $21 is not null and $20 in ('MPESA', 'AIRTEL'))"
    };
}

/// What was bought ahead of a pause that ends begins later.
macro_rules! later_cte {
    () => {
        ", later as (
             update periods
                set starts_at = starts_at + ($2 - least($53, $2)), ends_at = ends_at + ($2 - least($53, $2))
              where tenant_id = $1 and customer_id = $19 and starts_at >= $53)"
    };
}

/// What the webhooks of a tenant are told that has some.
macro_rules! told_cte {
    () => {
        concat!(", ", event_cte!("$1", "$2", "$50", "$51", "$52"))
    };
}

/// Writes a deed in one statement: receipt, entries, wallet, payment, period, entitlement, message, what
/// falls due and what is told to webhooks. Returns the wallet's balance afterwards. What a customer bought ahead
/// begins as much later as the pause was long that the deed ends.
///
/// A receipt or intent that was credited before violates `receipts_pkey`, `receipt_at_shortcode` or
/// `payment_intent`.
pub(super) async fn write(tx: &mut Tx, deed: Deed, now: Timestamp) -> sqlx::Result<Cents> {
    let is_told = deed.watched;
    let text = match (&deed.paid, deed.back_from) {
        _ if is_told => deed!([receipt_cte!()], [later_cte!()], [told_cte!()]),
        (_, Some(_)) => deed!([receipt_cte!()], [later_cte!()], [""]),
        (Some(paid), None) if paid.has_receipt() => deed!([receipt_cte!()], [""], [""]),
        (_, None) => deed!([""], [""], [""]),
    };
    let statement = sqlx::query(text);
    let paid = deed.paid.as_ref();
    let receipt = paid.map(|paid| &paid.receipt);
    let bought = || deed.bought.iter();
    let message = deed.message.as_ref();
    let events = told::of_deed(tx.tenant(), &deed, now, &tx.entropy());
    let told = Columns::of(&events);
    let mut dues = deed.dues.clone();
    dues.extend(message.map(|message| Due {
        kind: SEND,
        subject: message.id.0,
        when: now,
    }));
    bind_posting(statement, tx, &deed.entries, now)
        .bind(paid.map(|paid| paid.id))
        .bind(deed.customer)
        .bind(receipt.map(|receipt| receipt.method))
        .bind(receipt.and_then(|receipt| receipt.receipt.clone()))
        .bind(receipt.map(|receipt| receipt.amount))
        .bind(receipt.and_then(|receipt| receipt.phone.clone()))
        .bind(receipt.and_then(|receipt| receipt.account.clone()))
        .bind(receipt.map(|receipt| receipt.description.clone()))
        .bind(receipt.and_then(|receipt| receipt.intent))
        .bind(receipt.and_then(|receipt| receipt.gateway))
        .bind(receipt.and_then(|receipt| receipt.operator))
        .bind(paid.map(|paid| paid.entry))
        .bind(receipt.map(|receipt| receipt.paid_at))
        .bind(bought().map(|bought| bought.id).collect::<Vec<_>>())
        .bind(bought().map(|bought| bought.package).collect::<Vec<_>>())
        .bind(
            bought()
                .map(|bought| bought.entry.as_ref().map(|entry| entry.id))
                .collect::<Vec<_>>(),
        )
        .bind(bought().map(|bought| bought.price).collect::<Vec<_>>())
        .bind(
            bought()
                .map(|bought| bought.period.starts_at)
                .collect::<Vec<_>>(),
        )
        .bind(
            bought()
                .map(|bought| bought.period.ends_at)
                .collect::<Vec<_>>(),
        )
        .bind(deed.paid_until)
        .bind(deed.anchor_day.map(i16::from))
        .bind(deed.funded_until)
        .bind(deed.bytes_used_since)
        .bind(message.iter().map(|message| message.id).collect::<Vec<_>>())
        .bind(
            message
                .iter()
                .map(|message| message.to.as_str().to_owned())
                .collect::<Vec<_>>(),
        )
        .bind(
            message
                .iter()
                .map(|message| message.body.clone())
                .collect::<Vec<_>>(),
        )
        .bind(
            message
                .iter()
                .map(|message| message.purpose)
                .collect::<Vec<_>>(),
        )
        .bind(
            message
                .iter()
                .map(|message| message.customer)
                .collect::<Vec<_>>(),
        )
        .bind(
            message
                .iter()
                .map(|message| message.initiator.clone())
                .collect::<Vec<_>>(),
        )
        .bind(dues.iter().map(|due| due.kind).collect::<Vec<_>>())
        .bind(dues.iter().map(|due| due.subject).collect::<Vec<_>>())
        .bind(dues.iter().map(|due| due.when).collect::<Vec<_>>())
        .bind(&told.ids)
        .bind(&told.names)
        .bind(&told.payloads)
        .bind(deed.back_from)
        .bind(receipt.is_some_and(|receipt| receipt.proven))
        .bind(bought().map(Bought::tax).collect::<Vec<_>>())
        .bind(bought().map(taxes_text).collect::<Vec<_>>())
        .bind(bought().map(|bought| bought.receipted).collect::<Vec<_>>())
        .bind(
            bought()
                .map(|bought| bought.written_off)
                .collect::<Vec<_>>(),
        )
        .bind(receipt.and_then(|receipt| receipt.till.seller()))
        .fetch_one(&mut **tx)
        .await?
        .try_get(0)
}

/// The taxes in a period's price as the database keeps them.
fn taxes_text(bought: &Bought) -> Option<String> {
    let some = (!bought.taxes.is_empty()).then_some(&bought.taxes)?;
    serde_json::to_string(some).ok()
}

/// Begins counting data anew for a period that was bought ahead and begins now. `false` when the customer is gone
/// or paused, and when his data has been counted from its beginning, or a later moment, already.
pub(super) async fn begin_period(
    tx: &mut Tx,
    customer: CustomerId,
    now: Timestamp,
) -> sqlx::Result<bool> {
    let begun = sqlx::query(
        "update customers c
            set bytes_used_since = p.starts_at, version = version + 1, updated_at = $3
           from (select starts_at from periods
                  where tenant_id = $1 and customer_id = $2 and starts_at <= $3
                  order by starts_at desc limit 1) p
          where c.tenant_id = $1 and c.id = $2 and c.deleted_at is null and c.paused_at is null
            and coalesce(c.bytes_used_since, '-infinity') < p.starts_at",
    )
    .bind(tx.tenant())
    .bind(customer)
    .bind(now)
    .execute(&mut **tx)
    .await?;
    Ok(begun.rows_affected() > 0)
}

/// When the next period with limited data begins that a customer bought ahead. `None` when there is none, and while
/// he is paused.
pub(super) async fn next_begins(
    tx: &mut Tx,
    customer: CustomerId,
    now: Timestamp,
) -> sqlx::Result<Option<Timestamp>> {
    sqlx::query_scalar(
        "select min(p.starts_at)
           from periods p
           join packages k on k.tenant_id = $1 and k.id = p.package_id and k.data_limit is not null
           join customers c on c.tenant_id = $1 and c.id = $2 and c.deleted_at is null and c.paused_at is null
          where p.tenant_id = $1 and p.customer_id = $2 and p.starts_at > $3",
    )
    .bind(tx.tenant())
    .bind(customer)
    .bind(now)
    .fetch_one(&mut **tx)
    .await
}

/// When a customer who renews by himself is due next. `None` when he does not: the time of a child account is its
/// parent's, who renews it or not.
pub(super) async fn renews_at(
    tx: &mut Tx,
    customer: CustomerId,
) -> sqlx::Result<Option<Timestamp>> {
    sqlx::query_scalar(
        "select paid_until from customers
          where tenant_id = $1 and id = $2 and auto_renew and standing = 'ACTIVE' and deleted_at is null
            and parent_id is null",
    )
    .bind(tx.tenant())
    .bind(customer)
    .fetch_optional(&mut **tx)
    .await
}
