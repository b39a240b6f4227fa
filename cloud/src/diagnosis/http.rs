//! `/api/customers/{customer}/diagnosis`.

use std::time::Duration;

use axum::extract::State;
use easyisp_shared::diagnosis::{Agent, Cause, Diagnosis, Facts, diagnose, merge};
use easyisp_shared::id::{CustomerId, SiteId};
use easyisp_shared::time::{Clock, Timestamp};
use easyisp_shared::wire::diagnosis::DiagnosisV1;
use easyisp_shared::wire::question::{Question, Reply};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa::openapi::schema::{Object, ObjectBuilder, Type};

use super::gather::{self, Known};
use crate::api::{Json, Path};
use crate::auth::Operator;
use crate::customers::Deed;
use crate::db::Database;
use crate::error::ApiError;
use crate::sites::Live;
use crate::sites::live::Silence;

/// Why a customer is offline: the one cause that an experienced person would name.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct WhyOffline {
    customer_id: CustomerId,
    /// Whether a session of his is open, be it only in the walled garden or outside the system; while the
    /// site is away: whether one was open when it was last heard of.
    online: bool,
    /// The cause, for programs. `ONLINE` says that he is not offline at all.
    #[schema(schema_with = causes)]
    cause: &'static str,
    /// The cause in a sentence, with its names.
    sentence: String,
    /// What shows it: what decides first, then what else is known of him, the latest first.
    evidence: Vec<DiagnosisEvidence>,
    /// The one thing to do.
    action: String,
    /// Whose word it is.
    source: DiagnosisSource,
    /// Why the site did not answer though it is there; what is said then may be some minutes old.
    doubt: Option<String>,
    site: DiagnosisSite,
}

/// Something that is known.
#[derive(Serialize, ToSchema)]
pub struct DiagnosisEvidence {
    /// When it was so; null for what holds now.
    at: Option<Timestamp>,
    text: String,
}

/// Whose word an answer is.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum DiagnosisSource {
    /// The site's, asked now, and through it his router's.
    Site,
    /// What the cloud had heard before.
    Cloud,
}

/// Where he is, or belongs.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct DiagnosisSite {
    id: SiteId,
    name: String,
    /// Whether an agent of it is connected.
    connected: bool,
    /// When one was last heard of.
    last_seen: Option<Timestamp>,
}

/// `GET /api/customers/{customer}/diagnosis`: why he is offline: one cause, the evidence, one action.
///
/// His site is asked, and asks his router where it can: this may take some seconds. While it is away the
/// answer is `AGENT_DOWN` with since when, and what was known before as evidence. The id of a voucher that
/// nobody used is taken too. 404 when this tenant has no such customer.
#[utoipa::path(get, path = "/api/customers/{customer}/diagnosis", tag = "Customers",
    params(("customer" = CustomerId, Path)), responses((status = 200, body = WhyOffline),
        (status = 502, description = "The device or its site cannot be asked"),
        (status = 504, description = "It did not answer in time")))]
pub async fn diagnosis(
    operator: Operator,
    State(db): State<Database>,
    State(clock): State<Clock>,
    State(live): State<Live>,
    Path(customer): Path<CustomerId>,
) -> Result<Json<WhyOffline>, ApiError> {
    let now = clock.now();
    let mut tx = db.begin(operator.tenant).await?;
    let known = gather::known(&mut tx, customer, now).await?;
    tx.rollback().await?;
    let known = known.ok_or(ApiError::NotFound("customer"))?;
    operator.require_any(Deed::View.permissions(known.connection_type))?;

    let question = Question::Diagnose {
        customer,
        username: known.username.clone().into_bytes(),
    };
    let told = live.ask(operator.tenant, known.site, &question, PATIENCE, now);
    let word = match told.await {
        Ok(Reply::Diagnosis(told)) => Word::Site(told),
        Ok(_) => Word::None("The site answered something else.".to_owned()),
        Err(Silence::Offline { heard, .. }) => Word::Away(heard),
        Err(silence @ (Silence::Failed { .. } | Silence::Database)) => {
            Word::None(format!("{silence}."))
        }
    };
    Ok(Json(answer(customer, known, word, now)))
}

/// What came of asking the site.
enum Word {
    Site(Box<DiagnosisV1>),
    Away(Option<Timestamp>),
    None(String),
}

fn answer(customer: CustomerId, known: Known, word: Word, now: Timestamp) -> WhyOffline {
    let (agent, told, source, doubt) = match word {
        Word::Site(told) => {
            let told = merge(*told, known.told, known.agents, now);
            (Agent::Connected, told, DiagnosisSource::Site, None)
        }
        Word::Away(since) => (
            Agent::Away { since },
            known.told,
            DiagnosisSource::Cloud,
            None,
        ),
        Word::None(why) => (
            Agent::Connected,
            known.told,
            DiagnosisSource::Cloud,
            Some(why),
        ),
    };
    let facts = Facts {
        now,
        site: known.site_name,
        agent,
        told,
        elsewhere: known.elsewhere,
        voucher: known.voucher,
    };
    let Diagnosis {
        cause,
        online,
        sentence,
        evidence,
        action,
    } = diagnose(&facts);
    let (connected, last_seen) = match agent {
        Agent::Connected => (true, known.last_seen),
        Agent::Away { since } => (false, since),
    };
    WhyOffline {
        customer_id: customer,
        online,
        cause: cause.code(),
        sentence,
        evidence: evidence
            .into_iter()
            .map(|line| DiagnosisEvidence {
                at: line.at,
                text: line.text,
            })
            .collect(),
        action,
        source,
        doubt,
        site: DiagnosisSite {
            id: known.site,
            name: facts.site,
            connected,
            last_seen,
        },
    }
}

/// Every word there is.
fn causes() -> Object {
    let words = Cause::ALL.iter().map(|cause| cause.code());
    ObjectBuilder::new()
        .schema_type(Type::String)
        .enum_values(Some(words))
        .build()
}

/// A page waits for it; the site waits up to three times for a router that is silent.
const PATIENCE: Duration = Duration::from_secs(6);
