//! Compares days with M-Pesa's statement, and closes those that agree: one after the other, each in a transaction of its own.
//!
//! A day agrees when the statement has it whole and the statement and our payments are the same, receipt by receipt;
//! what is not is a difference that goes away when it is posted or taken back, or that a person explains. A closed day
//! moves the books' first open day behind it, unless another day up to it is open, or money came on one that no
//! statement closed: what is posted later with its date is booked behind it.

use std::collections::HashSet;
use std::time::Duration;

use easyisp_shared::time::{Clock, Timestamp};
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde::Serialize;
use utoipa::ToSchema;

use super::book::HEARSAY;
use super::mpesa::sheet::{Statement, Told};
use super::stated::{self, DayOf, Difference, DifferenceKind, MORE, begin_of, next, receipt, span};
use super::store::arrivals;
use super::store::days::{self as store, State};
use super::store::gateways::Keys;
use crate::audit::{self, Action, Actor, Audit};
use crate::auth::Operator;
use crate::db::{Database, Tx};
use crate::error::ApiError;
use crate::ledger::{self, Closing};

/// Most days that one request compares: two months; a repeat goes on.
const MOST_DAYS: usize = 62;
/// Most payments of ours that are looked for because the statement does not have them.
const MOST_EXTRA: usize = 1_000;
/// How often a day is tried while postings are under way; each waits half a second for them.
const TRIES: usize = 4;
/// The smallest step of a stored instant.
const INSTANT: Duration = Duration::from_micros(1);

/// How a day stands after a comparison.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Settled {
    day: String,
    state: State,
    /// What an open day waits for; absent when nothing is left of that, and of a day that the next request compares.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    waits_for: Vec<DifferenceKind>,
}

impl Settled {
    pub(super) fn new(day: Date, state: State, waits_for: Vec<DifferenceKind>) -> Settled {
        Settled {
            day: day.to_string(),
            state,
            waits_for,
        }
    }
}

/// Compares the days that a statement has with what is booked now, and closes those that agree; how each stands then.
///
/// Only days that are over. What one day needs is done before the next is begun: who stops in between finds the rest
/// by a repeat.
pub(super) async fn settle(
    db: &Database,
    operator: &Operator,
    gateway: &Keys,
    statement: &Statement,
    clock: &Clock,
) -> Result<Vec<Settled>, ApiError> {
    let rows = &statement.rows;
    // What cannot be read may be of any day.
    if rows
        .iter()
        .any(|row| matches!(row.told, Told::Unreadable(_)))
    {
        return Ok(Vec::new());
    }
    let mut tx = db.begin(operator.tenant).await?;
    let zone = ledger::zone(&mut tx).await?;
    let now = clock.now();
    let today = now.in_zone(&zone).date();
    let mut days = stated::days(statement, &zone, now);
    days.retain(|day| day.day < today);
    let closed = match (days.first(), days.last()) {
        (Some(first), Some(last)) => {
            store::closed(&mut tx, gateway.id, first.day, last.day).await?
        }
        (_, _) => Vec::new(),
    };
    drop(tx);
    let receipts: Vec<String> = rows.iter().filter_map(receipt).collect();
    let compared = Compared {
        db,
        operator,
        gateway,
        receipts: &receipts,
        zone: &zone,
        clock,
    };
    let mut seen = HashSet::new();
    let (mut left, mut settled) = (MOST_DAYS, Vec::new());
    for day in &days {
        settled.push(if closed.contains(&day.day) {
            seen.extend(day.receipts());
            Settled::new(day.day, State::Closed, Vec::new())
        } else if left == 0 {
            Settled::new(day.day, State::Open, Vec::new())
        } else {
            left -= 1;
            compared.once_quiet(day, &mut seen).await?
        });
    }
    Ok(settled)
}

/// What each day is compared with.
struct Compared<'a> {
    db: &'a Database,
    operator: &'a Operator,
    gateway: &'a Keys,
    /// Those of all days of the statement: ours may have another date.
    receipts: &'a [String],
    zone: &'a TimeZone,
    clock: &'a Clock,
}

