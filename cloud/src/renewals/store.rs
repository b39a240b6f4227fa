//! SQL on payments and periods, and the one statement that makes a deed.

mod refund;
mod typed;

use std::time::Duration;

use easyisp_shared::id::{CustomerId, EntryId, IntentId, OperatorId, PackageId, PaymentId};
use easyisp_shared::money::Cents;
use easyisp_shared::net::Mac;
use easyisp_shared::phone::PhoneNumber;
use easyisp_shared::time::Timestamp;
use jiff::tz::TimeZone;
use sqlx::types::Json;
use sqlx::{FromRow, Row};

use crate::api::{Order, Page, Sort, Sortable};
use crate::db::Tx;
use crate::due::due_cte;
use crate::ledger::{self, Tallied, Tax, bind_posting, posting_ctes};
use crate::messaging::{SEND, message_cte};
use crate::packages::{PurchaseLimit, Terms, Tolerance};
use crate::webhooks::{Columns, Event, event_cte};

use super::deed::{Account, Bought, Deed, Due, Plan};
use super::rules::{Holding, Promised, Term, Unit};
use super::{Method, Till, Unallocated, told};

pub(super) use refund::{Sold, add_refunded, refund_paid, release_refunded, sold_for, take_back};
pub use typed::{Typed, typed_by_hand};

#[derive(FromRow)]
struct AccountRow {
    id: CustomerId,
    name: String,
    phone_number: Option<String>,
    standing: String,
    paid_until: Timestamp,
    anchor_day: Option<i16>,
    funded_until: Option<Timestamp>,
    bytes_used_since: Option<Timestamp>,
    auto_renew: bool,
    created_at: Timestamp,
    deleted: bool,
    plan: Option<Json<PlanRow>>,
    balance: Cents,
    business_name: String,
    currency: String,
    time_zone: String,
    grace_secs: i32,
    paused_at: Option<Timestamp>,
    promised_from: Option<Timestamp>,
    promised_until: Option<Timestamp>,
    child: bool,
    parent: bool,
    postpaid: bool,
    taxes: Option<Json<Vec<Tax>>>,
    receipts: bool,
    by_seller: bool,
}

/// The package of a customer, as long as it is sold.
#[derive(serde::Deserialize)]
struct PlanRow {
    id: PackageId,
    name: String,
    /// Minor units.
    price: i64,
    period_count: u32,
    period_unit: String,
    metered: bool,
    /// Whether days served unpaid are not asked for.
    forgiving: bool,
    /// Days of grace in place of the tenant's.
    grace_days: Option<u32>,
    limits: Option<Vec<PurchaseLimit>>,
    tolerance: Option<Tolerance>,
    more_periods: bool,
    most_periods: Option<i32>,
}

/// A customer with plan and wallet, both locked; `$who` says whose. The taxes are those in force at `$3`; one whose
/// account is gone is owed on the one for all.
///
/// Both locked tables are joined by inner joins: after waiting for a lock PostgreSQL reads the newest
/// version of locked rows only, and a wallet read beside the lock would be an old one. The plan is a
/// subquery for the same reason: a joined one would be that of the package before, and, when that has
/// changed meanwhile, none at all: the payment would buy nothing.
macro_rules! account {
    ($who:literal) => {
        concat!(
            "select c.id, c.name, c.phone_number, c.standing, c.paid_until, c.anchor_day, c.funded_until,
                c.bytes_used_since, c.auto_renew, c.created_at, c.deleted_at is not null as deleted,
                (select jsonb_build_object(
                            'id', p.id, 'name', p.name, 'price', p.price,
                            'period_count', p.period_count, 'period_unit', p.period_unit,
                            'metered', p.data_limit is not null,
                            'forgiving', coalesce((p.terms->>'unpaidDaysFree')::boolean, false),
                            'grace_days', p.terms->'graceDays', 'limits', p.terms->'purchaseLimits',
                            'tolerance', p.terms->'tolerance',
                            'more_periods', coalesce((p.terms->>'morePeriods')::boolean, false),
                            'most_periods', p.terms->'mostPeriods')
                   from packages p
                  where p.tenant_id = $1 and p.id = c.package_id and p.is_active
                    and p.deleted_at is null) as plan,
                w.balance, t.business_name, t.currency,
                t.time_zone, t.grace_secs, c.paused_at, c.promised_from, c.promised_until,
                c.postpaid, c.parent_id is not null as child,
                coalesce(t.prepaid_receipts_from <= $3, false) as receipts,
                exists (select from floats f
                         where f.tenant_id = $1 and f.operator_id = $4 and f.active) as by_seller,
                case when t.prepaid_taxed_from <= $3 then
                    (select jsonb_agg(x.tax || jsonb_build_object('account', coalesce(a.code, '2300'))
                                      order by x.place)
                       from (select taxes from tax_tables f
                              where f.tenant_id = $1 and f.first_day <= ($3 at time zone t.time_zone)::date
                              order by f.first_day desc
                              limit 1) in_force
                      cross join jsonb_array_elements(in_force.taxes) with ordinality as x (tax, place)
                       left join accounts a on a.tenant_id = $1 and a.code = x.tax ->> 'account')
                end as taxes,
                exists (select from customers k
                         where k.tenant_id = $1 and k.parent_id = c.id and k.deleted_at is null) as parent
           from customers c
           join wallets w on w.tenant_id = $1 and w.customer_id = c.id
           join tenants t on t.tenant_id = $1
          where c.tenant_id = $1 and c.id = ",
            $who,
            " for update of c, w"
        )
    };
}

