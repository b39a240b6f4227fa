//! A customer's life beside paying: notes on him, a pause, and coming back after he was deleted.

use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use easyisp_shared::id::{CustomerId, NoteId, OperatorId};
use easyisp_shared::time::{Clock, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::super::rules::{Deed, note_text};
use super::super::store;
use super::super::words::Standing;
use super::super::{
    ChangeError, RECKON, RESUME, disconnect as end_sessions, follow, follow_voucher, give_back,
    home_site, parent_fits,
};
use super::{answer, find, locked, note};
use crate::api::{Idempotency, Json, Page, Path, Said, Success, blank};
use crate::audit::Action;
use crate::auth::Operator;
use crate::db::{Database, Kind};
use crate::due;
use crate::error::ApiError;
use crate::secrets::Secrets;

/// What operators wrote about a customer.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Notes {
    notes: Vec<NoteItem>,
    total: i64,
    page: u32,
    page_size: u32,
}

/// A note.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = CustomerNote)]
pub struct NoteItem {
    id: NoteId,
    text: String,
    author: NoteAuthor,
    created_at: Timestamp,
}

/// Who wrote a note.
#[derive(Serialize, ToSchema)]
pub struct NoteAuthor {
    id: OperatorId,
    name: String,
}

impl From<store::Note> for NoteItem {
    fn from(note: store::Note) -> NoteItem {
        NoteItem {
            id: note.id,
            text: note.body,
            author: NoteAuthor {
                id: note.operator_id,
                name: note.operator_name,
            },
            created_at: note.created_at,
        }
    }
}

/// `GET /api/customers/{customer}/notes`: what operators wrote about him, the newest first.
#[utoipa::path(get, path = "/api/customers/{customer}/notes", tag = "Customers",
    params(("customer" = CustomerId, Path), ("page" = Option<u32>, Query), ("pageSize" = Option<u32>, Query)),
    responses((status = 200, body = Notes)))]
pub async fn notes(
    operator: Operator,
    State(db): State<Database>,
    State(clock): State<Clock>,
    Path(customer): Path<CustomerId>,
    page: Page,
) -> Result<Json<Notes>, ApiError> {
    let mut tx = db.begin(operator.tenant).await?;
    let row = find(&mut tx, customer, clock.now()).await?;
    operator.require_any(Deed::View.permissions(row.row.connection_type))?;
    let notes = store::notes(&mut tx, customer, page.limit(), page.offset()).await?;
    let total = store::count_notes(&mut tx, customer).await?;
    Ok(Json(Notes {
        notes: notes.into_iter().map(NoteItem::from).collect(),
        total,
        page: page.number,
        page_size: page.size,
    }))
}

/// What to write about a customer.
#[derive(Deserialize, ToSchema)]
pub struct NoteRequest {
    /// 1 to 2,000 characters.
    text: String,
}

/// `POST /api/customers/{customer}/notes`: writes a note on him, for operators alone. Repeating with the same
/// `Idempotency-Key` returns the first answer. Errors: 400 naming `text`, 409 `TOO_MANY_NOTES`.
#[utoipa::path(post, path = "/api/customers/{customer}/notes", tag = "Customers",
    params(("customer" = CustomerId, Path)), request_body = NoteRequest,
    responses((status = 201, body = NoteItem)))]
pub async fn add_note(
    operator: Operator,
    State(db): State<Database>,
    State(clock): State<Clock>,
    Path(customer): Path<CustomerId>,
    mut idempotency: Idempotency,
    Json(request): Json<NoteRequest>,
) -> Result<Response, ApiError> {
    let now = clock.now();
    let body = note_text(&request.text).map_err(|wrong| ApiError::fields(vec![wrong]))?;
    let mut tx = db.begin(operator.tenant).await?;
    if let Some(answer) = idempotency.begin(&mut tx, operator.id, now).await? {
        return Ok(answer);
    }
    let row = locked(&mut tx, &operator, customer, Deed::Edit, now).await?;
    if store::count_notes(&mut tx, customer).await? >= MOST_NOTES {
        return Err(ApiError::conflict(
            "TOO_MANY_NOTES",
            format!("There are {MOST_NOTES} notes on him already; delete one first"),
        ));
    }
    let id = NoteId::new(now, &tx.entropy());
    store::insert_note(&mut tx, id, customer, &body, operator.id, now).await?;
    note(
        &mut tx,
        &operator,
        Action::CustomerNoteCreate,
        &row,
        format!("Note {id}"),
        now,
    )
    .await?;
    let body = NoteItem {
        id,
        text: body,
        author: NoteAuthor {
            id: operator.id,
            name: operator.name.clone(),
        },
        created_at: now,
    };
    let answer = idempotency
        .finish(&mut tx, StatusCode::CREATED, &body)
        .await?;
    tx.commit().await?;
    Ok(answer)
}

