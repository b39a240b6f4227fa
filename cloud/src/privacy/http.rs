//! `/api/customers/{customer}/data` and `/erase`, and `/api/privacy/retention`.

use axum::extract::State;
use axum::http::header::CONTENT_DISPOSITION;
use axum::response::{IntoResponse, Response};
use easyisp_shared::id::CustomerId;
use easyisp_shared::time::{Clock, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::api::{Json, Path, blank};
use crate::audit::{self, Action, Actor, Audit};
use crate::auth::Operator;
use crate::customers::Deed;
use crate::db::Database;
use crate::error::{ApiError, ErrorEnvelope};
use crate::tenants;

use super::document::Document;
use super::erase::{Erasure, Rest, erase as erase_him, marks};
use super::rules::{self, KEPT, Keep};
use super::store;

/// `GET /api/customers/{customer}/data`: everything that is kept of one subscriber, as a file.
///
/// Also of one who was deleted or erased. Each list holds the newest 1,000 rows and says whether that is
/// all; his password and the codes of vouchers are not shown. To correct him is `PUT
/// /api/customers/{customer}`. That this was read, and by whom, is in the trail. For people only, who showed
/// their password just now. Errors: 403 `PERSON_ONLY` and `FRESH_LOGIN_REQUIRED`, or without the permissions
/// to see and to edit customers of his type; 404 when nobody of this tenant had this id.
#[utoipa::path(get, path = "/api/customers/{customer}/data", tag = "Privacy",
    params(("customer" = CustomerId, Path)), responses((status = 200, body = Document)))]
pub async fn data(
    operator: Operator,
    State(db): State<Database>,
    State(clock): State<Clock>,
    Path(customer): Path<CustomerId>,
) -> Result<Response, ApiError> {
    let now = clock.now();
    operator.fresh(now)?;
    let mut tx = db.begin(operator.tenant).await?;
    let subject = store::find(&mut tx, customer).await?;
    let subject = subject.ok_or(ApiError::NotFound("customer"))?;
    operator.require_any(Deed::View.permissions(subject.connection_type))?;
    operator.require_any(Deed::Edit.permissions(subject.connection_type))?;

    let document = Document::of(&mut tx, &subject, now).await?;
    let slug = tenants::slug(&mut tx).await?;
    let line = Audit::new(
        Action::CustomerDataExport,
        "customer",
        customer,
        &subject.name,
    );
    audit::record(&mut tx, &Actor::from(&operator), line, now).await?;
    tx.commit().await?;
    let (number, moment) = (
        subject.account_number,
        now.to_jiff().strftime("%Y-%m-%dT%H-%MZ"),
    );
    let name = format!("attachment; filename=\"subscriber-{slug}-{number}-{moment}.json\"");
    Ok(([(CONTENT_DISPOSITION, name)], Json(document)).into_response())
}

/// Who is to be erased, and why.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct EraseRequest {
    /// Why, in 3 to 500 characters that do not name him: this stays in the trail.
    #[serde(default, deserialize_with = "blank::option")]
    reason: Option<String>,
    /// His user name, typed again.
    #[serde(default, deserialize_with = "blank::option")]
    confirm: Option<String>,
    /// He gives up what is in his wallet.
    #[serde(default, deserialize_with = "blank::option")]
    leave_balance: Option<bool>,
}

/// What an erased subscriber is called.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Erased {
    success: bool,
    pseudonym: String,
    erased_at: Timestamp,
}

/// `POST /api/customers/{customer}/erase`: takes a subscriber out of everything that names him, for good.
///
/// He is deleted first where he was not: his session ends and his site forgets him. A pseudonym takes the
/// place of his name; payments, periods and the journal stay under his id, lines of the trail keep who did
/// what when. What is sealed in answers to repeated requests goes within three days, what agents wrote
/// down themselves with their own retention. His phone may sign up again, as somebody new.
///
/// A repeat answers the same, whatever it confirms. For people only, who showed their password just now.
/// Errors: 400 naming the field, 403 `PERSON_ONLY` and `FRESH_LOGIN_REQUIRED`, 404, 409 while money is open:
/// `PAYMENT_OPEN`, `PAYMENT_UNALLOCATED`, `MONEY_OWED`, `MONEY_LEFT` (which `leaveBalance` allows).
#[utoipa::path(post, path = "/api/customers/{customer}/erase", tag = "Privacy",
    params(("customer" = CustomerId, Path)), request_body = EraseRequest,
    responses((status = 200, body = Erased),
        (status = 409, description = "Money is open", body = ErrorEnvelope)))]
