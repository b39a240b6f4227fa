//! SQL on money that is nobody's yet, and on what is known of a receipt or a payer.

use easyisp_shared::id::{CustomerId, IntentId, PaymentId};
use easyisp_shared::money::Cents;
use easyisp_shared::time::Timestamp;
use sqlx::FromRow;

use crate::api::Page;
use crate::customers::beginning_of_phone;
use crate::db::{Tx, sought};

/// Money that is nobody's yet.
#[derive(FromRow, Clone, Debug)]
pub(in super::super) struct Held {
    pub(in super::super) id: PaymentId,
    pub(in super::super) receipt: Option<String>,
    pub(in super::super) amount: Cents,
    pub(in super::super) phone: Option<String>,
    pub(in super::super) account: Option<String>,
    pub(in super::super) payer_hash: Option<String>,
    pub(in super::super) payer_name: Option<String>,
    pub(in super::super) description: String,
    pub(in super::super) paid_at: Timestamp,
    pub(in super::super) created_at: Timestamp,
}

macro_rules! held {
    ($columns:literal) => {
        concat!(
            "select ",
            $columns,
            " from payments
              where tenant_id = $1 and customer_id is null and status = 'completed' and method in ('MPESA', 'AIRTEL')
                and ($2::text is null or id = any((select found_unallocated($1, $2, $3))::uuid[]))"
        )
    };
}

/// Money that is nobody's yet, newest first, and how many there are.
pub(in super::super) async fn held(
    tx: &mut Tx,
    search: Option<&str>,
    page: Page,
) -> sqlx::Result<(Vec<Held>, i64)> {
    let search = sought(search);
    let digits = search.as_deref().and_then(beginning_of_phone);
    let rows = sqlx::query_as(concat!(
        held!(
            "id, receipt, amount, phone, account, payer_hash, payer_name, description, paid_at, created_at"
        ),
        " order by paid_at desc, id desc limit $4 offset $5"
    ))
    .bind(tx.tenant())
    .bind(&search)
    .bind(&digits)
    .bind(page.limit())
    .bind(page.offset())
    .fetch_all(&mut **tx)
    .await?;
    let total = sqlx::query_scalar(held!("count(*)"))
        .bind(tx.tenant())
        .bind(&search)
        .bind(&digits)
        .fetch_one(&mut **tx)
        .await?;
    Ok((rows, total))
}

/// What customers are looked for by who may own some money.
#[derive(Clone, Default, Debug)]
pub(in super::super) struct Hints {
    /// SHA-256 of phones.
    pub(in super::super) hashes: Vec<String>,
    /// The last digits of phones, by how many there are.
    pub(in super::super) last_digits: Vec<String>,
    /// Account numbers that one slip makes of what was typed.
    pub(in super::super) accounts: Vec<i32>,
    /// User names without regard to case and spaces.
    pub(in super::super) usernames: Vec<String>,
}

/// A customer who may own some money.
#[derive(FromRow, Clone, Debug)]
pub(in super::super) struct Possible {
    pub(in super::super) id: CustomerId,
    pub(in super::super) name: String,
    pub(in super::super) username: String,
    pub(in super::super) username_key: String,
    pub(in super::super) account_number: i32,
    pub(in super::super) phone_number: Option<String>,
    pub(in super::super) phone_hash: Option<String>,
}

/// Customers whom some hints fit, `most` at most.
pub(in super::super) async fn possible(
    tx: &mut Tx,
    hints: &Hints,
    most: i64,
) -> sqlx::Result<Vec<Possible>> {
    sqlx::query_as(
        "select id, name, username, username_key, account_number, phone_number, phone_hash
           from customers
          where tenant_id = $1 and deleted_at is null
            and (phone_hash = any($2) or account_number = any($3) or username_key = any($4)
                 or right(phone_number, 2) = any($5) or right(phone_number, 3) = any($5)
                 or right(phone_number, 4) = any($5))
          order by (phone_hash = any($2) or account_number = any($3) or username_key = any($4)) desc nulls last,
                   created_at desc, id
          limit $6",
    )
    .bind(tx.tenant())
    .bind(&hints.hashes)
    .bind(&hints.accounts)
    .bind(&hints.usernames)
    .bind(&hints.last_digits)
    .bind(most)
    .fetch_all(&mut **tx)
    .await
}

/// A payment that is to be allocated.
#[derive(FromRow, Clone, Debug)]
pub(in super::super) struct Allocated {
    pub(in super::super) receipt: Option<String>,
    pub(in super::super) status: String,
    pub(in super::super) customer_name: Option<String>,
    pub(in super::super) customer_username: Option<String>,
    /// It is somebody's.
    pub(in super::super) owned: bool,
}

