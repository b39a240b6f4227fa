//! The month's invoices, overdue ones, and money that pays them: what happens when nobody asks.

use std::time::Duration;

use anyhow::ensure;
use easyisp_shared::id::{CustomerId, MessageId, TenantId};
use easyisp_shared::money::Cents;
use easyisp_shared::phone::PhoneNumber;
use easyisp_shared::time::Timestamp;
use jiff::ToSpan;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use tracing::warn;

use super::rules::{lines, midnight};
use super::store::{self, Billed, House, Prices};
use crate::audit::{self, Action, Actor, Audit};
use crate::customers;
use crate::db::{Database, Kind, Tx};
use crate::due;
use crate::invoices::{self, Bill, InvoiceError};
use crate::ledger::AccountCode;
use crate::messaging::{self, Message, SEND};

/// The kind of the due job that bills a tenant's customers; its subject is the tenant.
pub const BILL: &str = "billing.bill";

/// Bills every day that is due, notes what everybody has today, and tells of what became overdue. Repeating it bills
/// nothing twice: what was billed is noted with the invoice. `Some` = when to look again; `None` = nobody is billed.
pub async fn bill(
    db: &Database,
    tenant: TenantId,
    now: Timestamp,
) -> anyhow::Result<Option<Timestamp>> {
    let mut tx = db.begin(tenant).await?;
    if !store::any(&mut tx).await? {
        return Ok(None);
    }
    let house = store::house(&mut tx).await?;
    tx.rollback().await?;
    let zone = TimeZone::get(&house.time_zone)?;
    let today = now.in_zone(&zone).date();
    let boundary = house.billing.last(today);
    let mut failed: Vec<CustomerId> = Vec::new();
    for _ in 0..TURNS {
        let mut tx = db.begin(tenant).await?;
        let due = store::due(&mut tx, boundary, &failed, AT_ONCE).await?;
        tx.rollback().await?;
        if due.is_empty() {
            let mut tx = db.begin(tenant).await?;
            store::note_plans(&mut tx, None, Prices::Old, today).await?;
            remind(&mut tx, &house, &zone, now).await?;
            tx.commit().await?;
            // Tried again, and seen as a job that fails, until somebody has looked.
            ensure!(
                failed.is_empty(),
                "{} customers cannot be billed",
                failed.len()
            );
            let tomorrow = midnight(today.saturating_add(1.day()), &zone);
            return Ok(Some(tomorrow.plus(AFTER_MIDNIGHT)));
        }
        for customer in due {
            let billed = async {
                let mut tx = db.begin(tenant).await?;
                bill_one(&mut tx, &house, customer, boundary, &zone, now).await?;
                anyhow::Ok(tx.commit().await?)
            };
            // The others have nothing to do with it.
            if let Err(cause) = billed.await {
                warn!(%tenant, %customer, %cause, "Cannot bill a customer");
                failed.push(customer);
            }
        }
    }
    Ok(Some(now.plus(BREATH)))
}

/// Bills what is due of one customer, one invoice for one month. Whether anything was noted.
pub(super) async fn bill_one(
    tx: &mut Tx,
    house: &House,
    customer: CustomerId,
    boundary: Date,
    zone: &TimeZone,
    now: Timestamp,
) -> anyhow::Result<bool> {
    let Some(billed) = store::lock(tx, customer).await? else {
        return Ok(false);
    };
    let month_ends = house.billing.next(billed.to);
    let Some(to) = ends(&billed, month_ends, boundary) else {
        return Ok(false);
    };
    let plans = store::plans(tx, customer, to).await?;
    let items = lines(&plans, (billed.to, to), month_ends);
    let amount = items
        .iter()
        .try_fold(Cents::ZERO, |sum, item| sum.plus(item.amount));
    let amount = amount.ok_or_else(|| anyhow::anyhow!("a month that costs more than fits"))?;
    store::billed_to(tx, customer, to).await?;
    if billed.until.is_none() {
        store::note_plans(tx, Some(customer), Prices::New, to).await?;
    }
    let due_day = now
        .in_zone(zone)
        .date()
        .saturating_add(i64::from(house.billing.due_days).days());
    let overdue_from = midnight(due_day.saturating_add(1.day()), zone);
    let owes = amount.is_positive();
    if billed.until.is_none() {
        let began = midnight(to, zone);
        serve(
            tx,
            house,
            customer,
            (to, owes.then_some(overdue_from)),
            Some(began),
            zone,
            now,
        )
        .await?;
    }
    if !owes {
        return Ok(true);
    }
    let bill = Bill {
        customer,
        items,
        amount,
        due_at: midnight(due_day, zone),
        overdue_from,
        operator: None,
        period_from: Some(billed.to),
        revenue: AccountCode::INVOICED,
    };
    let (id, number) = match invoices::issue(tx, bill, now).await {
        Ok(issued) => issued,
        // Deleted before his month was over: nobody to bill.
        Err(InvoiceError::UnknownCustomer) => return Ok(true),
        Err(error) => return Err(error.into()),
    };
    let number = number.to_string();
    let line = Audit {
        details: amount.to_string(),
        ..Audit::new(Action::InvoiceCreate, "invoice", id, &number)
    };
    audit::record(tx, &Actor::system(), line, now).await?;
    if house.billing.tells {
        let due = due_day.strftime("%-d %b %Y");
        let what = format!(
            "invoice {number}, {} {amount}, is due on {due}.",
            house.currency
        );
        tell(tx, house, customer, &what, zone, now).await?;
    }
    Ok(true)
}

