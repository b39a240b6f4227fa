//! `/api/fiscal`: how a tenant reports its documents, what became of each, and what is missing.

use axum::extract::State as Piece;
use easyisp_shared::id::InvoiceId;
use easyisp_shared::time::{Clock, Timestamp};
use jiff::ToSpan;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::SUBMIT;
use super::jobs::KEY;
use super::store::{self, Row, Settings};
use super::words::{Provider, Reported, State};
use crate::api::{Json, Masked, Page, Path, Query, Said, blank, is_masked};
use crate::audit::{self, Action, Actor, Audit};
use crate::auth::Operator;
use crate::db::{Database, Tx};
use crate::due;
use crate::error::{ApiError, Wrong};
use crate::finance::Moment;
use crate::invoices::{self, ISSUED};
use crate::ledger;
use crate::secrets::Secrets;

/// How a tenant reports.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct FiscalSettings {
    /// Null = to nobody.
    provider: Option<Provider>,
    enabled: bool,
    /// Whether to the system that counts, or to the one for tries.
    production: bool,
    taxpayer_pin: String,
    branch: String,
    control_unit: String,
    /// Null = none is set.
    key: Option<Masked>,
    item_code: String,
    item_class: String,
    vat_name: String,
}

impl From<Option<Settings>> for FiscalSettings {
    fn from(settings: Option<Settings>) -> FiscalSettings {
        match settings {
            None => FiscalSettings {
                provider: None,
                enabled: false,
                production: false,
                taxpayer_pin: String::new(),
                branch: HEAD_OFFICE.to_owned(),
                control_unit: String::new(),
                key: None,
                item_code: String::new(),
                item_class: String::new(),
                vat_name: VAT.to_owned(),
            },
            Some(settings) => FiscalSettings {
                provider: Some(settings.provider),
                enabled: settings.enabled,
                production: settings.production,
                taxpayer_pin: settings.taxpayer,
                branch: settings.branch,
                control_unit: settings.control_unit,
                key: Some(Masked),
                item_code: settings.item_code,
                item_class: settings.item_class,
                vat_name: settings.vat_name,
            },
        }
    }
}

const HEAD_OFFICE: &str = "00";
const VAT: &str = "VAT";

/// `GET /api/fiscal/settings`: how documents are reported; the key masked.
#[utoipa::path(get, path = "/api/fiscal/settings", tag = "Invoices",
    responses((status = 200, body = FiscalSettings)))]
pub async fn get(
    operator: Operator,
    Piece(db): Piece<Database>,
) -> Result<Json<FiscalSettings>, ApiError> {
    let mut tx = db.begin(operator.tenant).await?;
    Ok(Json(store::settings(&mut tx).await?.into()))
}

/// What a client says of it.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct FiscalRequest {
    #[serde(default, deserialize_with = "blank::option")]
    provider: Option<Provider>,
    #[serde(default, deserialize_with = "blank::option")]
    enabled: Option<bool>,
    #[serde(default, deserialize_with = "blank::option")]
    production: Option<bool>,
    /// `P051234567X`.
    #[serde(default, deserialize_with = "blank::option")]
    taxpayer_pin: Option<String>,
    /// Two digits; `00`, the head office, when left out.
    #[serde(default, deserialize_with = "blank::option")]
    branch: Option<String>,
    /// `KRACU0100000001`.
    #[serde(default, deserialize_with = "blank::option")]
    control_unit: Option<String>,
    /// What the state's system gave when the device was made known there. Masked or empty = unchanged.
    #[serde(default, deserialize_with = "blank::option")]
    key: Option<String>,
    /// What is sold, as it is registered there: `KE3NTU0000001`.
    #[serde(default, deserialize_with = "blank::option")]
    item_code: Option<String>,
    /// Its class there: `8111150000`.
    #[serde(default, deserialize_with = "blank::option")]
    item_class: Option<String>,
    /// Which of the taxes is value added tax; `VAT` when left out.
    #[serde(default, deserialize_with = "blank::option")]
    vat_name: Option<String>,
    /// What becomes of what was reported already, when reports go to another system, taxpayer, branch or device from now
    /// on: `AGAIN` = it is reported there as well, from number one (only where it went to the system for tries), `KEEP` =
    /// it stays, and what comes goes on with the next number.
    #[serde(default, deserialize_with = "blank::option")]
    reported: Option<Reported>,
}

