//! `/api/snmp/alerts`: what goes on, who knows, when something is told, and to whom.

use axum::extract::State;
use easyisp_shared::id::{AlertId, OperatorId, RouterId, SiteId};
use easyisp_shared::time::{Clock, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use super::rules::Rule;
use super::store::{self, Settings, Which};
use super::words::{Kind, Severity, Tell};
use crate::api::{Json, Path, Query, blank};
use crate::audit::{self, Action, Actor, Audit};
use crate::auth::Operator;
use crate::db::{Database, Tx};
use crate::error::ApiError;

/// An alert.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Alert {
    id: AlertId,
    severity: Severity,
    rule: Kind,
    /// What it is about: a router's name, a site's, a refund or a settlement.
    device: String,
    /// Null for a refund and a settlement.
    site_id: Option<SiteId>,
    /// Null for a whole site.
    nas_id: Option<RouterId>,
    /// An interface, a sensor or a pool, or how much; empty for the device itself.
    subject: String,
    /// What was measured when it was told.
    value: Option<f64>,
    message: String,
    /// Since when it is so.
    timestamp: Timestamp,
    /// Null while it goes on.
    cleared_at: Option<Timestamp>,
    /// How often it came back before it was over for good.
    flaps: i32,
    /// When somebody said that he knows.
    acknowledged_at: Option<Timestamp>,
    acknowledged_by: Option<OperatorId>,
    note: Option<String>,
}

impl From<store::Alert> for Alert {
    fn from(alert: store::Alert) -> Alert {
        Alert {
            id: alert.id,
            severity: alert.severity,
            rule: alert.rule,
            device: alert.device,
            site_id: alert.site_id,
            nas_id: alert.router_id,
            subject: alert.subject,
            value: alert.value,
            message: alert.message,
            timestamp: alert.raised_at,
            cleared_at: alert.cleared_at,
            flaps: alert.flaps,
            acknowledged_at: alert.acknowledged_at,
            acknowledged_by: alert.acknowledged_by,
            note: alert.note,
        }
    }
}

/// Alerts.
#[derive(Serialize, ToSchema)]
pub struct Alerts {
    /// The newest first, at most 1000.
    alerts: Vec<Alert>,
    summary: Summary,
}

/// How many go on.
#[derive(Serialize, ToSchema)]
#[schema(as = AlertSummary)]
pub struct Summary {
    critical: usize,
    warning: usize,
    info: usize,
}

/// Which alerts.
#[derive(Deserialize, utoipa::IntoParams)]
pub struct Filter {
    /// Also those that are over, of 90 days.
    all: Option<bool>,
}

/// `GET /api/snmp/alerts`: what a person should know of sites and routers: what goes on, with `all=true` also
/// what is over. What stands behind a site or router that is away is not listed for it.
#[utoipa::path(get, path = "/api/snmp/alerts", tag = "SNMP", params(Filter),
    responses((status = 200, body = Alerts)))]
pub async fn list(
    operator: Operator,
    State(db): State<Database>,
    Query(filter): Query<Filter>,
) -> Result<Json<Alerts>, ApiError> {
    let which = match filter.all {
        Some(true) => Which::All,
        Some(false) | None => Which::Open,
    };
    let mut tx = db.begin(operator.tenant).await?;
    let alerts = store::list(&mut tx, which, MOST).await?;
    let open = |severity| {
        let open = alerts.iter().filter(|alert| alert.cleared_at.is_none());
        open.filter(|alert| alert.severity == severity).count()
    };
    Ok(Json(Alerts {
        summary: Summary {
            critical: open(Severity::Critical),
            warning: open(Severity::Warning),
            info: open(Severity::Info),
        },
        alerts: alerts.into_iter().map(Alert::from).collect(),
    }))
}

/// A word to the others.
#[derive(Deserialize, ToSchema)]
pub struct AcknowledgeRequest {
    /// At most 200 characters.
    #[serde(default, deserialize_with = "blank::option")]
    note: Option<String>,
}