/// Reads and locks an M-Pesa payment.
pub(in super::super) async fn lock(
    tx: &mut Tx,
    payment: PaymentId,
) -> sqlx::Result<Option<Allocated>> {
    sqlx::query_as(
        "select p.receipt, p.status, p.customer_id is not null as owned,
                (select name from customers where tenant_id = $1 and id = p.customer_id) as customer_name,
                (select username from customers where tenant_id = $1 and id = p.customer_id)
                    as customer_username
           from payments p
          where p.tenant_id = $1 and p.id = $2 and p.method in ('MPESA', 'AIRTEL')
            for update of p",
    )
    .bind(tx.tenant())
    .bind(payment)
    .fetch_optional(&mut **tx)
    .await
}

/// A payment as somebody who asks after it is told.
#[derive(FromRow, Clone, Debug)]
pub(in super::super) struct Past {
    pub(in super::super) id: PaymentId,
    pub(in super::super) receipt: Option<String>,
    pub(in super::super) amount: Cents,
    pub(in super::super) status: String,
    pub(in super::super) phone: Option<String>,
    pub(in super::super) account: Option<String>,
    pub(in super::super) customer_id: Option<CustomerId>,
    pub(in super::super) customer_name: Option<String>,
    pub(in super::super) paid_at: Timestamp,
    pub(in super::super) created_at: Timestamp,
}

/// The newest M-Pesa payments with this receipt, or that came from this phone or for whom has it.
pub(in super::super) async fn past(
    tx: &mut Tx,
    receipt: Option<&str>,
    phone: Option<(&str, &str)>,
    most: i64,
) -> sqlx::Result<Vec<Past>> {
    let (number, hash) = phone.unzip();
    sqlx::query_as(
        "with found as (
             select id, created_at from payments where tenant_id = $1 and receipt = $2
             union
             select id, created_at from payments where tenant_id = $1 and phone = $3
             union
             select id, created_at from payments where tenant_id = $1 and payer_hash = $4
             union
             select p.id, p.created_at
               from payments p
              where p.tenant_id = $1
                and p.customer_id in (select id from customers where tenant_id = $1 and phone_hash = $4))
         select p.id, p.receipt, p.amount, p.status, p.phone, p.account, p.customer_id,
                c.name as customer_name, p.paid_at, p.created_at
           from payments p
           left join customers c on c.tenant_id = $1 and c.id = p.customer_id
          where p.tenant_id = $1 and p.method in ('MPESA', 'AIRTEL') and p.id in (select id from found)
          order by p.paid_at desc, p.id desc
          limit $5",
    )
    .bind(tx.tenant())
    .bind(receipt)
    .bind(number)
    .bind(hash)
    .bind(most)
    .fetch_all(&mut **tx)
    .await
}

/// What a report says of a receipt that is not booked.
#[derive(FromRow, Clone, Debug)]
pub(in super::super) struct Hearsay {
    pub(in super::super) received_at: Timestamp,
    pub(in super::super) processed: bool,
    pub(in super::super) outcome: Option<String>,
}

/// The newest confirmation that names this receipt.
pub(in super::super) async fn hearsay(tx: &mut Tx, receipt: &str) -> sqlx::Result<Option<Hearsay>> {
    sqlx::query_as(
        "select received_at, processed_at is not null as processed, outcome
           from payment_inbox
          where tenant_id = $1 and receipt = $2 and kind = 'C2B_CONFIRMATION'
          order by received_at desc
          limit 1",
    )
    .bind(tx.tenant())
    .bind(receipt)
    .fetch_optional(&mut **tx)
    .await
}

/// The prompt for which somebody reported this receipt, and that our own query has not confirmed.
pub(in super::super) async fn claimed(
    tx: &mut Tx,
    receipt: &str,
) -> sqlx::Result<Option<IntentId>> {
    sqlx::query_scalar(
        "select id from intents
          where tenant_id = $1 and claimed_receipt = $2 and receipt is null
          limit 1",
    )
    .bind(tx.tenant())
    .bind(receipt)
    .fetch_optional(&mut **tx)
    .await
}

/// Prompts on this phone that were not paid in the end or are still open, the newest ones.
#[derive(FromRow, Clone, Debug)]
pub(in super::super) struct Open {
    pub(in super::super) id: IntentId,
    pub(in super::super) amount: Cents,
    pub(in super::super) created_at: Timestamp,
}

/// Prompts on this phone that may still bring money.
pub(in super::super) async fn open_prompts(
    tx: &mut Tx,
    number: &str,
    most: i64,
) -> sqlx::Result<Vec<Open>> {
    sqlx::query_as(
        "select id, amount, created_at
           from intents
          where tenant_id = $1 and phone_number = $2 and state in ('CREATED', 'PENDING', 'UNKNOWN')
          order by created_at desc
          limit $3",
    )
    .bind(tx.tenant())
    .bind(number)
    .bind(most)
    .fetch_all(&mut **tx)
    .await
}
