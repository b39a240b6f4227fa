//! `/api/finance/sellers`: operators who sell for the provider out of a float.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use easyisp_shared::id::{EntryId, OperatorId};
use easyisp_shared::money::Cents;
use easyisp_shared::time::{Clock, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::reports::Between;
use crate::api::{Idempotency, Json, Page, Path, Query, blank};
use crate::audit::{self, Action, Actor, Audit};
use crate::auth::{Operator, Permission};
use crate::db::{Database, Tx};
use crate::error::{ApiError, Wrong};
use crate::finance::rules::{self, Moment};
use crate::finance::store::sellers::{self as store, Move, SellerRow};
use crate::finance::words::How;
use crate::ledger::{self, AccountCode, Entry, EntryKind, Leg, Transfer};
use crate::renewals::Method;

/// Somebody who sells.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Seller {
    operator_id: OperatorId,
    name: String,
    /// What he records is taken out of his float; else he is an operator like others.
    active: bool,
    /// What he may sell yet.
    balance: Cents,
    /// What he loaded and has not handed over.
    owed: Cents,
    /// What he earns of what he sells: percent, with at most two decimals.
    commission_percent: Cents,
    /// And for each sale.
    commission_fixed: Cents,
    since: Timestamp,
}

impl From<SellerRow> for Seller {
    fn from(row: SellerRow) -> Seller {
        Seller {
            operator_id: row.operator_id,
            name: row.name.unwrap_or_default(),
            active: row.active,
            balance: row.balance,
            owed: row.owed,
            commission_percent: Cents::new(i64::from(row.commission_basis_points)),
            commission_fixed: row.commission_fixed,
            since: row.since,
        }
    }
}

/// `GET /api/finance/sellers`: who sells out of a float, by name.
#[utoipa::path(get, path = "/api/finance/sellers", tag = "Finance",
    responses((status = 200, body = Vec<Seller>)))]
pub async fn list(
    operator: Operator,
    State(db): State<Database>,
) -> Result<Json<Vec<Seller>>, ApiError> {
    let mut tx = db.begin(operator.tenant).await?;
    let rows = store::sellers(&mut tx, None).await?;
    Ok(Json(rows.into_iter().map(Seller::from).collect()))
}

/// Whether somebody sells, and what he earns with it.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SellerRequest {
    #[serde(default, deserialize_with = "blank::option")]
    active: Option<bool>,
    /// Percent of what he sells: 0 to 50, with at most two decimals. Left out, it stays.
    #[serde(default, deserialize_with = "blank::option")]
    commission_percent: Option<Cents>,
    /// For each sale. Left out, it stays.
    #[serde(default, deserialize_with = "blank::option")]
    commission_fixed: Option<Cents>,
}

impl SellerRequest {
    /// Hundredths of a percent, and for each sale.
    fn commission(&self, wrong: &mut Wrong) -> (Option<i32>, Option<Cents>) {
        let share = self.commission_percent.map(Cents::minor);
        if share.is_some_and(|share| !(0..=5_000).contains(&share)) {
            wrong.add("commissionPercent", "must be 0 to 50");
        }
        if self
            .commission_fixed
            .is_some_and(|fixed| fixed < Cents::ZERO)
        {
            wrong.add("commissionFixed", "must not be less than nothing");
        }
        (
            share.and_then(|share| i32::try_from(share).ok()),
            self.commission_fixed,
        )
    }
}

/// `PUT /api/finance/sellers/{operator}`: makes an operator a seller, or no seller any more. Of a seller every payment
/// that he records and every voucher that he makes is taken out of his float, and refused when that does not cover it:
/// the money itself is his. What he earns of a sale is in his float with it, an expense of ours, and gone from it when the
/// sale is taken back. What is in the float of one who sells no more stays until it is returned.
///
/// Errors: 400 without `active`, 403 `OWN_FLOAT`, 404 unknown operator.
#[utoipa::path(put, path = "/api/finance/sellers/{operator}", tag = "Finance",
    params(("operator" = OperatorId, Path)), request_body = SellerRequest,
    responses((status = 200, body = Seller)))]
pub async fn set(
    operator: Operator,
    State(db): State<Database>,
    State(clock): State<Clock>,
    Path(seller): Path<OperatorId>,
    Json(request): Json<SellerRequest>,
) -> Result<Json<Seller>, ApiError> {
    let now = clock.now();
    let mut wrong = Wrong::default();
    let active = wrong.required("active", request.active);
    let commission = request.commission(&mut wrong);
    wrong.none_or(()).map_err(ApiError::fields)?;
    not_his_own(&operator, seller)?;
    let mut tx = db.begin(operator.tenant).await?;
    if !store::set(&mut tx, seller, active, commission, now).await? {
        return Err(ApiError::NotFound("operator"));
    }
    let shown = find(&mut tx, seller).await?;
    let what = match active {
        true => "sells out of a float",
        false => "sells no more",
    };
    let line = Audit {
        details: format!(
            "{what}; commission {} % and {} a sale",
            shown.commission_percent, shown.commission_fixed
        ),
        ..Audit::new(Action::SellerUpdate, "operator", seller, &shown.name)
    };
    audit::record(&mut tx, &Actor::from(&operator), line, now).await?;
    tx.commit().await?;
    Ok(Json(shown))
}