/// `POST /api/snmp/alerts/{alert}/acknowledge`: somebody knows, and the others see who. A second one changes the
/// note alone. Errors: 400 for a note that is too long, 404.
#[utoipa::path(post, path = "/api/snmp/alerts/{alert}/acknowledge", tag = "SNMP",
    params(("alert" = AlertId, Path)), request_body = AcknowledgeRequest,
    responses((status = 200, body = Alert)))]
pub async fn acknowledge(
    operator: Operator,
    State(db): State<Database>,
    State(clock): State<Clock>,
    Path(alert): Path<AlertId>,
    Json(request): Json<AcknowledgeRequest>,
) -> Result<Json<Alert>, ApiError> {
    let now = clock.now();
    let note = request.note.as_deref().map(str::trim);
    if note.is_some_and(|note| note.chars().count() > 200 || note.contains('\0')) {
        return Err(ApiError::field("note", "must have at most 200 characters"));
    }
    let mut tx = db.begin(operator.tenant).await?;
    let alert = store::acknowledge(&mut tx, alert, operator.id, note, now).await?;
    let alert = alert.ok_or(ApiError::NotFound("alert"))?;
    let line = Audit {
        details: alert.message.clone(),
        ..Audit::new(Action::AlertAcknowledge, "alert", alert.id, &alert.device)
    };
    audit::record(&mut tx, &Actor::from(&operator), line, now).await?;
    tx.commit().await?;
    Ok(Json(alert.into()))
}

/// When something is told, and to whom.
#[derive(Serialize, ToSchema)]
#[schema(as = AlertRules)]
pub struct Rules {
    rules: Vec<NamedRule>,
    notify: Notify,
}

/// A rule with its name.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct NamedRule {
    rule: Kind,
    #[serde(flatten)]
    content: Rule,
    /// Whether it is as usual.
    is_default: bool,
}

/// Who is told.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = AlertNotify)]
pub struct Notify {
    /// These people, at most 20; null = the owners.
    #[serde(default)]
    operator_ids: Option<Vec<OperatorId>>,
    /// From which severity on by SMS; `off` = never.
    sms: Tell,
    /// From which severity on by e-mail.
    email: Tell,
}

impl From<Settings> for Notify {
    fn from(settings: Settings) -> Notify {
        Notify {
            operator_ids: settings.operators,
            sms: settings.sms,
            email: settings.email,
        }
    }
}

/// `GET /api/snmp/alert-rules`: when something is told, and to whom; as usual where nothing was changed.
#[utoipa::path(get, path = "/api/snmp/alert-rules", tag = "SNMP",
    responses((status = 200, body = Rules)))]
pub async fn rules(
    operator: Operator,
    State(db): State<Database>,
) -> Result<Json<Rules>, ApiError> {
    let mut tx = db.begin(operator.tenant).await?;
    Ok(Json(shown(&mut tx).await?))
}

async fn shown(tx: &mut Tx) -> Result<Rules, ApiError> {
    let changed = store::changed_rules(tx).await?;
    let named = |rule: Kind| NamedRule {
        rule,
        content: changed.get(&rule).copied().unwrap_or(rule.usual()),
        is_default: !changed.contains_key(&rule),
    };
    Ok(Rules {
        rules: Kind::ALL.into_iter().map(named).collect(),
        notify: store::settings(tx).await?.into(),
    })
}

/// What to change of a rule; what is left out stays.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RuleRequest {
    /// Back to the usual; everything else is ignored.
    #[serde(default, deserialize_with = "blank::option")]
    is_default: Option<bool>,
    #[serde(default, deserialize_with = "blank::option")]
    enabled: Option<bool>,
    #[serde(default, deserialize_with = "blank::option")]
    severity: Option<Severity>,
    #[serde(default, deserialize_with = "blank::option")]
    raise: Option<f64>,
    #[serde(default, deserialize_with = "blank::option")]
    clear: Option<f64>,
    #[serde(default, deserialize_with = "blank::option")]
    delay_secs: Option<u32>,
    #[serde(default, deserialize_with = "blank::option")]
    clear_secs: Option<u32>,
}