/// Reads a customer with plan and wallet and locks customer and wallet until the transaction ends.
///
/// Two deeds on one customer therefore happen one after the other. `None` when this tenant has no such
/// customer; a deleted one is found, because money may still arrive for him. What he buys is taxed as at `at`.
pub(super) async fn lock(
    tx: &mut Tx,
    customer: CustomerId,
    at: Timestamp,
) -> sqlx::Result<Option<Account>> {
    locked(account!("$2"), tx, customer, None, at).await
}

/// The same of who pays for a customer: the parent of a child account, else himself; `operator` = who says that he paid.
pub(super) async fn lock_payer(
    tx: &mut Tx,
    customer: CustomerId,
    operator: Option<OperatorId>,
    at: Timestamp,
) -> sqlx::Result<Option<Account>> {
    locked(
        account!(
            "(select coalesce(k.parent_id, k.id) from customers k where k.tenant_id = $1 and k.id = $2)"
        ),
        tx,
        customer,
        operator,
        at,
    )
    .await
}

async fn locked(
    text: &'static str,
    tx: &mut Tx,
    customer: CustomerId,
    operator: Option<OperatorId>,
    at: Timestamp,
) -> sqlx::Result<Option<Account>> {
    let row: Option<AccountRow> = sqlx::query_as(text)
        .bind(tx.tenant())
        .bind(customer)
        .bind(at)
        .bind(operator)
        .fetch_optional(&mut **tx)
        .await?;
    row.map(account).transpose()
}

/// Who pays for a customer: the parent of a child account, else himself.
pub(super) async fn payer(tx: &mut Tx, customer: CustomerId) -> sqlx::Result<Option<CustomerId>> {
    sqlx::query_scalar(
        "select coalesce(parent_id, id) from customers where tenant_id = $1 and id = $2",
    )
    .bind(tx.tenant())
    .bind(customer)
    .fetch_optional(&mut **tx)
    .await
}

fn account(row: AccountRow) -> sqlx::Result<Account> {
    let undecodable = |what: String| sqlx::Error::Decode(what.into());
    let zone = TimeZone::get(&row.time_zone).map_err(|error| undecodable(error.to_string()))?;
    let forgiving = row.plan.as_ref().is_some_and(|plan| plan.forgiving);
    let own = row.plan.as_ref().and_then(|plan| plan.grace_days);
    let grace = Duration::from_secs(match own {
        Some(days) => u64::from(days) * 86_400,
        None => u64::try_from(row.grace_secs).unwrap_or(0),
    });
    let promised = match (row.promised_from, row.promised_until) {
        (Some(from), Some(until)) => Some(Promised { from, until }),
        (None, _) | (_, None) => None,
    };
    let plan = match row.plan {
        None => None,
        Some(Json(plan)) => Some(Plan {
            at_once: at_once(&plan),
            package: plan.id,
            name: plan.name,
            price: Cents::new(plan.price),
            term: Term {
                count: plan.period_count,
                unit: Unit::parse(&plan.period_unit)
                    .ok_or_else(|| undecodable(format!("period unit {}", plan.period_unit)))?,
            },
            metered: plan.metered,
            tolerance: plan
                .tolerance
                .unwrap_or_default()
                .of(Cents::new(plan.price)),
            limits: plan.limits.unwrap_or_default(),
        }),
    };
    Ok(Account {
        customer: row.id,
        name: row.name,
        phone: row.phone_number.as_deref().and_then(PhoneNumber::parse),
        holding: Holding {
            paid_until: row.paid_until,
            anchor_day: row.anchor_day.and_then(|day| i8::try_from(day).ok()),
            since: row.created_at,
            grace: if forgiving { Duration::ZERO } else { grace },
            promised: promised.filter(|_| !forgiving),
        },
        funded_until: row.funded_until,
        bytes_used_since: row.bytes_used_since,
        auto_renew: row.auto_renew,
        suspended: row.standing == "SUSPENDED",
        paused_at: row.paused_at,
        back_from: None,
        child: row.child,
        postpaid: row.postpaid,
        parent: row.parent,
        open: !row.deleted && row.standing != "DISABLED",
        plan,
        balance: row.balance,
        business: row.business_name,
        currency: row.currency,
        zone,
        taxes: row.taxes.map(|taxes| taxes.0).unwrap_or_default(),
        receipts: row.receipts,
        by_seller: row.by_seller,
    })
}