/// What a seller does with his float beside selling.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "UPPERCASE")]
#[schema(as = FloatMove)]
pub enum Kind {
    /// He may sell more.
    Load,
    /// He hands over what he owes.
    Handover,
    /// He may sell less: what he did not sell goes back.
    Return,
}

impl Kind {
    fn word(self) -> &'static str {
        match self {
            Kind::Load => "LOAD",
            Kind::Handover => "HANDOVER",
            Kind::Return => "RETURN",
        }
    }

    /// What it moves, `place` being where the money is: by how much more he may sell, by how much more he owes, and the
    /// transfer.
    fn moves(self, seller: OperatorId, place: Option<Leg>, amount: Cents) -> Moved {
        let less = Cents::ZERO.minus(amount).unwrap_or_default();
        let (float, debt) = (Leg::float(seller), Leg::owed_by_seller(seller));
        let paid = place.is_some();
        let other = place.unwrap_or(debt.clone());
        let (balance, owed, debit, credit) = match self {
            Kind::Load => (amount, amount, other, float),
            Kind::Handover => (Cents::ZERO, less, other, debt),
            Kind::Return => (less, less, float, other),
        };
        Moved {
            balance,
            owed: match paid && self != Kind::Handover {
                true => Cents::ZERO,
                false => owed,
            },
            transfer: Transfer {
                debit,
                credit,
                amount,
            },
        }
    }
}

struct Moved {
    balance: Cents,
    owed: Cents,
    transfer: Transfer,
}

/// What is to be moved.
#[derive(Deserialize, ToSchema)]
pub struct FloatRequest {
    #[serde(default, deserialize_with = "blank::option")]
    kind: Option<Kind>,
    #[serde(default, deserialize_with = "blank::option")]
    amount: Option<Cents>,
    /// How the money came, or went back. Left out, none did: a load is owed, and a return makes what is owed less; a
    /// handover is in cash.
    #[serde(default, deserialize_with = "blank::option")]
    method: Option<How>,
    /// At most 100 characters.
    #[serde(default, deserialize_with = "blank::option")]
    reference: Option<String>,
}

/// How his float stands after it.
#[derive(Serialize, ToSchema)]
#[schema(as = FloatMoved)]
pub struct Answer {
    id: Uuid,
    kind: Kind,
    amount: Cents,
    /// What he may sell yet.
    balance: Cents,
    /// What he owes.
    owed: Cents,
}

/// `POST /api/finance/sellers/{operator}/moves`: a seller loads his float, hands over money that he owes, or gives back
/// what he did not sell.
///
/// Repeating with the same `Idempotency-Key` returns the first answer and books nothing. Errors: 400 naming the fields,
/// 403 `OWN_FLOAT` for his own, 404 who never was a seller, 409 `FLOAT_USED_UP` when so much is not in it, `NOT_OWED` when
/// he owes less.
#[utoipa::path(post, path = "/api/finance/sellers/{operator}/moves", tag = "Finance",
    params(("operator" = OperatorId, Path)), request_body = FloatRequest,
    responses((status = 201, body = Answer)))]
pub async fn book(
    operator: Operator,
    State(db): State<Database>,
    State(clock): State<Clock>,
    Path(seller): Path<OperatorId>,
    mut idempotency: Idempotency,
    Json(request): Json<FloatRequest>,
) -> Result<Response, ApiError> {
    let now = clock.now();
    not_his_own(&operator, seller)?;
    let mut wrong = Wrong::default();
    let amount = rules::amount("amount", request.amount, &mut wrong);
    let reference = rules::text("reference", request.reference, 100, &mut wrong);
    if request.kind.is_none() {
        wrong.add("kind", "is required: LOAD, HANDOVER or RETURN");
    }
    wrong.none_or(()).map_err(ApiError::fields)?;
    let kind = request.kind.unwrap_or(Kind::Load);
    let method = match (request.method.map(Method::from), kind) {
        (None, Kind::Handover) => Some(Method::Cash),
        (method, _) => method,
    };
    let mut tx = db.begin(operator.tenant).await?;
    if let Some(answer) = idempotency.begin(&mut tx, operator.id, now).await? {
        return Ok(answer);
    }
    let place = method.map(|method| Leg::account(method.account()));
    let moved = kind.moves(seller, place, amount);
    let float = ledger::move_float(&mut tx, seller, (moved.balance, moved.owed), now).await;
    let float = float
        .map_err(refusal)?
        .ok_or(ApiError::NotFound("seller"))?;
    let entry = EntryId::new(now, &tx.entropy());
    let one = Move {
        id: entry.0,
        seller,
        kind: kind.word(),
        amount,
        method,
        reference,
        entry,
        by: operator.id,
    };
    let posting = Entry {
        id: entry,
        kind: EntryKind::Float,
        occurred_at: now,
        customer: None,
        source: format!("float {}", one.id),
        description: match kind {
            Kind::Load => "Loaded".to_owned(),
            Kind::Handover => "Handed over".to_owned(),
            Kind::Return => "Returned".to_owned(),
        },
        transfers: vec![moved.transfer],
    };
    ledger::post(&mut tx, posting, now).await?;
    store::insert_move(&mut tx, &one, now).await?;
    let name = find(&mut tx, seller).await?.name;
    let line = Audit {
        details: format!("{} {amount}", kind.word()),
        ..Audit::new(Action::SellerFloat, "operator", seller, &name)
    };
    audit::record(&mut tx, &Actor::from(&operator), line, now).await?;
    let body = Answer {
        id: one.id,
        kind,
        amount,
        balance: float.balance,
        owed: float.owed,
    };
    let answer = idempotency
        .finish(&mut tx, StatusCode::CREATED, &body)
        .await?;
    tx.commit().await?;
    Ok(answer)
}