/// `PUT /api/snmp/alert-rules/{rule}`: changes one rule, from the next look on. Errors: 400 naming the fields, 404
/// for a rule that there is not.
#[utoipa::path(put, path = "/api/snmp/alert-rules/{rule}", tag = "SNMP",
    params(("rule" = String, Path)), request_body = RuleRequest,
    responses((status = 200, body = Rules)))]
pub async fn set_rule(
    operator: Operator,
    State(db): State<Database>,
    State(clock): State<Clock>,
    Path(rule): Path<String>,
    Json(request): Json<RuleRequest>,
) -> Result<Json<Rules>, ApiError> {
    let now = clock.now();
    let kind = Kind::parse(&rule).ok_or(ApiError::NotFound("rule"))?;
    let mut tx = db.begin(operator.tenant).await?;
    let before = store::changed_rules(&mut tx).await?.remove(&kind);
    let was = before.unwrap_or(kind.usual());
    let wanted = Rule {
        enabled: request.enabled.unwrap_or(was.enabled),
        severity: request.severity.unwrap_or(was.severity),
        raise: request.raise.or(was.raise),
        clear: request.clear.or(was.clear),
        delay_secs: request.delay_secs.unwrap_or(was.delay_secs),
        clear_secs: request.clear_secs.unwrap_or(was.clear_secs),
    };
    let wanted = match request.is_default {
        Some(true) => None,
        Some(false) | None => Some(wanted),
    };
    if let Some(wanted) = &wanted {
        wanted.check(kind).map_err(ApiError::fields)?;
    }
    store::put_rule(&mut tx, kind, wanted.as_ref(), now).await?;
    let line = Audit {
        details: kind.name().to_owned(),
        before: Some(json!(was)),
        after: Some(json!(wanted.unwrap_or(kind.usual()))),
        ..Audit::new(Action::AlertUpdate, "tenant", operator.tenant, kind.name())
    };
    audit::record(&mut tx, &Actor::from(&operator), line, now).await?;
    let body = shown(&mut tx).await?;
    tx.commit().await?;
    Ok(Json(body))
}

/// `PUT /api/snmp/alert-notify`: who is told, as a whole. Whoever may not sign in is told nothing. Errors: 400 for
/// somebody who is none of yours.
#[utoipa::path(put, path = "/api/snmp/alert-notify", tag = "SNMP", request_body = Notify,
    responses((status = 200, body = Rules)))]
pub async fn set_told(
    operator: Operator,
    State(db): State<Database>,
    State(clock): State<Clock>,
    Json(request): Json<Notify>,
) -> Result<Json<Rules>, ApiError> {
    let now = clock.now();
    let mut tx = db.begin(operator.tenant).await?;
    let mut named = request.operator_ids.clone();
    if let Some(named) = &mut named {
        named.sort_unstable();
        named.dedup();
        let known = store::contacts(&mut tx, Some(named)).await?;
        if named.len() > 20 || known.len() != named.len() {
            let wrong = "must be active operators of yours, at most 20";
            return Err(ApiError::field("operatorIds", wrong));
        }
    }
    let before = Notify::from(store::settings(&mut tx).await?);
    let settings = Settings {
        operators: named,
        sms: request.sms,
        email: request.email,
    };
    store::put_settings(&mut tx, &settings).await?;
    let line = Audit {
        before: Some(json!(before)),
        after: Some(json!(Notify::from(settings))),
        ..Audit::new(
            Action::AlertUpdate,
            "tenant",
            operator.tenant,
            "Who is told",
        )
    };
    audit::record(&mut tx, &Actor::from(&operator), line, now).await?;
    let body = shown(&mut tx).await?;
    tx.commit().await?;
    Ok(Json(body))
}

const MOST: i64 = 1_000;
