//! Who did what, when, from where, and what it was before. Insert-only; sealed into the tenant's chain. Words
//! that name a person may be blanked on his wish or when they are old: `ledger::blank`, by `privacy`.

mod store;

use std::net::IpAddr;
use std::sync::Arc;

use easyisp_shared::id::{AgentId, AuditId, OperatorId};
use easyisp_shared::time::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use crate::db::Tx;

pub use store::{First, Line, Wanted, count, lines};

/// Who did it.
#[derive(Clone, Debug)]
pub struct Actor {
    kind: ActorKind,
    id: Option<Uuid>,
    name: String,
    address: Option<IpAddr>,
    request_id: Option<Arc<str>>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, sqlx::Type)]
#[sqlx(type_name = "text", rename_all = "UPPERCASE")]
enum ActorKind {
    Operator,
    Platform,
    Agent,
    Provider,
    System,
}

impl Actor {
    /// A person of the tenant; [`Actor::from`] of an operator says more.
    pub fn person(id: OperatorId, name: &str, address: IpAddr) -> Actor {
        Actor {
            kind: ActorKind::Operator,
            id: Some(id.0),
            name: name.to_owned(),
            address: Some(address),
            request_id: None,
        }
    }

    /// The same actor as one of the platform's own people.
    #[must_use]
    pub fn of_platform(self) -> Actor {
        Actor {
            kind: ActorKind::Platform,
            ..self
        }
    }

    /// The same actor with the request in which he acts.
    #[must_use]
    pub fn in_request(self, id: Arc<str>) -> Actor {
        Actor {
            request_id: Some(id),
            ..self
        }
    }

    /// The platform itself, without a person.
    pub fn system() -> Actor {
        Actor::without_request(ActorKind::System, None, "system".to_owned())
    }

    /// An agent.
    pub fn agent(agent: AgentId) -> Actor {
        Actor::without_request(ActorKind::Agent, Some(agent.0), "agent".to_owned())
    }

    /// A payment or message provider, by name.
    pub fn provider(name: impl Into<String>) -> Actor {
        Actor::without_request(ActorKind::Provider, None, name.into())
    }

    /// The operator's id, when it is one.
    pub fn operator_id(&self) -> Option<Uuid> {
        match self.kind {
            ActorKind::Operator | ActorKind::Platform => self.id,
            ActorKind::Agent | ActorKind::Provider | ActorKind::System => None,
        }
    }

    /// The name people read.
    pub fn name(&self) -> &str {
        &self.name
    }

    fn without_request(kind: ActorKind, id: Option<Uuid>, name: String) -> Actor {
        Actor {
            kind,
            id,
            name,
            address: None,
            request_id: None,
        }
    }
}