impl Compared<'_> {
    /// Settles a day as soon as no posting is under way.
    async fn once_quiet(
        &self,
        day: &DayOf<'_>,
        seen: &mut HashSet<String>,
    ) -> Result<Settled, ApiError> {
        let mut tries = 1;
        loop {
            let mut with_this = seen.clone();
            match self.settle(day, &mut with_this).await {
                Err(ApiError::Unavailable { .. }) if tries < TRIES => tries += 1,
                Err(error) => return Err(error),
                Ok(settled) => {
                    *seen = with_this;
                    return Ok(settled);
                }
            }
        }
    }

    /// Compares a day, and closes it if it agrees. Locks the books against postings of other days, for this day alone.
    async fn settle(
        &self,
        day: &DayOf<'_>,
        seen: &mut HashSet<String>,
    ) -> Result<Settled, ApiError> {
        let gateway = self.gateway;
        let mut tx = self.db.begin(self.operator.tenant).await?;
        ledger::wait_for_postings(&mut tx).await?;
        let now = self.clock.now();
        if store::lock(&mut tx, gateway.id, day.day).await? == Some(State::Closed) {
            return Ok(Settled::new(day.day, State::Closed, Vec::new()));
        }
        let ours = arrivals::booked(&mut tx, gateway.id, &day.receipts(), &HEARSAY).await?;
        let mut stated = day.beside(&ours, gateway, seen);
        let (from, to) = span(day.day, self.zone);
        let last = to.minus(INSTANT);
        let most = i64::try_from(MOST_EXTRA + 1).unwrap_or(i64::MAX);
        let extra = arrivals::extra(&mut tx, gateway.id, from, last, self.receipts, most);
        let extra = extra.await?;
        // What nobody is shown nobody can explain.
        let more = (extra.len() > MOST_EXTRA).then(|| Difference::partial(MORE));
        let extra = extra.into_iter().take(MOST_EXTRA).map(Difference::from);
        stated.differences.extend(extra.chain(more));
        let before = store::balance_before(&mut tx, gateway.id, day.day).await?;
        let balance = Difference::of_balance(stated.opening, before);
        stated.differences.extend(balance);
        let booked = store::booked(&mut tx, gateway.id, from, to).await?;
        let by = self.operator.id;
        let open = store::write(&mut tx, gateway.id, &stated, booked, by, now).await?;
        let state = match open {
            0 => {
                close(&mut tx, self.operator, gateway, day.day, now).await?;
                shut_books(&mut tx, self.operator, self.zone, now).await?;
                State::Closed
            }
            _ => State::Open,
        };
        let waits_for = store::waits_for(&mut tx, gateway.id, day.day).await?;
        tx.commit().await?;
        Ok(Settled::new(day.day, state, waits_for))
    }
}

/// Closes a day, and writes who did.
pub(super) async fn close(
    tx: &mut Tx,
    operator: &Operator,
    gateway: &Keys,
    day: Date,
    now: Timestamp,
) -> Result<(), ApiError> {
    store::close(tx, gateway.id, day, operator.id, now).await?;
    let line = Audit {
        details: format!("Closed {day}: the statement and the books agree, or it was explained"),
        ..Audit::new(
            Action::BooksLock,
            "payment gateway",
            gateway.id,
            &gateway.shortcode,
        )
    };
    audit::record(tx, &Actor::from(operator), line, now).await?;
    Ok(())
}

/// Moves the books' first open day behind the days that are closed.
pub(super) async fn shut_books(
    tx: &mut Tx,
    operator: &Operator,
    zone: &TimeZone,
    now: Timestamp,
) -> Result<(), ApiError> {
    let Some(last) = store::closed_through(tx).await? else {
        return Ok(());
    };
    let first_open = next(last);
    let before = ledger::closing(tx).await?;
    if before.is_some_and(|before| before.first_open >= first_open) {
        return Ok(());
    }
    let closing = Closing {
        first_open,
        open_from: begin_of(first_open, zone),
    };
    ledger::close(tx, Some(closing), operator.id, now).await?;
    Ok(())
}

/// The last day from `from` on (`None` = of all) that a statement closed.
pub async fn last_closed_day(tx: &mut Tx, from: Option<Date>) -> sqlx::Result<Option<Date>> {
    store::last_closed(tx, from).await
}
