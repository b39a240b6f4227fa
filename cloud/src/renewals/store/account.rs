//! SQL that reads a customer as money meets him, and locks him.

use std::time::Duration;

use easyisp_shared::id::{CustomerId, OperatorId, PackageId};
use easyisp_shared::money::Cents;
use easyisp_shared::phone::PhoneNumber;
use easyisp_shared::time::Timestamp;
use jiff::tz::TimeZone;
use sqlx::FromRow;
use sqlx::types::Json;

use crate::db::Tx;
use crate::ledger::Tax;
use crate::packages::{PurchaseLimit, Terms, Tolerance};
use crate::renewals::deed::{Account, Plan};
use crate::renewals::rules::{Holding, Promised, Term, Unit};
use crate::renewals::shares::Open;

use super::shares::open_invoices;

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
    owes: bool,
    taxes: Option<Json<Vec<Tax>>>,
    receipts: bool,
    by_seller: bool,
    watched: bool,
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
                (exists (select from invoices i
                          where i.tenant_id = $1 and i.customer_id = c.id and i.status = 'PENDING')
                 or exists (select from customers k
                              join invoices i on i.tenant_id = $1 and i.customer_id = k.id
                                             and i.status = 'PENDING'
                             where k.tenant_id = $1 and k.parent_id = c.id)) as owes,
                coalesce(t.prepaid_receipts_from <= $3, false) as receipts,
                exists (select from floats f
                         where f.tenant_id = $1 and f.operator_id = $4 and f.active) as by_seller,
                exists (select from webhooks h where h.tenant_id = $1 and h.enabled) as watched,
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
pub(in super::super) async fn lock(
    tx: &mut Tx,
    customer: CustomerId,
    at: Timestamp,
) -> sqlx::Result<Option<Account>> {
    locked(account!("$2"), tx, customer, None, at).await
}

/// The same of who pays for a customer: the parent of a child account, else himself; `operator` = who says that he paid.
pub(in super::super) async fn lock_payer(
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
    let Some(row) = row else {
        return Ok(None);
    };
    let owed = match row.owes {
        true => open_invoices(tx, row.id, at).await?,
        false => Vec::new(),
    };
    account(row, owed).map(Some)
}

/// Who pays for a customer: the parent of a child account, else himself.
pub async fn payer(tx: &mut Tx, customer: CustomerId) -> sqlx::Result<Option<CustomerId>> {
    sqlx::query_scalar(
        "select coalesce(parent_id, id) from customers where tenant_id = $1 and id = $2",
    )
    .bind(tx.tenant())
    .bind(customer)
    .fetch_optional(&mut **tx)
    .await
}

fn account(row: AccountRow, owed: Vec<Open>) -> sqlx::Result<Account> {
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
        owed,
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
        watched: row.watched,
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