/// How many periods money buys at once.
fn at_once(plan: &PlanRow) -> usize {
    let terms = Terms {
        more_periods: plan.more_periods,
        most_periods: plan.most_periods,
        purchase_limits: plan.limits.clone().unwrap_or_default(),
        ..Terms::default()
    };
    terms.periods_at_once()
}

/// A package that may be bought so often only, by its name and rules; `None` for every other.
pub(super) async fn limits(
    tx: &mut Tx,
    package: PackageId,
) -> sqlx::Result<Option<(String, Vec<PurchaseLimit>)>> {
    let row: Option<(String, Json<Vec<PurchaseLimit>>)> = sqlx::query_as(
        "select name, terms -> 'purchaseLimits' from packages
          where tenant_id = $1 and id = $2 and jsonb_array_length(coalesce(terms -> 'purchaseLimits', '[]')) > 0",
    )
    .bind(tx.tenant())
    .bind(package)
    .fetch_optional(&mut **tx)
    .await?;
    Ok(row.map(|(name, limits)| (name, limits.0)))
}

/// By what somebody is known who buys.
#[derive(FromRow, Clone, Default, Debug)]
pub(super) struct Identity {
    id: Option<CustomerId>,
    phone_number: Option<String>,
    macs: Vec<String>,
}

/// The phone and the devices of a customer, and the device that asks.
pub(super) async fn identity(
    tx: &mut Tx,
    customer: Option<CustomerId>,
    mac: Option<Mac>,
) -> sqlx::Result<Identity> {
    let found: Option<Identity> = sqlx::query_as(
        "select c.id, c.phone_number,
                c.macs || c.remembered_macs || c.bound_macs
                       || array(select u.last_mac from customer_usage u
                                 where u.tenant_id = $1 and u.customer_id = c.id and u.last_mac is not null)
                    as macs
           from customers c
          where c.tenant_id = $1 and c.id = $2",
    )
    .bind(tx.tenant())
    .bind(customer)
    .fetch_optional(&mut **tx)
    .await?;
    let mut known = found.unwrap_or_default();
    known.macs.extend(mac.map(|mac| mac.to_string()));
    Ok(known)
}

/// Lets one purchase of a package by the same customer, phone or device happen after the other, until the
/// transaction ends.
pub(super) async fn one_at_a_time(
    tx: &mut Tx,
    package: PackageId,
    known: &Identity,
) -> sqlx::Result<()> {
    let mut names: Vec<String> = known.macs.clone();
    names.extend(known.phone_number.clone());
    names.extend(known.id.map(|id| id.to_string()));
    let mut names: Vec<String> = names
        .into_iter()
        .map(|name| format!("purchase {package} {name}"))
        .collect();
    // In one order, so that two buyers who share a phone and a device do not wait for each other.
    names.sort();
    names.dedup();
    for name in names {
        sqlx::query("select pg_advisory_xact_lock(hashtextextended($1, 0))")
            .bind(name)
            .execute(&mut **tx)
            .await?;
    }
    Ok(())
}

