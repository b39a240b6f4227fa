//! Expenses: how one is booked and taken back, and those that come every month by themselves.

use easyisp_shared::id::{EntryId, ExpenseId, OperatorId};
use easyisp_shared::time::Timestamp;
use jiff::civil::Date;
use uuid::Uuid;

use crate::audit::{self, Action, Actor, Audit};
use crate::db::Tx;
use crate::due;
use crate::ledger::{self, AccountCode, Entry, EntryKind, Leg, Transfer};

use super::rules::{begin_of, next_month};
use super::store::expenses::{self as store, About, Expense};

/// The kind of the due job that books an expense every month; its subject is the first expense.
pub const RECURRING: &str = "finance.recurring";

/// An expense as it is booked.
#[derive(Clone, Debug)]
pub struct Booking {
    /// What it is for.
    pub about: About,
    /// When it was.
    pub occurred_at: Timestamp,
    /// Whether it comes every month, and from which day of the tenant's.
    pub every_month_from: Option<Date>,
    /// Who typed it.
    pub operator: OperatorId,
}

/// Books an expense, and makes the next one due when it comes every month.
pub async fn book(tx: &mut Tx, booking: Booking, now: Timestamp) -> sqlx::Result<ExpenseId> {
    let id = ExpenseId::new(now, &tx.entropy());
    if let Some(day) = booking.every_month_from {
        let next_on = next_month(day, day.day());
        store::insert_series(tx, id, &booking.about, (day.day(), next_on), now).await?;
        let zone = ledger::zone(tx).await?;
        due::at(tx, RECURRING, id, begin_of(next_on, &zone)).await?;
    }
    let expense = Expense {
        id,
        entry: EntryId::new(now, &tx.entropy()),
        about: booking.about,
        occurred_at: booking.occurred_at,
        of: booking.every_month_from.map(|day| (id, day)),
        operator: Some(booking.operator),
    };
    post(tx, expense, now).await?;
    Ok(id)
}

/// Books what has fallen due of a series, at the first instant of each day, a year's worth at most. `Some` = when
/// to go on; `None` = it ended.
///
/// The series is locked, and a month of it can be written once: whoever comes a second time finds nothing due.
pub async fn post_due(
    tx: &mut Tx,
    series: Uuid,
    now: Timestamp,
) -> sqlx::Result<Option<Timestamp>> {
    const AT_ONCE: usize = 12;

    let id = ExpenseId(series);
    let Some(series) = store::lock_series(tx, id).await? else {
        return Ok(None);
    };
    let zone = ledger::zone(tx).await?;
    let mut next_on = series.next_on;
    for _ in 0..AT_ONCE {
        let due_at = begin_of(next_on, &zone);
        if due_at > now {
            break;
        }
        let expense = Expense {
            id: ExpenseId::new(now, &tx.entropy()),
            entry: EntryId::new(now, &tx.entropy()),
            about: series.about.clone(),
            occurred_at: due_at,
            of: Some((id, next_on)),
            operator: None,
        };
        let (made, name) = (expense.id, expense.about.category.clone());
        post(tx, expense, now).await?;
        let line = Audit {
            details: format!("{}, as every month", series.about.amount),
            ..Audit::new(Action::ExpenseCreate, "expense", made, &name)
        };
        audit::record(tx, &Actor::system(), line, now).await?;
        next_on = next_month(next_on, series.anchor_day);
    }
    store::go_on(tx, id, next_on).await?;
    Ok(Some(begin_of(next_on, &zone).max(now)))
}

/// What became of an expense that is to be taken back.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Voided {
    /// It was booked the other way; this was its category.
    Now(String),
    /// It had been before.
    Before,
}

/// Books an expense the other way; the first of a series ends the series. `None` when there is none of this id.
pub async fn void(tx: &mut Tx, id: ExpenseId, now: Timestamp) -> sqlx::Result<Option<Voided>> {
    let Some(booked) = store::lock(tx, id).await? else {
        return Ok(None);
    };
    if booked.reversal_id.is_some() {
        return Ok(Some(Voided::Before));
    }
    if booked.recurring_id == Some(id) {
        end(tx, id, now).await?;
    }
    let entry = Entry {
        id: EntryId::new(now, &tx.entropy()),
        kind: EntryKind::Correction,
        occurred_at: now,
        customer: None,
        source: format!("void of expense {id}"),
        description: "Expense taken back".to_owned(),
        transfers: vec![transfer(&booked.about)?.reversed()],
    };
    let reversal = entry.id;
    ledger::post(tx, entry, now).await?;
    store::void(tx, id, reversal).await?;
    Ok(Some(Voided::Now(booked.about.category)))
}

/// Ends a series; what was booked stays. `false` when it had ended.
pub async fn end(tx: &mut Tx, series: ExpenseId, now: Timestamp) -> sqlx::Result<bool> {
    let ended = store::end_series(tx, series, now).await?;
    due::never(tx, RECURRING, series).await?;
    Ok(ended)
}

async fn post(tx: &mut Tx, expense: Expense, now: Timestamp) -> sqlx::Result<()> {
    let entry = Entry {
        id: expense.entry,
        kind: EntryKind::Expense,
        occurred_at: expense.occurred_at,
        customer: None,
        source: format!("expense {}", expense.id),
        // What it was for stands in its row, where it can be blanked.
        description: "Expense".to_owned(),
        transfers: vec![transfer(&expense.about)?],
    };
    ledger::post(tx, entry, now).await?;
    store::insert(tx, &expense, now).await
}

fn transfer(about: &About) -> sqlx::Result<Transfer> {
    let account = AccountCode::parse(&about.account);
    let account = account.ok_or_else(|| {
        let problem = format!("account {}", about.account);
        sqlx::Error::Decode(problem.into())
    })?;
    Ok(Transfer {
        debit: Leg::account(account),
        credit: Leg::account(about.method.account()),
        amount: about.amount,
    })
}