/// A seller's statement.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SellerStatement {
    seller: Seller,
    from: Timestamp,
    /// The first instant after it.
    to: Timestamp,
    /// In the float before the first line.
    opening_balance: Cents,
    lines: Vec<SellerLine>,
    /// In it after the last line, also of those on other pages.
    closing_balance: Cents,
    total: i64,
    page: u32,
    page_size: u32,
}

/// What one entry did to his float.
#[derive(Serialize, ToSchema)]
#[schema(as = SellerStatementLine)]
pub struct SellerLine {
    id: EntryId,
    date: Timestamp,
    /// `FLOAT`, `PAYMENT`, `RECHARGE`, `VOID`, `VOUCHER_SALE` or `COMMISSION`.
    kind: String,
    description: String,
    /// What justifies it.
    reference: String,
    /// Positive: he may sell more.
    amount: Cents,
    /// What was in it after it.
    balance: Cents,
}

/// `GET /api/finance/sellers/{operator}/statement`: what moved a seller's float; the oldest line first. A seller reads his
/// own. Without `page` the first 1,000 lines.
///
/// Errors: 400 `from` after `to`, 403 another's without `finance:reports_view` or `finance:income_view`, 404.
#[utoipa::path(get, path = "/api/finance/sellers/{operator}/statement", tag = "Finance",
    params(("operator" = OperatorId, Path), ("page" = Option<u32>, Query),
        ("pageSize" = Option<u32>, Query), Between),
    responses((status = 200, body = SellerStatement)))]
pub async fn statement(
    operator: Operator,
    State(db): State<Database>,
    State(clock): State<Clock>,
    Path(seller): Path<OperatorId>,
    page: Page,
    Query(query): Query<Between>,
) -> Result<Json<SellerStatement>, ApiError> {
    if operator.id != seller {
        operator.require_any(&[
            Permission::FinanceReportsView,
            Permission::FinanceIncomeView,
        ])?;
    }
    let mut tx = db.begin(operator.tenant).await?;
    let shown = find(&mut tx, seller).await?;
    let zone = ledger::zone(&mut tx).await?;
    let last = query.to.unwrap_or(Moment::At(clock.now()));
    let to = last.ends(&zone);
    let from = query
        .from
        .unwrap_or(Moment::Day(last.day(&zone).first_of_month()))
        .begins(&zone);
    if from > to {
        return Err(ApiError::field("from", "must not be after to"));
    }
    let window = (page.limit(), page.offset());
    let accounts = [AccountCode::FLOATS];
    let moved = ledger::statement_of(&mut tx, &accounts, seller.0, (from, to), window).await?;
    let lines = moved.lines.into_iter().map(|line| SellerLine {
        id: line.entry,
        date: line.occurred_at,
        kind: line.kind,
        description: line.description,
        reference: line.source,
        amount: line.amount,
        balance: line.balance,
    });
    Ok(Json(SellerStatement {
        seller: shown,
        from,
        to,
        opening_balance: moved.opening,
        lines: lines.collect(),
        closing_balance: moved.closing,
        total: moved.total,
        page: page.number,
        page_size: page.size,
    }))
}

async fn find(tx: &mut Tx, seller: OperatorId) -> Result<Seller, ApiError> {
    let row = store::sellers(tx, Some(seller)).await?.into_iter().next();
    Ok(row.ok_or(ApiError::NotFound("seller"))?.into())
}

/// Nobody gives himself what he sells.
fn not_his_own(operator: &Operator, seller: OperatorId) -> Result<(), ApiError> {
    match operator.id == seller {
        true => Err(ApiError::forbidden(
            "OWN_FLOAT",
            "Nobody loads or returns his own float; ask another operator",
        )),
        false => Ok(()),
    }
}

fn refusal(error: sqlx::Error) -> ApiError {
    if ledger::is_used_up(&error) {
        return ApiError::conflict("FLOAT_USED_UP", ledger::FLOAT_USED_UP.to_owned());
    }
    if ledger::is_not_owed(&error) {
        return ApiError::conflict("NOT_OWED", "the seller owes less than that".to_owned());
    }
    error.into()
}