/// `DELETE /api/customers/{customer}/notes/{note}`: removes a note; the trail keeps that there was one, not
/// what it said.
#[utoipa::path(delete, path = "/api/customers/{customer}/notes/{note}", tag = "Customers",
    params(("customer" = CustomerId, Path), ("note" = NoteId, Path)),
    responses((status = 200, body = Success)))]
pub async fn delete_note(
    operator: Operator,
    State(db): State<Database>,
    State(clock): State<Clock>,
    Path((customer, id)): Path<(CustomerId, NoteId)>,
) -> Result<Json<Success>, ApiError> {
    let now = clock.now();
    let mut tx = db.begin(operator.tenant).await?;
    let row = locked(&mut tx, &operator, customer, Deed::Edit, now).await?;
    if !store::delete_note(&mut tx, customer, id).await? {
        return Err(ApiError::NotFound("note"));
    }
    note(
        &mut tx,
        &operator,
        Action::CustomerNoteDelete,
        &row,
        format!("Note {id}"),
        now,
    )
    .await?;
    tx.commit().await?;
    Ok(Json(Success::YES))
}

/// For how long somebody is away.
#[derive(Deserialize, ToSchema)]
pub struct PauseRequest {
    /// When he is back by himself; absent = when somebody resumes him. At most a year ahead.
    #[serde(default, deserialize_with = "blank::option")]
    until: Option<Timestamp>,
}

/// Somebody's pause.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Paused {
    success: bool,
    message: String,
    paused_at: Timestamp,
    paused_until: Option<Timestamp>,
    /// What is given back to him.
    remaining_secs: u64,
}

/// `POST /api/customers/{customer}/pause`: stops his time and ends his session; what is left of it is given
/// back when he is resumed, or by itself at `until`. Money that buys a period ends the pause. A repeat changes
/// only when it ends. A child account is paused with its parent.
///
/// Errors: 400 naming `until`; 409 `NOT_ACTIVE` for who is stopped, `NOTHING_LEFT` when no paid time is left,
/// `FOLLOWS_PARENT` for a child account.
#[utoipa::path(post, path = "/api/customers/{customer}/pause", tag = "Customers",
    params(("customer" = CustomerId, Path)), request_body = PauseRequest,
    responses((status = 200, body = Paused)))]
pub async fn pause(
    operator: Operator,
    State(db): State<Database>,
    State(clock): State<Clock>,
    Path(customer): Path<CustomerId>,
    Json(request): Json<PauseRequest>,
) -> Result<Json<Paused>, ApiError> {
    let now = clock.now();
    let until = request.until;
    if until.is_some_and(|until| until <= now || until > now.plus(LONGEST_PAUSE)) {
        return Err(ApiError::field(
            "until",
            "must be in the future and at most a year ahead",
        ));
    }
    let mut tx = db.begin(operator.tenant).await?;
    let row = locked(&mut tx, &operator, customer, Deed::Suspend, now).await?;
    if row.parent_id.is_some() {
        return Err(follows_parent());
    }
    let paused_at = row.paused_at.unwrap_or(now);
    if row.paused_at.is_none() && row.row.standing != Standing::Active {
        return Err(ApiError::conflict(
            "NOT_ACTIVE",
            "Only an active customer can be paused; activate him first",
        ));
    }
    let remaining = row.row.paid_until.since(paused_at);
    if remaining.is_zero() {
        return Err(ApiError::conflict(
            "NOTHING_LEFT",
            "No paid time is left that could be kept for him",
        ));
    }
    store::pause(&mut tx, customer, until, now).await?;
    due::at(&mut tx, RECKON, customer, now).await?;
    match until {
        Some(until) => due::at(&mut tx, RESUME, customer, until).await?,
        None => due::never(&mut tx, RESUME, customer).await?,
    }
    let ended = end_sessions(&mut tx, customer, row.site_id, now).await?;
    tx.changed(Kind::Subscriber, customer);
    let details = match until {
        Some(until) => format!("Until {until}"),
        None => "Until he is resumed".to_owned(),
    };
    note(
        &mut tx,
        &operator,
        Action::CustomerPause,
        &row,
        details,
        now,
    )
    .await?;
    tx.commit().await?;
    Ok(Json(Paused {
        success: true,
        message: format!("Paused {}. {}", row.row.name, ended.sentence()),
        paused_at,
        paused_until: until,
        remaining_secs: remaining.as_secs(),
    }))
}