/// How often a package was bought since each of these moments, by the same customer, phone or device.
pub(super) async fn purchases(
    tx: &mut Tx,
    package: PackageId,
    known: &Identity,
    since: &[Timestamp],
) -> sqlx::Result<Vec<i64>> {
    sqlx::query_scalar(
        "with same as (
             select c.id from customers c
              where c.tenant_id = $1
                and (c.id = $3 or c.phone_number = $4 or c.macs && $5 or c.remembered_macs && $5
                     or c.bound_macs && $5
                     or exists (select from customer_usage u
                                 where u.tenant_id = $1 and u.customer_id = c.id and u.last_mac = any($5))))
         select (select count(*) from periods p
                  where p.tenant_id = $1 and p.package_id = $2 and p.created_at >= s.at
                    and p.customer_id in (select id from same))
           from unnest($6::timestamptz[]) with ordinality as s (at, place)
          order by s.place",
    )
    .bind(tx.tenant())
    .bind(package)
    .bind(known.id)
    .bind(&known.phone_number)
    .bind(&known.macs)
    .bind(since)
    .fetch_all(&mut **tx)
    .await
}

/// Writes a deed in one statement: receipt, entries, wallet, payment, period, entitlement, message, what
/// falls due and what is told to webhooks. Returns the wallet's balance afterwards. What a customer bought ahead
/// begins as much later as the pause was long that the deed ends.
///
/// A receipt or intent that was credited before violates `receipts_pkey`, `receipt_at_shortcode` or
/// `payment_intent`.
pub(super) async fn write(tx: &mut Tx, deed: Deed, now: Timestamp) -> sqlx::Result<Cents> {
    let statement = sqlx::query(concat!(
        "with ",
        posting_ctes!(),
        ", receipt as (
             insert into directory.receipts (provider, receipt, tenant_id, payment_id, shortcode)
             select $20, $21, $1, $18,
                    case when $54 then (select env || ' ' || shortcode from gateways
                                         where tenant_id = $1 and id = $27) end
              where $21 is not null and $20 in ('MPESA', 'AIRTEL')),
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
         later as (
             update periods
                set starts_at = starts_at + ($2 - least($53, $2)), ends_at = ends_at + ($2 - least($53, $2))
              where tenant_id = $1 and customer_id = $19 and starts_at >= $53),
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
        ", ",
        event_cte!("$1", "$2", "$50", "$51", "$52"),
        " select balance from wallet where customer_id = $19
          union all
          select balance from wallets w
           where tenant_id = $1 and customer_id = $19 and not exists (select from wallet)"
    ));
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

/// When a customer who renews by himself is due next. `None` when he does not.
pub(super) async fn renews_at(
    tx: &mut Tx,
    customer: CustomerId,
) -> sqlx::Result<Option<Timestamp>> {
    sqlx::query_scalar(
        "select paid_until from customers
          where tenant_id = $1 and id = $2 and auto_renew and standing = 'ACTIVE' and deleted_at is null",
    )
    .bind(tx.tenant())
    .bind(customer)
    .fetch_optional(&mut **tx)
    .await
}

/// What became of a payment.
#[derive(Clone, Copy, PartialEq, Eq, Debug, sqlx::Type)]
#[sqlx(type_name = "text", rename_all = "lowercase")]
pub(super) enum PaymentStatus {
    Completed,
    Refunded,
    Voided,
}

/// A payment that is to be corrected.
#[derive(FromRow, Clone, Debug)]
pub(super) struct Payment {
    pub(super) id: PaymentId,
    #[sqlx(rename = "customer_id")]
    pub(super) customer: Option<CustomerId>,
    pub(super) method: Method,
    pub(super) amount: Cents,
    pub(super) status: PaymentStatus,
    /// What of it is sent back or on its way.
    pub(super) refunded: Cents,
    pub(super) paid_at: Timestamp,
    /// It came through the platform's short code.
    pub(super) platform: bool,
    /// Out of whose float it was taken.
    pub(super) seller_id: Option<OperatorId>,
}

impl Payment {
    /// How it came.
    pub(super) fn till(&self) -> Till {
        match self.seller_id {
            Some(seller) => Till::Seller(seller),
            None => Till::of(self.platform),
        }
    }
}

/// Reads and locks the payment that a provider told of with this receipt.
pub(super) async fn lock_receipt(tx: &mut Tx, receipt: &str) -> sqlx::Result<Option<Payment>> {
    sqlx::query_as(
        "select id, customer_id, method, amount, status, refunded, paid_at, seller_id,
                exists (select from gateways g where g.tenant_id = $1 and g.id = gateway_id and g.platform) as platform
           from payments
          where tenant_id = $1 and receipt = $2 and method in ('MPESA', 'AIRTEL') and status <> 'voided'
            for update",
    )
    .bind(tx.tenant())
    .bind(receipt)
    .fetch_optional(&mut **tx)
    .await
}

