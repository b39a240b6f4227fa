//! Lists and sums of electronic payments.

use easyisp_shared::id::{CustomerId, PaymentId};
use easyisp_shared::money::Cents;
use easyisp_shared::time::Timestamp;
use jiff::civil::Date;
use sqlx::FromRow;
use uuid::Uuid;

use crate::api::{Order, Page, Sort, Sortable};
use crate::customers::beginning_of_phone;
use crate::db::Tx;
use crate::ledger::{self, Tallied, Tally};
use crate::renewals::Method;

/// A payment or an attempt at one.
#[derive(FromRow, Debug)]
pub(in super::super) struct Line {
    pub(in super::super) id: Uuid,
    pub(in super::super) transaction_id: String,
    pub(in super::super) amount: Cents,
    pub(in super::super) phone: Option<String>,
    pub(in super::super) account: Option<String>,
    pub(in super::super) status: String,
    pub(in super::super) customer_id: Option<CustomerId>,
    pub(in super::super) customer_name: Option<String>,
    pub(in super::super) review: Option<String>,
    /// The prompt, where there was one.
    pub(in super::super) intent_id: Option<Uuid>,
    pub(in super::super) created_at: Timestamp,
}

/// What electronic payments are sorted by.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct By;

impl Sortable for By {
    const ALL: &'static [(&'static str, &'static [&'static str])] = &[
        ("createdAt", &["created_at", "id"]),
        ("amount", &["amount", "id"]),
    ];
    const USUAL: Order = Order::Desc;
}

/// Payments of a status that a search finds; `$first` = which of them.
macro_rules! paid {
    ($first:literal) => {
        concat!(
            "paid as (
                 select p.id, coalesce(p.receipt, i.checkout_request_id, p.id::text) as transaction_id,
                        p.amount, p.phone, p.account,
                        case p.status when 'completed' then 'completed' else 'refunded' end as status,
                        p.customer_id, p.created_at, nullif(i.needs_review, i.reviewed) as review, i.id as intent_id,
                        c.name as customer_name
                   from payments p
                   left join intents i on i.tenant_id = $1 and i.id = p.intent_id
                   left join customers c on c.tenant_id = $1 and c.id = p.customer_id
                  where p.tenant_id = $1 and p.method in ('MPESA', 'AIRTEL')
                    -- asked of the question alone, so that no row is looked at in vain
                    and ($2::text is null or $2 in ('completed', 'refunded'))
                    and ($2::text is null or $2 <> 'completed' or p.status = 'completed')
                    and ($2::text is null or $2 <> 'refunded' or p.status <> 'completed')
                    and ($3::uuid[] is null or p.id = any($3))",
            $first,
            ")"
        )
    };
}

/// The same of pushes that brought no payment.
macro_rules! unpaid {
    ($first:literal) => {
        concat!(
            "unpaid as (
                 select i.id, coalesce(i.checkout_request_id, i.id::text) as transaction_id, i.amount,
                        i.phone_number as phone, i.account_reference as account,
                        case when i.state in ('CREATED', 'PENDING', 'UNKNOWN') then 'pending'
                             else 'failed' end as status,
                        i.customer_id, i.created_at, nullif(i.needs_review, i.reviewed) as review, i.id as intent_id,
                        c.name as customer_name
                   from intents i
                   left join customers c on c.tenant_id = $1 and c.id = i.customer_id
                  where i.tenant_id = $1 and i.state not in ('PROVISIONAL', 'POSTED')
                    and ($2::text is null or $2 in ('pending', 'failed'))
                    and ($2::text is null or $2 <> 'pending' or i.state in ('CREATED', 'PENDING', 'UNKNOWN'))
                    and ($2::text is null or $2 <> 'failed' or i.state not in ('CREATED', 'PENDING', 'UNKNOWN'))
                    and ($4::uuid[] is null or i.id = any($4))",
            $first,
            ")"
        )
    };
}

/// Prompts that a person must look at, each as the payment that it brought or as itself.
macro_rules! reviews {
    () => {
        "every as (
             select coalesce(p.id, i.id) as id,
                    coalesce(p.receipt, i.checkout_request_id, p.id::text, i.id::text) as transaction_id,
                    coalesce(p.amount, i.amount) as amount, coalesce(p.phone, i.phone_number) as phone,
                    coalesce(p.account, i.account_reference) as account,
                    case when p.status = 'completed' then 'completed'
                         when p.id is not null then 'refunded'
                         when i.state in ('CREATED', 'PENDING', 'UNKNOWN') then 'pending'
                         else 'failed' end as status,
                    coalesce(p.customer_id, i.customer_id) as customer_id,
                    coalesce(p.created_at, i.created_at) as created_at,
                    nullif(i.needs_review, i.reviewed) as review, i.id as intent_id
               from intents i
               left join payments p on p.tenant_id = $1 and p.intent_id = i.id
              where i.tenant_id = $1 and nullif(i.needs_review, i.reviewed) is not null),
         reviews as (
             select e.*, c.name as customer_name
               from every e
               left join customers c on c.tenant_id = $1 and c.id = e.customer_id
              where ($2::text is null or e.status = $2)
                and ($3::uuid[] is null or e.id = any($3) or e.intent_id = any($4)))"
    };
}