pub async fn erase(
    operator: Operator,
    State(db): State<Database>,
    State(clock): State<Clock>,
    Path(customer): Path<CustomerId>,
    Json(request): Json<EraseRequest>,
) -> Result<Json<Erased>, ApiError> {
    let now = clock.now();
    operator.fresh(now)?;
    let mut tx = db.begin(operator.tenant).await?;
    let subject = store::lock(&mut tx, customer).await?;
    let subject = subject.ok_or(ApiError::NotFound("customer"))?;
    let answer = |erased_at| {
        Json(Erased {
            success: true,
            pseudonym: rules::pseudonym(customer),
            erased_at,
        })
    };
    if let Some(erased_at) = subject.erased_at {
        return Ok(answer(erased_at));
    }
    let reason = request.reason.unwrap_or_default();
    let reason = reason.trim();
    if !(3..=500).contains(&reason.chars().count()) {
        return Err(ApiError::field("reason", "must have 3 to 500 characters"));
    }
    if marks(&subject, &[]).found_in(reason).is_some() {
        let what = "must not name him: it stays when he is gone";
        return Err(ApiError::field("reason", what));
    }
    if request.confirm.as_deref().map(str::trim) != Some(subject.username.as_str()) {
        return Err(ApiError::field("confirm", "must be his user name"));
    }
    let rest = match request.leave_balance {
        Some(true) => Rest::GivenUp,
        Some(false) | None => Rest::MustBeNothing,
    };
    let actor = Actor::from(&operator);
    let erasure = Erasure {
        actor: &actor,
        reason,
        rest,
    };
    erase_him(&mut tx, &subject, erasure, now).await?;
    tx.commit().await?;
    Ok(answer(now))
}

/// What is kept of people, and for how long.
#[derive(Serialize, ToSchema)]
pub struct Retention {
    kept: Vec<KeptKind>,
}

/// What one table keeps of people.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct KeptKind {
    table: &'static str,
    holds: &'static str,
    /// After so many days it goes; null = `until` says when.
    days: Option<i64>,
    until: String,
    when_erased: &'static str,
}

/// `GET /api/privacy/retention`: what is kept of subscribers, where, for how long, and what becomes of it
/// when one is erased. Sessions are kept as `sessionRetentionDays` in `PUT /api/tenant/settings` says,
/// lines of routers' logs as `logRetentionDays`.
#[utoipa::path(get, path = "/api/privacy/retention", tag = "Privacy",
    responses((status = 200, body = Retention)))]
pub async fn retention(
    operator: Operator,
    State(db): State<Database>,
) -> Result<Json<Retention>, ApiError> {
    let mut tx = db.begin(operator.tenant).await?;
    let sessions = tenants::session_retention(&mut tx).await?.as_secs() / 86_400;
    let logs = tenants::log_retention(&mut tx).await?.as_secs() / 86_400;
    let shown = |keep| match keep {
        Keep::Days(days) => (Some(i64::from(days)), "So many days".to_owned()),
        Keep::Sessions => (
            i64::try_from(sessions).ok(),
            "So many days after its end, as your settings say".to_owned(),
        ),
        Keep::Logs => (
            i64::try_from(logs).ok(),
            "So many days, as your settings say".to_owned(),
        ),
        Keep::Customer => (None, format!("{} days after he was deleted", rules::GONE)),
        Keep::Books => (None, "For good: the books".to_owned()),
        Keep::Thing => (None, "As long as what it belongs to".to_owned()),
    };
    let kept = KEPT.iter().filter(|kept| !kept.holds.is_empty());
    let kept = kept.map(|kept| {
        let (days, until) = shown(kept.keep);
        KeptKind {
            table: kept.table,
            holds: kept.holds,
            days,
            until,
            when_erased: kept.when_erased,
        }
    });
    Ok(Json(Retention {
        kept: kept.collect(),
    }))
}
