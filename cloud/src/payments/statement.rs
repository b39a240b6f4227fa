//! A statement of M-Pesa's portal beside our books: what agrees, what we were never told of, and what only we have.

use axum::extract::{Request, State};
use easyisp_shared::id::{GatewayId, PaymentId};
use easyisp_shared::money::Cents;
use easyisp_shared::time::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::Payments;
use super::arrival::Arrival;
use super::book::{Booking, HEARSAY};
use super::closing::{self, Settled};
use super::gateways::locked_at_mpesa;
use super::mpesa::sheet::{Row, Told, read_statement};
use super::store::arrivals::{self, Booked};
use super::store::gateways::Keys;
use crate::api::{Json, Query};
use crate::audit::{self, Action, Actor, Audit};
use crate::auth::Operator;
use crate::db::Tx;
use crate::error::{ApiError, ErrorEnvelope};
use crate::ledger;
use crate::renewals::RenewError;

/// The largest statement.
const MOST_BYTES: usize = 5 * 1024 * 1024;
/// Most payments that one request books; a repeat goes on.
const MOST_BOOKED: usize = 1_000;
/// After so many that cannot be booked it is not they that are wrong: the rest waits for the next run.
const MOST_FAILED: usize = 100;
/// Most payments of ours that are listed because the statement does not have them.
const MOST_EXTRA: i64 = 1_000;

/// Whose statement it is, and whether anything is booked.
#[derive(Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
pub struct StatementQuery {
    /// The gateway of the short code.
    #[param(value_type = String)]
    gateway_id: GatewayId,
    /// `true`: nothing is booked. Also when absent.
    dry_run: Option<bool>,
}

/// What became of a row.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum RowOutcome {
    /// We have it, with the same amount.
    Matched,
    /// We have it with another amount; a person looks at it.
    Differs,
    /// We do not have it: booked now.
    Booked,
    /// We do not have it: a run that is not dry books it, or the next one does.
    Missing,
    /// It moved before the gateway was set up here.
    Before,
    /// Money that went, a charge, or something that was not completed.
    Skipped,
    /// It cannot be read.
    Unreadable,
    /// We do not have it, and it could not be booked; the message tells why. The next run tries again.
    Failed,
}

/// A row of the statement.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct StatementRow {
    /// Where it stands in the file, from 1.
    line: u64,
    outcome: RowOutcome,
    receipt: Option<String>,
    amount: Option<Cents>,
    paid_at: Option<Timestamp>,
    /// What is wrong with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
}

/// A payment that only we have.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ExtraPayment {
    id: PaymentId,
    receipt: Option<String>,
    amount: Cents,
    paid_at: Timestamp,
}

/// The statement beside our books.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Compared {
    dry_run: bool,
    matched: usize,
    differs: usize,
    booked: usize,
    missing: usize,
    unreadable: usize,
    failed: usize,
    rows: Vec<StatementRow>,
    /// Payments to this gateway within the statement's span of time that it does not have, newest first, at most
    /// 1,000.
    extra: Vec<ExtraPayment>,
    /// How the days that are over stand now, once something was booked: a day that agrees is closed; one that is open
    /// says what it waits for (`GET /api/payments/days`). Empty when a row cannot be read.
    days: Vec<Settled>,
}

/// `POST /api/payments/statement`: compares a statement of M-Pesa's portal for organisations (CSV or XLSX) with what we
/// have, and books what we were never told of, each as a confirmation would.
///
/// A dry run, which it is unless `dryRun=false`, books nothing. One request books at most 1,000 payments; a repeat
/// goes on, and what is booked stays booked once; a row that cannot be booked says why, and the others are.
/// Then each day of it that is over, that it has whole and that agrees is closed, one after the other, at most 62 in one
/// request; a repeat goes on. It has a day whole by its own time period, or by rows before and after the day. What is posted later with its date is booked on the first open
/// day (`/api/payments/days` lists them, explains what does not agree and opens them again). The body is the file itself, 5 MiB and 20,000 rows at most.
/// Errors: 400 names what is wrong with the file, 404 unknown gateway, 413.
#[utoipa::path(post, path = "/api/payments/statement", tag = "Payments", params(StatementQuery),
    request_body(content = String, content_type = "text/plain"),
    responses((status = 200, body = Compared), (status = 413, body = ErrorEnvelope)))]