/// What a search finds, before it is asked how it stands; nothing where nothing is searched for. Looked up once for a list
/// and its total.
#[derive(FromRow, Default)]
struct Found {
    payments: Option<Vec<Uuid>>,
    intents: Option<Vec<Uuid>>,
}

async fn found(tx: &mut Tx, search: Option<&str>) -> sqlx::Result<Found> {
    let Some(search) = crate::db::sought(search) else {
        return Ok(Found::default());
    };
    sqlx::query_as(
        "select found_electronic($1, $2, $3) as payments, found_intents($1, $2, $3) as intents",
    )
    .bind(tx.tenant())
    .bind(&search)
    .bind(beginning_of_phone(&search))
    .fetch_one(&mut **tx)
    .await
}

/// The first payments that providers told of, and the pushes that brought none (yet), newest first unless asked otherwise: each
/// kind gives its own first, in the order of an index.
pub(in super::super) async fn electronic(
    tx: &mut Tx,
    status: Option<&str>,
    search: Option<&str>,
    sort: Sort<By>,
    page: Page,
) -> sqlx::Result<(Vec<Line>, i64)> {
    let found = found(tx, search).await?;
    let lines = sqlx::query_as(sort.text(concat!(
        "with ",
        paid!(" order by {order} limit $5 + $6"),
        ", ",
        unpaid!(" order by {order} limit $5 + $6"),
        " select * from (select * from paid union all select * from unpaid) both_kinds
          order by {order} limit $5 offset $6"
    )))
    .bind(tx.tenant())
    .bind(status)
    .bind(&found.payments)
    .bind(&found.intents)
    .bind(page.limit())
    .bind(page.offset())
    .fetch_all(&mut **tx)
    .await?;
    let total = match &found.payments {
        Some(_) => {
            sqlx::query_scalar(concat!(
                "with ",
                paid!(""),
                ", ",
                unpaid!(""),
                " select (select count(*) from paid) + (select count(*) from unpaid)"
            ))
            .bind(tx.tenant())
            .bind(status)
            .bind(&found.payments)
            .bind(&found.intents)
            .fetch_one(&mut **tx)
            .await?
        }
        None => total(tx, status).await?,
    };
    Ok((lines, total))
}

/// Those of them that a person must look at: few, each found by an index.
pub(in super::super) async fn to_review(
    tx: &mut Tx,
    status: Option<&str>,
    search: Option<&str>,
    sort: Sort<By>,
    page: Page,
) -> sqlx::Result<(Vec<Line>, i64)> {
    let found = found(tx, search).await?;
    let lines = sqlx::query_as(sort.text(concat!(
        "with ",
        reviews!(),
        " select * from reviews order by {order} limit $5 offset $6"
    )))
    .bind(tx.tenant())
    .bind(status)
    .bind(&found.payments)
    .bind(&found.intents)
    .bind(page.limit())
    .bind(page.offset())
    .fetch_all(&mut **tx)
    .await?;
    let total = sqlx::query_scalar(concat!(
        "with ",
        reviews!(),
        " select count(*) from reviews"
    ))
    .bind(tx.tenant())
    .bind(status)
    .bind(&found.payments)
    .bind(&found.intents)
    .fetch_one(&mut **tx)
    .await?;
    Ok((lines, total))
}

/// How many there are, of what is kept by day: all but what only a search looks at.
async fn total(tx: &mut Tx, status: Option<&str>) -> sqlx::Result<i64> {
    let mut total = 0;
    if matches!(status, None | Some("completed" | "refunded")) {
        let paid = ledger::tallied(tx, &[Tallied::Payments], (None, None)).await?;
        for tally in paid.iter().filter(|tally| is_electronic(tally)) {
            let standing = match tally.status.as_str() {
                "completed" => "completed",
                _ => "refunded", // or voided
            };
            if status.is_none_or(|status| status == standing) {
                total += tally.n;
            }
        }
    }
    if matches!(status, None | Some("pending" | "failed")) {
        let asked = ledger::tallied(tx, &[Tallied::Intents], (None, None)).await?;
        let unpaid = asked.iter().filter(|tally| tally.status != "paid");
        total += unpaid
            .filter(|tally| status.is_none_or(|status| status == tally.status))
            .map(|tally| tally.n)
            .sum::<i64>();
    }
    Ok(total)
}

fn is_electronic(tally: &Tally) -> bool {
    [Method::Mpesa, Method::Airtel]
        .map(Method::as_str)
        .contains(&tally.method.as_str())
}