/// Up to which day the next invoice goes: the end of the month, or of his being billed where that is sooner; `None` =
/// nothing is due.
fn ends(billed: &Billed, month_ends: Date, boundary: Date) -> Option<Date> {
    let to = month_ends.min(billed.until.unwrap_or(month_ends));
    let over = to <= boundary || billed.until.is_some_and(|until| until <= month_ends);
    (billed.to < to && over).then_some(to)
}

/// Moves the end of his service to where his invoices say.
pub(super) async fn serve(
    tx: &mut Tx,
    house: &House,
    customer: CustomerId,
    (billed_to, new_overdue): (Date, Option<Timestamp>),
    month_began: Option<Timestamp>,
    zone: &TimeZone,
    now: Timestamp,
) -> sqlx::Result<Timestamp> {
    let oldest = invoices::oldest_open(tx, customer).await?;
    let overdue = [oldest, new_overdue].into_iter().flatten().min();
    let next = house.billing.next(billed_to);
    let until = house.billing.serves_until(overdue, next, zone);
    if customers::serve_billed(tx, customer, until, month_began, now).await? {
        tx.changed(Kind::Subscriber, customer);
        due::at(tx, customers::FOLLOW, customer, now).await?; // who is on his account has his time
    }
    Ok(until)
}

/// Notes what a customer has from today on, where he is billed; for whoever changed it.
pub async fn note_plan(tx: &mut Tx, customer: CustomerId, now: Timestamp) -> anyhow::Result<()> {
    let billed = store::find(tx, customer).await?;
    if billed.is_none_or(|billed| billed.until.is_some()) {
        return Ok(());
    }
    // Whatever else happened to the end of his service, it is where his invoices say.
    due::at(tx, customers::COLLECT, customer, now).await?;
    let house = store::house(tx).await?;
    let zone = TimeZone::get(&house.time_zone)?;
    let today = now.in_zone(&zone).date();
    Ok(store::note_plans(tx, Some(customer), Prices::Old, today).await?)
}

/// Pays a customer's open invoices out of his wallet, the oldest first, as far as it goes; his service is moved along.
pub async fn collect(
    db: &Database,
    tenant: TenantId,
    customer: CustomerId,
    now: Timestamp,
) -> anyhow::Result<()> {
    let mut tx = db.begin(tenant).await?;
    let Some(billed) = store::lock(&mut tx, customer).await? else {
        return Ok(());
    };
    for invoice in invoices::open(&mut tx, customer, AT_ONCE).await? {
        match invoices::pay_from_wallet(&mut tx, invoice, now).await {
            Ok(stepped) => {
                let line = Audit {
                    details: "paid from the wallet".to_owned(),
                    ..Audit::new(
                        Action::InvoiceUpdate,
                        "invoice",
                        stepped.id,
                        &stepped.number,
                    )
                };
                audit::record(&mut tx, &Actor::system(), line, now).await?;
            }
            Err(InvoiceError::BalanceTooLow | InvoiceError::SetAside(_)) => break,
            Err(error) => return Err(error.into()),
        }
    }
    if billed.until.is_none() {
        let house = store::house(&mut tx).await?;
        let zone = TimeZone::get(&house.time_zone)?;
        serve(
            &mut tx,
            &house,
            customer,
            (billed.to, None),
            None,
            &zone,
            now,
        )
        .await?;
    }
    Ok(tx.commit().await?)
}

/// Tells, once, of invoices that became overdue, and when service stops for it.
async fn remind(tx: &mut Tx, house: &House, zone: &TimeZone, now: Timestamp) -> anyhow::Result<()> {
    if !house.billing.tells {
        return Ok(());
    }
    for notice in store::overdue(tx, now, AT_ONCE).await? {
        let stops = house.billing.stop_after_days.map(|days| {
            let day = notice.overdue_from.in_zone(zone).date();
            let day = day.saturating_add(i64::from(days).days());
            format!(" Service stops on {}.", day.strftime("%-d %b %Y"))
        });
        let what = format!(
            "invoice {}, {} {}, is overdue.{}",
            notice.number,
            house.currency,
            notice.amount,
            stops.unwrap_or_default()
        );
        tell(tx, house, notice.customer_id, &what, zone, now).await?;
    }
    Ok(())
}

async fn tell(
    tx: &mut Tx,
    house: &House,
    customer: CustomerId,
    what: &str,
    zone: &TimeZone,
    now: Timestamp,
) -> sqlx::Result<()> {
    let Some((Some(phone), account)) = store::phone(tx, customer).await? else {
        return Ok(());
    };
    let Some(to) = PhoneNumber::parse(&phone) else {
        return Ok(());
    };
    let message = Message {
        id: MessageId::new(now, &tx.entropy()),
        to,
        body: format!("{}: {what} Pay for account {account}.", house.business_name),
        purpose: "invoice",
        customer: Some(customer),
        initiator: "system".to_owned(),
    };
    messaging::enqueue(tx, &message, now).await?;
    due::at(tx, SEND, message.id, messaging::daytime(now, zone)).await
}

/// Customers of one turn, each in a transaction of his own: a job's lease is a minute.
const AT_ONCE: i64 = 200;
/// Turns in a row before other work has its own.
const TURNS: u32 = 5;
/// And how soon it goes on.
const BREATH: Duration = Duration::from_secs(1);
/// Ten past: what is written at midnight is of the day before.
const AFTER_MIDNIGHT: Duration = Duration::from_secs(600);