/// `POST /api/customers/{customer}/resume`: gives a paused customer back what was left of his time, once. Who
/// is not paused stays as he is.
#[utoipa::path(post, path = "/api/customers/{customer}/resume", tag = "Customers",
    params(("customer" = CustomerId, Path)), responses((status = 200, body = Said)))]
pub async fn resume(
    operator: Operator,
    State(db): State<Database>,
    State(clock): State<Clock>,
    Path(customer): Path<CustomerId>,
) -> Result<Json<Said>, ApiError> {
    let now = clock.now();
    let mut tx = db.begin(operator.tenant).await?;
    let row = locked(&mut tx, &operator, customer, Deed::Suspend, now).await?;
    if row.parent_id.is_some() {
        return Err(follows_parent());
    }
    let name = &row.row.name;
    let given = give_back(&mut tx, customer, Standing::Active, now).await?;
    let Some(until) = given else {
        return Ok(Json(Said::done(format!("{name} is not paused"))));
    };
    due::at(&mut tx, RECKON, customer, now).await?;
    due::never(&mut tx, RESUME, customer).await?;
    tx.changed(Kind::Subscriber, customer);
    let details = format!("Until {until}, was {}", row.row.paid_until);
    note(
        &mut tx,
        &operator,
        Action::CustomerResume,
        &row,
        details,
        now,
    )
    .await?;
    tx.commit().await?;
    Ok(Json(Said::done(format!("{name} is back, until {until}"))))
}

/// `POST /api/customers/{customer}/restore`: brings a deleted customer back under his own user name, with his
/// money, his account number and the end of his time as they were; on another's account he has the other's time,
/// as it is meanwhile. Without his package where that was deleted since: he is not served before he has another one,
/// and the trail says so. Repeating it answers as the first time.
///
/// Errors: 400 naming `parentId` when whose account he was on is deleted or has become a child account; 404
/// nobody was deleted under this id, 409 `USERNAME_TAKEN` or `ADDRESS_TAKEN` when somebody else has his user name
/// or his address since, `ERASED` when his data was erased.
#[utoipa::path(post, path = "/api/customers/{customer}/restore", tag = "Customers",
    params(("customer" = CustomerId, Path)), responses((status = 200, body = super::Customer)))]
pub async fn restore(
    operator: Operator,
    State(db): State<Database>,
    State(clock): State<Clock>,
    State(secrets): State<Secrets>,
    Path(customer): Path<CustomerId>,
) -> Result<Response, ApiError> {
    let now = clock.now();
    let mut tx = db.begin(operator.tenant).await?;
    let Some(gone) = store::lock_gone(&mut tx, customer).await? else {
        // He is there, as after a repeat; or there is no such customer.
        let row = find(&mut tx, customer, now).await?;
        operator.require_any(Deed::Delete.permissions(row.row.connection_type))?;
        return answer(&mut tx, &secrets, &operator, row, now).await;
    };
    operator.require_any(Deed::Delete.permissions(gone.connection_type))?;
    if gone.erased {
        return Err(ApiError::conflict(
            "ERASED",
            "His data was erased; make a new customer",
        ));
    }
    parent_fits(&mut tx, Some(customer), gone.parent_id).await?;
    let first_site = home_site(&mut tx, None, None).await?;
    store::restore(&mut tx, customer, first_site, now)
        .await
        .map_err(ChangeError::from)?;
    due::at(&mut tx, RECKON, customer, now).await?;
    match (gone.parent_id, gone.paused_until) {
        (Some(parent), _) => follow(&mut tx, parent, now).await?,
        (None, Some(until)) => due::at(&mut tx, RESUME, customer, until).await?,
        (None, None) => {}
    }
    tx.changed(Kind::Subscriber, customer);
    follow_voucher(&mut tx, customer);
    let row = find(&mut tx, customer, now).await?;
    note(
        &mut tx,
        &operator,
        Action::CustomerRestore,
        &row,
        match gone.lost_package {
            true => format!(
                "{}, without his package, which was deleted since: give him another one",
                row.row.username
            ),
            false => row.row.username.clone(),
        },
        now,
    )
    .await?;
    store::count(&mut tx, gone.connection_type, 1).await?;
    let response = answer(&mut tx, &secrets, &operator, row, now).await?;
    tx.commit().await?;
    Ok(response)
}

/// Why a child account has no time of its own.
pub(super) fn follows_parent() -> ApiError {
    ApiError::conflict(
        "FOLLOWS_PARENT",
        "A child account has its parent's time; change the parent",
    )
}

/// So many notes on one customer.
const MOST_NOTES: i64 = 500;
/// Longer than that, nobody comes back.
const LONGEST_PAUSE: Duration = Duration::from_secs(366 * 86_400);