pub async fn compare(
    operator: Operator,
    State(payments): State<Payments>,
    Query(query): Query<StatementQuery>,
    request: Request,
) -> Result<Json<Compared>, ApiError> {
    let now = payments.clock.now();
    let dry_run = query.dry_run.unwrap_or(true);
    let body = axum::body::to_bytes(request.into_body(), MOST_BYTES).await;
    let body = body.map_err(|_| ApiError::TooLarge { limit: MOST_BYTES })?;
    // A workbook is unpacked, off the threads that serve requests.
    let statement = tokio::task::spawn_blocking(move || read_statement(&body)).await;
    let statement = statement.map_err(ApiError::internal)?;
    let statement = statement.map_err(|why| ApiError::field("statement", why.to_string()))?;
    let mut tx = payments.db.begin(operator.tenant).await?;
    let gateway = locked_at_mpesa(&mut tx, query.gateway_id).await?;
    if !dry_run && ledger::is_seller(&mut tx, operator.id).await? {
        return Err(ApiError::forbidden(
            "SELLER",
            "Who sells out of a float books no statement: a file is no proof. Ask somebody else to book it",
        ));
    }
    let of_it = [Some(&gateway.shortcode), gateway.store_number.as_ref()];
    if let Some(code) = &statement.shortcode
        && !of_it.contains(&Some(code))
    {
        let ours = &gateway.shortcode;
        let message = format!("is of short code {code}; this gateway's is {ours}");
        return Err(ApiError::field("statement", message));
    }
    if dry_run {
        drop(tx);
        let compared = run(&payments, &operator, &gateway, &statement.rows, true, now).await?;
        return Ok(Json(compared));
    }
    let details = "Books what a statement has and we do not";
    note(&mut tx, &operator, &gateway, details.to_owned(), now).await?;
    tx.commit().await?;
    // Who hangs up does not cut the work in two.
    let worker = payments.clone();
    let working = payments.tasks.spawn(async move {
        let rows = &statement.rows;
        let mut compared = run(&worker, &operator, &gateway, rows, false, now).await?;
        let details = format!(
            "Compared a statement: {} agreed, {} booked, {} differ, {} failed",
            compared.matched, compared.booked, compared.differs, compared.failed
        );
        let mut tx = worker.db.begin(operator.tenant).await?;
        note(&mut tx, &operator, &gateway, details, now).await?;
        tx.commit().await?;
        let days = closing::settle(&worker.db, &operator, &gateway, &statement, &worker.clock);
        compared.days = days.await?;
        Ok::<Compared, ApiError>(compared)
    });
    let compared = working.await.map_err(|_| ApiError::Unavailable {
        message: "The work was stopped; compare the statement again".to_owned(),
    })?;
    compared.map(Json)
}

/// Compares the rows of a statement with what we have, and books what is missing unless it is a dry run.
async fn run(
    payments: &Payments,
    operator: &Operator,
    gateway: &Keys,
    rows: &[Row],
    dry_run: bool,
    now: Timestamp,
) -> Result<Compared, ApiError> {
    let receipts: Vec<String> = came(rows).map(|one| one.receipt.clone()).collect();
    let mut tx = payments.db.begin(operator.tenant).await?;
    let ours = arrivals::booked(&mut tx, gateway.id, &receipts, &HEARSAY).await?;
    drop(tx);

    let mut compared = Compared {
        dry_run,
        matched: 0,
        differs: 0,
        booked: 0,
        missing: 0,
        unreadable: 0,
        failed: 0,
        rows: Vec::with_capacity(rows.len()),
        extra: Vec::new(),
        days: Vec::new(),
    };
    let mut seen = std::collections::HashSet::new();
    for row in rows {
        let mut outcome = outcome(row, gateway, &ours);
        let mut problem = None;
        let wanted = !dry_run && compared.booked < MOST_BOOKED && compared.failed < MOST_FAILED;
        if let (RowOutcome::Missing, Told::Came(arrival)) = (outcome, &row.told) {
            // A file may say a thing twice.
            if !seen.insert(arrival.receipt.as_str()) {
                outcome = RowOutcome::Skipped;
            } else if wanted {
                let by = Some(operator.id);
                let booked = payments.book_one(operator.tenant, gateway.id, arrival, by, now);
                outcome = match booked.await {
                    Ok(Booking::Booked) => RowOutcome::Booked,
                    Ok(Booking::Known) => RowOutcome::Matched, // told of meanwhile
                    // Another provider's on this platform: nothing more is told of it.
                    Ok(Booking::Differs | Booking::Elsewhere) => RowOutcome::Differs,
                    // One that cannot be booked is no obstacle to the others.
                    Err(cause) => {
                        problem = Some(reason(&cause));
                        let receipt = &arrival.receipt;
                        tracing::warn!(%cause, gateway.id = %gateway.id, "Cannot book {receipt} of a statement");
                        RowOutcome::Failed
                    }
                };
            }
        }
        compared.note(row, outcome, problem);
    }
    if let Some((from, to)) = span(rows) {
        let mut tx = payments.db.begin(operator.tenant).await?;
        let extra = arrivals::extra(&mut tx, gateway.id, from, to, &receipts, MOST_EXTRA).await?;
        compared.extra = extra.into_iter().map(ExtraPayment::from).collect();
    }
    Ok(compared)
}