/// Reads and locks a payment.
pub(super) async fn lock_payment(tx: &mut Tx, id: PaymentId) -> sqlx::Result<Option<Payment>> {
    sqlx::query_as(
        "select id, customer_id, method, amount, status, refunded, paid_at, seller_id,
                exists (select from gateways g where g.tenant_id = $1 and g.id = gateway_id and g.platform) as platform
           from payments
          where tenant_id = $1 and id = $2
            for update",
    )
    .bind(tx.tenant())
    .bind(id)
    .fetch_optional(&mut **tx)
    .await
}

/// Money that was in a wallet and was taken back.
#[derive(FromRow, Clone, Copy, PartialEq, Eq, Debug)]
pub struct Gone {
    /// When it came.
    pub came: Timestamp,
    /// When it was taken back.
    pub gone: Timestamp,
}

/// The payments that were taken back from a customer, or found to be somebody else's: the last thousand.
pub async fn taken_back(tx: &mut Tx, customer: CustomerId) -> sqlx::Result<Vec<Gone>> {
    sqlx::query_as(
        "select p.created_at as came, e.posted_at as gone
           from transfers t
           join entries e on e.tenant_id = $1 and e.id = t.entry_id and e.kind in ('VOID', 'ADJUSTMENT')
           join payments p on p.tenant_id = $1
                          and (e.kind = 'VOID' and p.reversal_id = e.id
                               or e.kind = 'ADJUSTMENT' and p.receipt = substr(e.source, length('resolved ') + 1))
          where t.tenant_id = $1 and t.debit_account = '2000' and t.debit_party = $2
          order by e.posted_at desc
          limit 1000",
    )
    .bind(tx.tenant())
    .bind(customer)
    .fetch_all(&mut **tx)
    .await
}