/// `PUT /api/fiscal/settings`: changes it as a whole. The first time, what is issued from then on is reported; what was
/// issued while it was off is reported when it is on again. Errors: 400 naming the fields; 409 `DOCUMENTS_REPORTED`
/// when documents were reported elsewhere and nothing says what becomes of them (`reported`).
#[utoipa::path(put, path = "/api/fiscal/settings", tag = "Invoices", request_body = FiscalRequest,
    responses((status = 200, body = FiscalSettings)))]
pub async fn set(
    operator: Operator,
    Piece(db): Piece<Database>,
    Piece(clock): Piece<Clock>,
    Piece(secrets): Piece<Secrets>,
    Json(request): Json<FiscalRequest>,
) -> Result<Json<FiscalSettings>, ApiError> {
    let now = clock.now();
    let mut tx = db.begin(operator.tenant).await?;
    let before = store::lock_settings(&mut tx).await?;
    let key = secrets.tenant(&mut tx).await?;
    let given = request.key.filter(|text| !is_masked(text));
    let mut wrong = Wrong::default();
    let key_sealed = match (given, &before) {
        (Some(text), _) => {
            if text.len() > 500 || !text.bytes().all(|byte| (0x21..0x7f).contains(&byte)) {
                wrong.add("key", "must have at most 500 letters and digits");
            }
            key.seal(KEY, operator.tenant.0, text.as_bytes())
        }
        (None, Some(before)) => before.key_sealed.clone(),
        (None, None) => {
            wrong.add("key", "is required");
            Vec::new()
        }
    };
    if request.provider.is_none() {
        wrong.add("provider", "is required: KE_ETIMS");
    }
    let mut word = |field: &str, text: Option<String>, is: fn(&str) -> bool, must: &str| {
        let text = text.unwrap_or_default().trim().to_owned();
        if !is(&text) {
            wrong.add(field, must);
        }
        text
    };
    let taxpayer = word(
        "taxpayerPin",
        request.taxpayer_pin.map(|pin| pin.to_uppercase()),
        is_pin,
        "must be a PIN like P051234567X",
    );
    let branch = request.branch.or(Some(HEAD_OFFICE.to_owned()));
    let branch = word("branch", branch, is_branch, "must be two digits");
    let code = "must have 1 to 20 letters and digits";
    let control_unit = word("controlUnit", request.control_unit, is_code, code);
    let item_code = word("itemCode", request.item_code, is_code, code);
    let item_class = word("itemClass", request.item_class, is_code, code);
    let vat_name = request.vat_name.or(Some(VAT.to_owned()));
    let vat_name = word("vatName", vat_name, is_name, "must have 1 to 60 characters");
    wrong.none_or(()).map_err(ApiError::fields)?;

    let (invoices, notes) = match &before {
        Some(before) => (
            (before.invoice_year, before.invoice_serial),
            (before.note_year, before.note_serial),
        ),
        None => invoices::report::last_places(&mut tx).await?,
    };
    let mut wanted = Settings {
        provider: request.provider.unwrap_or(Provider::KeEtims),
        enabled: request.enabled.unwrap_or(true),
        production: request.production.unwrap_or(false),
        taxpayer,
        branch,
        control_unit,
        key_sealed,
        item_code,
        item_class,
        vat_name,
        invoice_year: invoices.0,
        invoice_serial: invoices.1,
        note_year: notes.0,
        note_serial: notes.1,
        last_serial: before.as_ref().map_or(0, |before| before.last_serial),
    };
    if let Some(before) = before.as_ref().filter(|before| before.last_serial > 0)
        && moves(before, &wanted)
    {
        begin_anew(&mut tx, before, request.reported, &mut wanted).await?;
    }
    store::put_settings(&mut tx, &wanted, now).await?;
    let line = Audit {
        details: format!(
            "{:?} for {}, {}",
            wanted.provider,
            wanted.taxpayer,
            if wanted.enabled { "on" } else { "off" }
        ),
        ..Audit::new(
            Action::FiscalUpdate,
            "tenant",
            operator.tenant,
            "fiscal receipts",
        )
    };
    audit::record(&mut tx, &Actor::from(&operator), line, now).await?;
    due::at(&mut tx, ISSUED, operator.tenant, now).await?;
    due::at(&mut tx, SUBMIT, operator.tenant, now).await?;
    tx.commit().await?;
    Ok(Json(Some(wanted).into()))
}