/// Writes who books by a statement.
async fn note(
    tx: &mut Tx,
    operator: &Operator,
    gateway: &Keys,
    details: String,
    now: Timestamp,
) -> Result<(), ApiError> {
    let line = Audit {
        details,
        ..Audit::new(
            Action::PaymentProcess,
            "payment gateway",
            gateway.id,
            &gateway.shortcode,
        )
    };
    audit::record(tx, &Actor::from(operator), line, now).await?;
    Ok(())
}

impl Compared {
    fn note(&mut self, row: &Row, outcome: RowOutcome, problem: Option<String>) {
        match outcome {
            RowOutcome::Matched => self.matched += 1,
            RowOutcome::Differs => self.differs += 1,
            RowOutcome::Booked => self.booked += 1,
            RowOutcome::Missing => self.missing += 1,
            RowOutcome::Unreadable => self.unreadable += 1,
            RowOutcome::Failed => self.failed += 1,
            RowOutcome::Before | RowOutcome::Skipped => {}
        }
        let (arrival, message) = match &row.told {
            Told::Came(arrival) => (Some(arrival), problem),
            Told::Else => (None, None),
            Told::Unreadable(why) => (None, Some(why.clone())),
        };
        self.rows.push(StatementRow {
            line: row.line,
            outcome,
            receipt: arrival.map(|one| one.receipt.clone()),
            amount: arrival.map(|one| one.amount),
            paid_at: arrival.and_then(|one| one.paid_at),
            message,
        });
    }
}

/// Why a payment could not be booked, for people: what went wrong in the database is for the log.
fn reason(cause: &RenewError) -> String {
    match cause {
        RenewError::Database(_) => {
            "could not be booked now; compare the statement again".to_owned()
        }
        other => format!("could not be booked: {other}"), // each says itself in a sentence
    }
}

/// What is to be said of a row before anything is booked.
pub(super) fn outcome(row: &Row, gateway: &Keys, ours: &[Booked]) -> RowOutcome {
    let arrival = match &row.told {
        Told::Came(arrival) => arrival,
        Told::Else => return RowOutcome::Skipped,
        Told::Unreadable(_) => return RowOutcome::Unreadable,
    };
    let at = ours.binary_search_by(|one| one.receipt.as_str().cmp(&arrival.receipt));
    let known = at.ok().map(|at| &ours[at]);
    match known.and_then(|known| known.amount.filter(|_| !known.hearsay)) {
        Some(amount) if amount == arrival.amount => RowOutcome::Matched,
        Some(_) => RowOutcome::Differs,
        // What is held on nobody's word is as good as missing; and of a receipt that another provider on this
        // platform has, a look tells nothing.
        None if arrival.paid_at.is_some_and(|at| at < gateway.created_at) => RowOutcome::Before,
        None => RowOutcome::Missing,
    }
}

fn came(rows: &[Row]) -> impl Iterator<Item = &Arrival> {
    rows.iter().filter_map(|row| match &row.told {
        Told::Came(arrival) => Some(arrival),
        Told::Else | Told::Unreadable(_) => None,
    })
}

/// From the first to the last payment that came.
fn span(rows: &[Row]) -> Option<(Timestamp, Timestamp)> {
    let times = || came(rows).filter_map(|arrival| arrival.paid_at);
    times().min().zip(times().max())
}

impl From<arrivals::Extra> for ExtraPayment {
    fn from(extra: arrivals::Extra) -> ExtraPayment {
        ExtraPayment {
            id: extra.id,
            receipt: extra.receipt,
            amount: extra.amount,
            paid_at: extra.paid_at,
        }
    }
}