/// What was done. The names are the web client's.
#[derive(
    Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize, sqlx::Type, utoipa::ToSchema,
)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[sqlx(type_name = "text", rename_all = "SCREAMING_SNAKE_CASE")]
#[expect(missing_docs, reason = "each says itself")]
pub enum Action {
    MacReset,
    CustomerCreate,
    PaymentProcess,
    RouterReboot,
    PackageChange,
    ManualRecharge,
    ExpiryUpdate,
    UnlockCode,
    UnlockCodeUse,
    TransactionResolve,
    AccountDelete,
    InfoUpdate,
    Login,
    Logout,
    TenantUpdate,
    OperatorCreate,
    OperatorUpdate,
    OperatorDelete,
    PasswordReset,
    PasswordChange,
    CustomerUpdate,
    CustomerDelete,
    MacLock,
    CustomerDisconnect,
    SessionSync,
    SessionSearch,
    CustomerSuspend,
    CustomerActivate,
    CustomerPause,
    CustomerResume,
    CustomerRestore,
    CustomerPromise,
    CustomerNoteCreate,
    CustomerNoteDelete,
    OverridePlan,
    SpeedBoost,
    AssignStaticIp,
    SendMessage,
    PaymentRefund,
    PaymentInquire,
    RefundRequest,
    RefundApprove,
    RefundDecline,
    RefundSettle,
    CollectingUpdate,
    SettlementSettle,
    TopUpSettle,
    StrayAssign,
    RouterCreate,
    RouterUpdate,
    RouterDelete,
    RouterTokenCreate,
    RouterRegister,
    RouterCertificate,
    RouterCertificateEnd,
    RouterScript,
    RouterSetup,
    RouterRepair,
    RouterBackup,
    RouterRestore,
    RouterFirmwareCheck,
    RolloutCreate,
    RolloutPause,
    RolloutResume,
    RolloutStop,
    RolloutEnd,
    RouterQueueCreate,
    RouterQueueUpdate,
    RouterQueueDelete,
    RouterMonitor,
    RouterLoginCreate,
    RouterLoginUpdate,
    RouterLoginDelete,
    VoucherGenerate,
    VoucherDelete,
    VoucherRedeem,
    VoucherConflict,
    SmsSend,
    SettingsUpdate,
    VpnPeerCreate,
    VpnPeerDelete,
    VpnPeerEnable,
    VpnPeerDisable,
    TicketCreate,
    TicketUpdate,
    TicketAssign,
    TicketResolve,
    TicketDelete,
    TenantCreate,
    TenantActivate,
    PackageCreate,
    PackageUpdate,
    PackageDelete,
    SiteCreate,
    SiteUpdate,
    AgentTokenCreate,
    AgentEnroll,
    AgentConfirm,
    AgentRevoke,
    AuditExport,
    LoginConfirm,
    SessionStolen,
    AuditRedact,
    CustomerDataExport,
    CustomerImport,
    CustomerExport,
    PackageImport,
    PackageExport,
    PaymentExport,
    ListExport,
    ImportUndo,
    CustomerErase,
    SecondFactorBegin,
    SecondFactorEnable,
    SecondFactorDisable,
    ApiKeyCreate,
    ApiKeyRevoke,
    WebhookCreate,
    WebhookUpdate,
    WebhookDelete,
    WebhookRotate,
    WebhookTest,
    WebhookReplay,
    WebhookOff,
    TenantSuspend,
    TenantReactivate,
    TenantExtend,
    TenantTopUp,
    TenantDelete,
    TenantPurge,
    SupportEnter,
    LedgerAccountCreate,
    LedgerAccountDelete,
    IncomeCreate,
    IncomeVoid,
    ExpenseCreate,
    ExpenseVoid,
    ExpenseStop,
    BooksLock,
    BooksExport,
    TaxUpdate,
    InvoiceCreate,
    InvoiceUpdate,
    OutageExtend,
    OutageRepay,
    BillingUpdate,
    PrepaidUpdate,
    SellerUpdate,
    SellerFloat,
    CustomerBilling,
    FiscalUpdate,
    FiscalRetry,
    AlertAcknowledge,
    AlertUpdate,
    AccessOpen,
    AccessEnter,
    AccessClose,
}

/// One line of the trail. Never a secret, in any field.
#[derive(Clone, Debug)]
pub struct Audit<'a> {
    /// What was done.
    pub action: Action,
    /// To what kind of thing: `customer`.
    pub target_type: &'static str,
    /// To which.
    pub target_id: Option<Uuid>,
    /// What people call it.
    pub target_name: &'a str,
    /// For people, may be empty.
    pub details: String,
    /// The state before, where that tells something.
    pub before: Option<Value>,
    /// The state after.
    pub after: Option<Value>,
}

impl<'a> Audit<'a> {
    /// Without details; fill in the rest with struct update syntax.
    pub fn new(
        action: Action,
        target_type: &'static str,
        target_id: impl Into<Uuid>,
        target_name: &'a str,
    ) -> Audit<'a> {
        Audit {
            action,
            target_type,
            target_id: Some(target_id.into()),
            target_name,
            details: String::new(),
            before: None,
            after: None,
        }
    }
}

/// Writes one line and notes it for the sealer, in one statement.
pub async fn record(
    tx: &mut Tx,
    actor: &Actor,
    audit: Audit<'_>,
    now: Timestamp,
) -> sqlx::Result<AuditId> {
    let id = AuditId::new(now, &tx.entropy());
    store::insert(tx, actor, &[(id, audit)], now).await?;
    Ok(id)
}

/// Writes many lines of one actor, as [`record`] does one, in one statement.
pub async fn record_all(
    tx: &mut Tx,
    actor: &Actor,
    lines: Vec<Audit<'_>>,
    now: Timestamp,
) -> sqlx::Result<()> {
    let entropy = tx.entropy();
    let lines: Vec<(AuditId, Audit<'_>)> = lines
        .into_iter()
        .map(|line| (AuditId::new(now, &entropy), line))
        .collect();
    match lines.is_empty() {
        true => Ok(()),
        false => store::insert(tx, actor, &lines, now).await,
    }
}