/// Whether reports go somewhere else.
fn moves(before: &Settings, wanted: &Settings) -> bool {
    let place = |one: &Settings| {
        let Settings {
            production,
            taxpayer,
            branch,
            control_unit,
            ..
        } = one.clone();
        (production, taxpayer, branch, control_unit)
    };
    place(before) != place(wanted)
}

/// Numbers that one system gave say nothing to another: what becomes of them is a person's choice.
async fn begin_anew(
    tx: &mut Tx,
    before: &Settings,
    reported: Option<Reported>,
    wanted: &mut Settings,
) -> Result<(), ApiError> {
    match reported {
        None => Err(ApiError::conflict(
            "DOCUMENTS_REPORTED",
            format!(
                "{} documents were numbered for another system, taxpayer or device: send reported=AGAIN to report \
                 those of the system for tries here as well, from number one, or reported=KEEP to leave them and go on \
                 with the next number",
                before.last_serial
            ),
        )),
        Some(Reported::Keep) => Ok(()),
        Some(Reported::Again) if before.production => Err(ApiError::field(
            "reported",
            "must be KEEP: the documents were reported to the system that counts, and are there",
        )),
        Some(Reported::Again) => {
            if let Some(first) = store::forget_reported(tx).await?
                && let Some((year, serial)) =
                    invoices::report::place_of(tx, InvoiceId(first)).await?
            {
                (wanted.invoice_year, wanted.invoice_serial) = (year, serial - 1);
            }
            // A credit note on an invoice that is not reported is passed over.
            (wanted.note_year, wanted.note_serial) = (0, 0);
            wanted.last_serial = 0;
            Ok(())
        }
    }
}

fn is_pin(text: &str) -> bool {
    let bytes = text.as_bytes();
    matches!(bytes, [first, digits @ .., last]
        if bytes.len() == 11 && first.is_ascii_uppercase() && last.is_ascii_uppercase()
            && digits.iter().all(u8::is_ascii_digit))
}

fn is_branch(text: &str) -> bool {
    text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_code(text: &str) -> bool {
    (1..=20).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

fn is_name(text: &str) -> bool {
    (1..=60).contains(&text.chars().count()) && !text.chars().any(char::is_control)
}

/// A document that is reported.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct FiscalDocument {
    /// The invoice's or the credit note's id.
    id: Uuid,
    /// `INVOICE` or `CREDIT_NOTE`.
    kind: String,
    number: String,
    /// By which it is known there; null = it has not been taken in yet.
    fiscal_number: Option<i64>,
    state: State,
    attempts: i32,
    /// When it is tried next; null where that is over.
    next_try: Option<Timestamp>,
    /// Why it is not signed, and what to do.
    problem: Option<String>,
    issued_at: Timestamp,
    settled_at: Option<Timestamp>,
}

impl From<Row> for FiscalDocument {
    fn from(row: Row) -> FiscalDocument {
        let open = matches!(row.state, State::Waiting | State::Unknown);
        FiscalDocument {
            id: row.document_id,
            kind: row.kind,
            number: row.number,
            fiscal_number: row.serial,
            state: row.state,
            attempts: row.attempts,
            next_try: open.then_some(row.due_at),
            problem: row.problem,
            issued_at: row.issued_at,
            settled_at: row.settled_at,
        }
    }
}

/// A page of documents.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct FiscalDocumentPage {
    documents: Vec<FiscalDocument>,
    total: i64,
    page: u32,
    page_size: u32,
}

/// Which documents.
#[derive(Deserialize, utoipa::IntoParams)]
pub struct Filter {
    /// `WAITING`, `UNKNOWN`, `SIGNED`, `ACCEPTED` or `REFUSED`.
    #[param(inline)]
    state: Option<State>,
}

/// `GET /api/fiscal/documents`: what is reported, the newest first.
#[utoipa::path(get, path = "/api/fiscal/documents", tag = "Invoices",
    params(("page" = Option<u32>, Query), ("pageSize" = Option<u32>, Query), Filter),
    responses((status = 200, body = FiscalDocumentPage)))]