/// Writes whose a payment is.
pub(super) async fn give_payment(
    tx: &mut Tx,
    payment: PaymentId,
    customer: CustomerId,
) -> sqlx::Result<()> {
    sqlx::query("update payments set customer_id = $3 where tenant_id = $1 and id = $2")
        .bind(tx.tenant())
        .bind(payment)
        .bind(customer)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Writes that a payment was taken back, and by which entry.
pub(super) async fn void_payment(
    tx: &mut Tx,
    payment: PaymentId,
    reversal: EntryId,
) -> sqlx::Result<()> {
    sqlx::query(
        "update payments set status = 'voided', reversal_id = $3 where tenant_id = $1 and id = $2",
    )
    .bind(tx.tenant())
    .bind(payment)
    .bind(reversal)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Gives the receipt of a payment that was refuted back: the provider may use it.
pub(super) async fn free_receipt(tx: &mut Tx, payment: PaymentId) -> sqlx::Result<()> {
    sqlx::query("select free_receipt($1)")
        .bind(payment)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Writes that a payment never was, by which entry, and gives its receipt free.
pub(super) async fn retract_payment(
    tx: &mut Tx,
    payment: PaymentId,
    reversal: EntryId,
    description: &str,
) -> sqlx::Result<()> {
    sqlx::query(
        "with free as (
             delete from directory.receipts
              where tenant_id = $1 and payment_id = $2)
         update payments set status = 'voided', reversal_id = $3, receipt = null, description = $4
          where tenant_id = $1 and id = $2",
    )
    .bind(tx.tenant())
    .bind(payment)
    .bind(reversal)
    .bind(description)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Writes a payment that belongs to nobody known, its receipt, and what is told of it.
pub(super) async fn insert_unallocated(
    tx: &mut Tx,
    payment: PaymentId,
    entry: EntryId,
    receipt: &Unallocated,
    event: &Event,
    now: Timestamp,
) -> sqlx::Result<()> {
    let told = Columns::of(std::slice::from_ref(event));
    sqlx::query(concat!(
        "with receipt as (
             insert into directory.receipts (provider, receipt, tenant_id, payment_id, shortcode)
             select $18, $4, $1, $2,
                    case when $17 then (select env || ' ' || shortcode from gateways
                                         where tenant_id = $1 and id = $9) end),
         payment as (
             insert into payments (tenant_id, id, method, receipt, amount, status, phone, account,
                                   description, gateway_id, entry_id, paid_at, created_at, payer_hash,
                                   payer_name)
             values ($1, $2, $18, $4, $5, 'completed', $6, $7, $8, $9, $3, $10, $11, $15, $16)), ",
        event_cte!("$1", "$11", "$12", "$13", "$14"),
        " select 1"
    ))
    .bind(tx.tenant())
    .bind(payment)
    .bind(entry)
    .bind(&receipt.receipt)
    .bind(receipt.amount)
    .bind(&receipt.phone)
    .bind(&receipt.account)
    .bind(&receipt.description)
    .bind(receipt.gateway)
    .bind(receipt.paid_at)
    .bind(now)
    .bind(&told.ids)
    .bind(&told.names)
    .bind(&told.payloads)
    .bind(&receipt.payer_hash)
    .bind(&receipt.payer_name)
    .bind(receipt.proven)
    .bind(receipt.method)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Writes the receipt of a payment that was credited before it was known.
pub(super) async fn join_receipt(
    tx: &mut Tx,
    intent: IntentId,
    receipt: &str,
    proven: bool,
) -> sqlx::Result<()> {
    sqlx::query(
        "with payment as (
             update payments set receipt = $3
              where tenant_id = $1 and intent_id = $2 and receipt is null
             returning id, gateway_id, method)
         insert into directory.receipts (provider, receipt, tenant_id, payment_id, shortcode)
         select p.method, $3, $1, p.id, case when $4 then g.env || ' ' || g.shortcode end
           from payment p
           left join gateways g on g.tenant_id = $1 and g.id = p.gateway_id",
    )
    .bind(tx.tenant())
    .bind(intent)
    .bind(receipt)
    .bind(proven)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// A payment typed by hand, as a list shows it.
#[derive(FromRow, Debug)]
pub(super) struct ManualRow {
    pub(super) id: PaymentId,
    pub(super) amount: Cents,
    pub(super) method: Method,
    pub(super) reference: Option<String>,
    pub(super) description: String,
    pub(super) customer_id: Option<CustomerId>,
    pub(super) customer_name: Option<String>,
    pub(super) username: Option<String>,
    pub(super) created_at: Timestamp,
    pub(super) time_zone: String,
}

/// What payments typed by hand are sorted by.
#[derive(Clone, Copy, Debug)]
pub struct By;

impl Sortable for By {
    const ALL: &'static [(&'static str, &'static [&'static str])] = &[
        ("createdAt", &["created_at", "id"]),
        ("amount", &["amount", "id"]),
        ("method", &["method", "created_at", "id"]),
    ];
    const USUAL: Order = Order::Desc;
}

/// The payments typed by hand that stand, newest first unless asked otherwise, and how many there are.
pub(super) async fn manual(
    tx: &mut Tx,
    sort: Sort<By>,
    page: Page,
) -> sqlx::Result<(Vec<ManualRow>, i64)> {
    let rows = sqlx::query_as(sort.text(
        "select p.id, p.amount, p.method, p.account as reference, p.description, p.customer_id,
                c.name as customer_name, c.username, p.created_at, t.time_zone
           from payments p
           join tenants t on t.tenant_id = $1
           left join customers c on c.tenant_id = $1 and c.id = p.customer_id
          where p.tenant_id = $1 and p.method not in ('MPESA', 'AIRTEL') and p.status = 'completed'
          order by {order}
          limit $2 offset $3",
    ))
    .bind(tx.tenant())
    .bind(page.limit())
    .bind(page.offset())
    .fetch_all(&mut **tx)
    .await?;
    let tallies = ledger::tallied(tx, &[Tallied::Payments], (None, None)).await?;
    let told = [Method::Mpesa, Method::Airtel].map(Method::as_str);
    let standing = tallies
        .iter()
        .filter(|tally| tally.status == "completed" && !told.contains(&tally.method.as_str()));
    Ok((rows, standing.map(|tally| tally.n).sum()))
}

/// Some payments typed by hand that stand, oldest first.
pub(super) async fn some_manual(tx: &mut Tx, most: i64) -> sqlx::Result<Vec<PaymentId>> {
    sqlx::query_scalar(
        "select id from payments
          where tenant_id = $1 and method not in ('MPESA', 'AIRTEL') and status = 'completed'
          order by created_at, id
          limit $2",
    )
    .bind(tx.tenant())
    .bind(most)
    .fetch_all(&mut **tx)
    .await
}