/// Sums of electronic payments.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct Sums {
    pub(in super::super) today: Cents,
    pub(in super::super) today_count: i64,
    pub(in super::super) month: Cents,
    pub(in super::super) month_count: i64,
    pub(in super::super) paid: i64,
    pub(in super::super) failed: i64,
    pub(in super::super) pending: i64,
    pub(in super::super) last: Option<Timestamp>,
}

/// The zone in which the tenant's days begin.
pub(in super::super) async fn time_zone(tx: &mut Tx) -> sqlx::Result<String> {
    sqlx::query_scalar("select time_zone from tenants where tenant_id = $1")
        .bind(tx.tenant())
        .fetch_one(&mut **tx)
        .await
}

/// Sums what came since those of the tenant's days, less what was sent back of it. `month` begins at `begins`.
pub(in super::super) async fn sums(
    tx: &mut Tx,
    today: Date,
    (month, begins): (Date, Timestamp),
) -> sqlx::Result<Sums> {
    let (today, today_count) = received(tx, today).await?;
    let (of_month, month_count) = received(tx, month).await?;
    let asked = ledger::tallied(tx, &[Tallied::Intents], (Some(month), None)).await?;
    let of = |status: &str| {
        let tallies = asked.iter().filter(|tally| tally.status == status);
        tallies.map(|tally| tally.n).sum()
    };
    Ok(Sums {
        today,
        today_count,
        month: of_month,
        month_count,
        paid: of("paid"),
        failed: of("failed"),
        pending: of("pending"),
        last: last(tx, begins).await?,
    })
}

async fn received(tx: &mut Tx, since: Date) -> sqlx::Result<(Cents, i64)> {
    let paid = ledger::tallied(tx, &[Tallied::Payments], (Some(since), None)).await?;
    let standing = paid
        .iter()
        .filter(|tally| is_electronic(tally) && tally.status == "completed");
    standing
        .into_iter()
        .try_fold((Cents::ZERO, 0), |(sum, n), tally| {
            let sum = sum.plus(tally.amount);
            let sum = sum.ok_or_else(|| sqlx::Error::Decode("a sum does not fit".into()))?;
            Ok((sum, n + tally.n))
        })
}

/// When a provider's payment was recorded last since then.
async fn last(tx: &mut Tx, since: Timestamp) -> sqlx::Result<Option<Timestamp>> {
    sqlx::query_scalar(
        "select created_at from payments
          where tenant_id = $1 and created_at >= $2 and method in ('MPESA', 'AIRTEL') and status = 'completed'
          order by created_at desc
          limit 1",
    )
    .bind(tx.tenant())
    .bind(since)
    .fetch_optional(&mut **tx)
    .await
}

/// A payment as a file shows it.
#[derive(FromRow, Clone, Debug)]
#[expect(missing_docs, reason = "the columns' names")]
pub struct ExportRow {
    pub id: PaymentId,
    pub paid_at: Timestamp,
    pub created_at: Timestamp,
    pub amount: Cents,
    pub method: String,
    pub receipt: Option<String>,
    pub status: String,
    pub phone: Option<String>,
    pub account: Option<String>,
    pub description: String,
    pub username: Option<String>,
    pub customer_name: Option<String>,
    pub account_number: Option<i32>,
    pub operator_name: Option<String>,
}

/// Which payments a file shows.
#[derive(Clone, Copy, Debug)]
pub struct Exported {
    /// By a provider.
    pub electronic: bool,
    /// In every other way.
    pub manual: bool,
    /// Recorded not before then.
    pub from: Option<Timestamp>,
    /// Recorded before then.
    pub to: Option<Timestamp>,
}

/// Up to `most` payments, the newest first, after the one recorded then.
pub async fn exported(
    tx: &mut Tx,
    wanted: Exported,
    after: Option<(Timestamp, PaymentId)>,
    most: i64,
) -> sqlx::Result<Vec<ExportRow>> {
    let (before, beyond) = after.unzip();
    sqlx::query_as(
        "select p.id, p.paid_at, p.created_at, p.amount, p.method, p.receipt, p.status, p.phone, p.account,
                p.description, c.username, c.name as customer_name, c.account_number,
                o.name as operator_name
           from (select * from payments
                  where tenant_id = $1
                    and ($2 and method in ('MPESA', 'AIRTEL') or $3 and method not in ('MPESA', 'AIRTEL'))
                    and ($4::timestamptz is null or created_at >= $4)
                    and ($5::timestamptz is null or created_at < $5)
                    and ($6::timestamptz is null or (created_at, id) < ($6, $7))
                  order by created_at desc, id desc
                  limit $8) p
           left join customers c on c.tenant_id = $1 and c.id = p.customer_id
           left join operators o on o.tenant_id = $1 and o.id = p.operator_id
          order by p.created_at desc, p.id desc",
    )
    .bind(tx.tenant())
    .bind(wanted.electronic)
    .bind(wanted.manual)
    .bind(wanted.from)
    .bind(wanted.to)
    .bind(before)
    .bind(beyond)
    .bind(most)
    .fetch_all(&mut **tx)
    .await
}