pub async fn list(
    operator: Operator,
    Piece(db): Piece<Database>,
    page: Page,
    Query(filter): Query<Filter>,
) -> Result<Json<FiscalDocumentPage>, ApiError> {
    let mut tx = db.begin(operator.tenant).await?;
    let (rows, total) = store::page(&mut tx, filter.state, page).await?;
    Ok(Json(FiscalDocumentPage {
        documents: rows.into_iter().map(FiscalDocument::from).collect(),
        total,
        page: page.number,
        page_size: page.size,
    }))
}

/// `POST /api/fiscal/documents/{document}/retry`: sends a document now that was refused or is waited for, under the
/// number that it has. Errors: 404; 409 `FISCAL_SETTLED` for one that is there already.
#[utoipa::path(post, path = "/api/fiscal/documents/{document}/retry", tag = "Invoices",
    params(("document" = Uuid, Path)), responses((status = 200, body = Said)))]
pub async fn retry(
    operator: Operator,
    Piece(db): Piece<Database>,
    Piece(clock): Piece<Clock>,
    Path(document): Path<Uuid>,
) -> Result<Json<Said>, ApiError> {
    let now = clock.now();
    let mut tx = db.begin(operator.tenant).await?;
    let number = store::again(&mut tx, document, now).await?;
    let number = number.ok_or(ApiError::NotFound("document"))?;
    let number = number.ok_or_else(|| {
        ApiError::conflict(
            "FISCAL_SETTLED",
            "The state's system has this document; it is not sent twice",
        )
    })?;
    let line = Audit::new(Action::FiscalRetry, "document", document, &number);
    audit::record(&mut tx, &Actor::from(&operator), line, now).await?;
    due::at(&mut tx, SUBMIT, operator.tenant, now).await?;
    tx.commit().await?;
    Ok(Json(Said::done(format!("{number} is sent again"))))
}

/// Which days.
#[derive(Deserialize, utoipa::IntoParams)]
pub struct Days {
    /// The last day: `2027-01-15`; today when left out.
    #[param(value_type = Option<String>)]
    until: Option<Moment>,
    /// How many days up to it: 1 to 31; 7 when left out.
    days: Option<i32>,
}

/// A day's documents.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct FiscalDay {
    /// The tenant's: `2027-01-15`.
    day: String,
    issued: i64,
    signed: i64,
    /// At most 200 of those that are not signed.
    missing: Vec<FiscalDocument>,
}

/// What is missing, day by day.
#[derive(Serialize, ToSchema)]
pub struct FiscalGaps {
    /// The newest first.
    days: Vec<FiscalDay>,
}

/// `GET /api/fiscal/gaps`: for each day how many documents were issued and how many of them are signed, and which are
/// not, with why. Errors: 400 naming `until` or `days`.
#[utoipa::path(get, path = "/api/fiscal/gaps", tag = "Invoices", params(Days),
    responses((status = 200, body = FiscalGaps)))]
pub async fn gaps(
    operator: Operator,
    Piece(db): Piece<Database>,
    Piece(clock): Piece<Clock>,
    Query(wanted): Query<Days>,
) -> Result<Json<FiscalGaps>, ApiError> {
    let count = wanted.days.unwrap_or(7);
    if !(1..=31).contains(&count) {
        return Err(ApiError::field("days", "must be 1 to 31"));
    }
    let mut tx = db.begin(operator.tenant).await?;
    let zone = ledger::zone(&mut tx).await?;
    let last = wanted.until.unwrap_or(Moment::At(clock.now())).day(&zone);
    let mut days = Vec::new();
    for back in 0..count {
        let day = last.saturating_sub(i64::from(back).days());
        let (from, to) = (
            midnight(day, &zone),
            midnight(day.saturating_add(1.day()), &zone),
        );
        let (issued, signed) = store::counts(&mut tx, from, to).await?;
        let missing = match issued == signed {
            true => Vec::new(),
            false => store::missing(&mut tx, from, to, MOST_MISSING).await?,
        };
        days.push(FiscalDay {
            day: day.to_string(),
            issued,
            signed,
            missing: missing.into_iter().map(FiscalDocument::from).collect(),
        });
    }
    Ok(Json(FiscalGaps { days }))
}

fn midnight(day: Date, zone: &TimeZone) -> Timestamp {
    let begins = day.to_zoned(zone.clone());
    begins.map_or(Timestamp::from_micros(i64::MAX), |begins| {
        Timestamp::from_jiff(begins.timestamp())
    })
}

const MOST_MISSING: i64 = 200;
