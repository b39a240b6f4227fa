//! SQL on payments we asked for, and on what providers told us.

pub(super) mod arrivals;
pub(super) mod days;
pub(super) mod gateways;
pub(super) mod inquiries;
pub(super) mod lists;
pub(super) mod owners;
pub(super) mod refunds;
pub(super) mod settlements;
pub(super) mod strays;
pub(super) mod suspense;
pub(super) mod topups;

use easyisp_shared::id::{CustomerId, GatewayId, InboxId, IntentId, PackageId, TenantId};
use easyisp_shared::money::Cents;
use easyisp_shared::time::Timestamp;
use sqlx::{FromRow, Row};
use uuid::Uuid;

use crate::db::{DirectoryTx, Tx};
use crate::due::due_cte;

use super::rules::{Claim, Push, State};
use super::words::GatewayType;

/// A payment we asked for, as its row has it.
#[derive(FromRow, Clone, Debug)]
pub(super) struct Intent {
    pub(super) id: IntentId,
    pub(super) gateway_id: GatewayId,
    pub(super) customer_id: CustomerId,
    pub(super) amount: Cents,
    pub(super) phone_number: String,
    pub(super) account_reference: String,
    state: StateWord,
    pub(super) checkout_request_id: Option<String>,
    pub(super) merchant_request_id: Option<String>,
    pub(super) receipt: Option<String>,
    pub(super) result_code: Option<i32>,
    pub(super) message: Option<String>,
    pub(super) needs_review: Option<String>,
    claimed_receipt: Option<String>,
    claimed_amount: Option<Cents>,
    claimed_at: Option<Timestamp>,
    confirmed_at: Option<Timestamp>,
    pub(super) queried_at: Option<Timestamp>,
    pub(super) created_at: Timestamp,
    pub(super) expires_at: Timestamp,
    pub(super) confirm_above: Cents,
    /// It is asked for through the platform's short code.
    pub(super) platform: bool,
    pub(super) provider: GatewayType,
}

/// A state as the table has it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, sqlx::Type)]
#[sqlx(type_name = "text", rename_all = "UPPERCASE")]
enum StateWord {
    Created,
    Pending,
    Unknown,
    Provisional,
    Posted,
    Refused,
    Expired,
}

impl Intent {
    /// The state machine of this row.
    pub(super) fn push(&self) -> Push {
        let state = match self.state {
            StateWord::Created => State::Created,
            StateWord::Pending => State::Pending,
            StateWord::Unknown => State::Unknown,
            StateWord::Provisional => State::Provisional,
            StateWord::Posted => State::Posted {
                receipt: self.receipt.clone().unwrap_or_default(),
                confirmed: self.confirmed_at.is_some(),
            },
            StateWord::Refused => State::Refused {
                code: self.result_code,
            },
            StateWord::Expired => State::Expired,
        };
        let claim = self.claimed_receipt.clone().map(|receipt| Claim {
            receipt,
            amount: self.claimed_amount,
            paid_at: self.claimed_at,
        });
        Push { state, claim }
    }

    /// Takes over what the state machine says.
    pub(super) fn set(&mut self, push: &Push, now: Timestamp) {
        self.state = match &push.state {
            State::Created => StateWord::Created,
            State::Pending => StateWord::Pending,
            State::Unknown => StateWord::Unknown,
            State::Provisional => StateWord::Provisional,
            State::Posted { receipt, confirmed } => {
                self.receipt = Some(receipt.clone());
                self.result_code = Some(0);
                self.confirmed_at = self.confirmed_at.or(confirmed.then_some(now));
                StateWord::Posted
            }
            State::Refused { code } => {
                self.result_code = *code;
                StateWord::Refused
            }
            State::Expired => StateWord::Expired,
        };
        self.claimed_receipt = push.claim.as_ref().map(|claim| claim.receipt.clone());
        self.claimed_amount = push.claim.as_ref().and_then(|claim| claim.amount);
        self.claimed_at = push.claim.as_ref().and_then(|claim| claim.paid_at);
    }
}

/// Which payment is meant.
#[derive(Clone, Copy, Debug)]
pub(super) enum Which<'a> {
    /// By our own id.
    Id(IntentId),
    /// By M-Pesa's id of the prompt.
    Checkout(&'a str),
}

impl Which<'_> {
    fn id(self) -> Option<IntentId> {
        match self {
            Which::Id(id) => Some(id),
            Which::Checkout(_) => None,
        }
    }

    fn checkout(&self) -> Option<&str> {
        match self {
            Which::Id(_) => None,
            Which::Checkout(checkout) => Some(checkout),
        }
    }
}

macro_rules! intent_columns {
    () => {
        "select i.id, i.gateway_id, i.customer_id, i.amount, i.phone_number, i.account_reference, i.state,
                i.checkout_request_id, i.merchant_request_id, i.receipt, i.result_code, i.message,
                i.needs_review, i.claimed_receipt, i.claimed_amount, i.claimed_at, i.confirmed_at,
                i.queried_at, i.created_at, i.expires_at, g.confirm_above, g.platform,
                g.type as provider
           from intents i
           join gateways g on g.tenant_id = $1 and g.id = i.gateway_id
          where i.tenant_id = $1"
    };
}
use intent_columns;

/// Reads a payment and locks it until the transaction ends: everything that happens to it happens one
/// after the other.
pub(super) async fn lock(tx: &mut Tx, which: Which<'_>) -> sqlx::Result<Option<Intent>> {
    sqlx::query_as(concat!(
        intent_columns!(),
        " and (i.id = $2 or i.checkout_request_id = $3) for update of i"
    ))
    .bind(tx.tenant())
    .bind(which.id())
    .bind(which.checkout())
    .fetch_optional(&mut **tx)
    .await
}

/// Reads and locks the payment that a report which is not proved says was paid with this receipt.
pub(super) async fn lock_claiming(tx: &mut Tx, receipt: &str) -> sqlx::Result<Option<Intent>> {
    sqlx::query_as(concat!(
        intent_columns!(),
        " and i.claimed_receipt = $2 order by i.created_at limit 1 for update of i"
    ))
    .bind(tx.tenant())
    .bind(receipt)
    .fetch_optional(&mut **tx)
    .await
}

/// Writes beside a report the receipt that it is about, so that it is found with its payment.
pub(super) async fn name_receipt(tx: &mut Tx, id: InboxId, receipt: &str) -> sqlx::Result<()> {
    sqlx::query("update payment_inbox set receipt = $3 where tenant_id = $1 and id = $2")
        .bind(tx.tenant())
        .bind(id)
        .bind(receipt)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Reads a payment.
pub(super) async fn find(tx: &mut Tx, which: Which<'_>) -> sqlx::Result<Option<Intent>> {
    sqlx::query_as(concat!(
        intent_columns!(),
        " and (i.id = $2 or i.checkout_request_id = $3)"
    ))
    .bind(tx.tenant())
    .bind(which.id())
    .bind(which.checkout())
    .fetch_optional(&mut **tx)
    .await
}

/// Writes what became of a payment.
pub(super) async fn save(tx: &mut Tx, intent: &Intent, now: Timestamp) -> sqlx::Result<()> {
    sqlx::query(
        "update intents
            set state = $3, checkout_request_id = $4, merchant_request_id = $5, receipt = $6,
                result_code = $7, message = $8, needs_review = $9, claimed_receipt = $10,
                claimed_amount = $11, claimed_at = $12, confirmed_at = $13, queried_at = $14,
                queries = queries + case when queried_at is distinct from $14 then 1 else 0 end,
                updated_at = $15
          where tenant_id = $1 and id = $2",
    )
    .bind(tx.tenant())
    .bind(intent.id)
    .bind(intent.state)
    .bind(&intent.checkout_request_id)
    .bind(&intent.merchant_request_id)
    .bind(&intent.receipt)
    .bind(intent.result_code)
    .bind(&intent.message)
    .bind(&intent.needs_review)
    .bind(&intent.claimed_receipt)
    .bind(intent.claimed_amount)
    .bind(intent.claimed_at)
    .bind(intent.confirmed_at)
    .bind(intent.queried_at)
    .bind(now)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Notes that a person has looked at what is noted of a payment, which stays; `false` where he had before.
pub(super) async fn reviewed(tx: &mut Tx, intent: IntentId, now: Timestamp) -> sqlx::Result<bool> {
    let done = sqlx::query(
        "update intents set reviewed = needs_review, updated_at = $3
          where tenant_id = $1 and id = $2 and nullif(needs_review, reviewed) is not null",
    )
    .bind(tx.tenant())
    .bind(intent)
    .bind(now)
    .execute(&mut **tx)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Whom a prompt is for.
#[derive(FromRow, Clone, Debug)]
pub(super) struct Payer {
    pub(super) account_number: i32,
    pub(super) phone_number: Option<String>,
    pub(super) package_id: Option<PackageId>,
    pub(super) hotspot: bool,
}

/// Reads whom a prompt is for. `None` when there is no such customer.
pub(super) async fn payer(tx: &mut Tx, customer: CustomerId) -> sqlx::Result<Option<Payer>> {
    sqlx::query_as(
        "select account_number, phone_number, package_id, connection_type = 'HOTSPOT' as hotspot
           from customers
          where tenant_id = $1 and id = $2 and deleted_at is null",
    )
    .bind(tx.tenant())
    .bind(customer)
    .fetch_optional(&mut **tx)
    .await
}

/// How busy a phone and a tenant have been.
#[derive(FromRow, Clone, Copy, Debug)]
pub(super) struct Prompts {
    /// Prompts to this phone, other customers' that are open.
    pub(super) open_elsewhere: i64,
    /// Prompts to this phone in the window.
    pub(super) of_phone: i64,
    /// Prompts of the tenant in the last minute.
    pub(super) of_tenant: i64,
}

/// Counts prompts since `phone_since` (this phone) and `tenant_since` (all of the tenant).
pub(super) async fn prompts(
    tx: &mut Tx,
    phone: &str,
    customer: CustomerId,
    phone_since: Timestamp,
    tenant_since: Timestamp,
) -> sqlx::Result<Prompts> {
    sqlx::query_as(
        "select count(*) filter (where phone_number = $2 and customer_id <> $3
                                   and state in ('CREATED', 'PENDING', 'UNKNOWN')) as open_elsewhere,
                count(*) filter (where phone_number = $2) as of_phone,
                count(*) filter (where created_at >= $5) as of_tenant
           from intents
          where tenant_id = $1 and (phone_number = $2 and created_at >= $4 or created_at >= $5)",
    )
    .bind(tx.tenant())
    .bind(phone)
    .bind(customer)
    .bind(phone_since)
    .bind(tenant_since)
    .fetch_one(&mut **tx)
    .await
}

/// A payment that is to be asked for.
#[derive(Clone, Debug)]
pub(super) struct NewIntent {
    pub(super) id: IntentId,
    pub(super) gateway: GatewayId,
    pub(super) customer: CustomerId,
    pub(super) package: Option<PackageId>,
    pub(super) amount: Cents,
    pub(super) phone: String,
    pub(super) reference: String,
    pub(super) client_key: Option<String>,
    /// The provider's name of the prompt, where it is ours to give.
    pub(super) checkout_request_id: Option<String>,
    pub(super) expires_at: Timestamp,
}

/// Writes a payment down before it is asked for, with its first query due at `query_at`. `false` when one
/// is open for this customer and package, or the client's key was used before.
pub(super) async fn insert(
    tx: &mut Tx,
    new: &NewIntent,
    query_at: Timestamp,
    now: Timestamp,
) -> sqlx::Result<bool> {
    let inserted = sqlx::query(concat!(
        "with intent as (
             insert into intents (tenant_id, id, gateway_id, customer_id, package_id, amount, phone_number,
                                  account_reference, state, client_key, created_at, expires_at, updated_at,
                                  checkout_request_id)
             values ($1, $2, $3, $4, $5, $6, $7, $8, 'CREATED', $9, $10, $11, $10, $15)
                 on conflict do nothing
             returning id), ",
        due_cte!("$1", "$12", "$13", "$14"),
        " select id from intent"
    ))
    .bind(tx.tenant())
    .bind(new.id)
    .bind(new.gateway)
    .bind(new.customer)
    .bind(new.package)
    .bind(new.amount)
    .bind(&new.phone)
    .bind(&new.reference)
    .bind(&new.client_key)
    .bind(now)
    .bind(new.expires_at)
    .bind(vec![super::QUERY])
    .bind(vec![new.id])
    .bind(vec![query_at])
    .bind(&new.checkout_request_id)
    .fetch_optional(&mut **tx)
    .await?;
    Ok(inserted.is_some())
}

/// A payment that stands where another is wished for.
#[derive(FromRow, Clone, Debug)]
pub(super) struct First {
    pub(super) id: IntentId,
    pub(super) customer_id: CustomerId,
    pub(super) amount: Cents,
    pub(super) phone_number: String,
    /// Found by the client's key.
    pub(super) by_key: bool,
}

/// The open payment of this customer for this package, or the one the client's key named before.
pub(super) async fn already_open(
    tx: &mut Tx,
    customer: CustomerId,
    package: Option<PackageId>,
    client_key: Option<&str>,
) -> sqlx::Result<Option<First>> {
    sqlx::query_as(
        "select id, customer_id, amount, phone_number, client_key is not distinct from $4 as by_key
           from intents
          where tenant_id = $1
            and (client_key = $4
                 or customer_id = $2 and package_id is not distinct from $3
                    and state in ('CREATED', 'PENDING', 'UNKNOWN'))
          order by client_key = $4 desc nulls last
          limit 1",
    )
    .bind(tx.tenant())
    .bind(customer)
    .bind(package)
    .bind(client_key)
    .fetch_optional(&mut **tx)
    .await
}

/// Closes open payments of a customer whose window is over, so that they are no obstacle to a new one.
pub(super) async fn close_stale(
    tx: &mut Tx,
    customer: CustomerId,
    now: Timestamp,
) -> sqlx::Result<()> {
    sqlx::query(
        "update intents set state = 'EXPIRED', updated_at = $3
          where tenant_id = $1 and customer_id = $2 and expires_at <= $3
            and state in ('CREATED', 'PENDING', 'UNKNOWN')",
    )
    .bind(tx.tenant())
    .bind(customer)
    .bind(now)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// What a path secret is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, sqlx::Type)]
#[sqlx(type_name = "text", rename_all = "lowercase")]
pub(super) enum Purpose {
    /// What became of a prompt.
    Stk,
    /// Money that payers send by themselves.
    C2b,
    /// What an initiator asked for.
    Result,
}

/// Whose a callback's path secret is, by its SHA-256.
pub(super) async fn gateway_of_token(
    directory: &mut DirectoryTx,
    digest: &[u8; 32],
    purpose: Purpose,
) -> sqlx::Result<Option<(TenantId, GatewayId)>> {
    sqlx::query_as(
        "select tenant_id, gateway_id from directory.callback_tokens
          where token_digest = $1 and purpose = $2",
    )
    .bind(digest.as_slice())
    .bind(purpose)
    .fetch_optional(&mut **directory)
    .await
}

/// What a report is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug, sqlx::Type)]
#[sqlx(type_name = "text")]
pub(super) enum Kind {
    /// What became of a prompt.
    #[sqlx(rename = "STK_CALLBACK")]
    StkCallback,
    /// Whether money that a payer sends is welcome.
    #[sqlx(rename = "C2B_VALIDATION")]
    C2bValidation,
    /// Money that a payer has sent.
    #[sqlx(rename = "C2B_CONFIRMATION")]
    C2bConfirmation,
    /// The same at the platform's own short code: whose it is, is to be found.
    #[sqlx(rename = "CENTRAL_CONFIRMATION")]
    CentralConfirmation,
    /// The answer to what an initiator asked for.
    #[sqlx(rename = "RESULT")]
    Result,
    /// That it was not come to in time.
    #[sqlx(rename = "TIME_OUT")]
    TimeOut,
    /// What became of a prompt of Airtel's.
    #[sqlx(rename = "AIRTEL_CALLBACK")]
    AirtelCallback,
}

/// What a provider told us.
#[derive(FromRow, Clone, Debug)]
pub(super) struct Report {
    #[sqlx(rename = "by_gateway")]
    pub(super) gateway_id: Option<GatewayId>,
    pub(super) intent_id: Option<IntentId>,
    pub(super) kind: Kind,
    /// What it is about, where its path names that: a question, or money that is sent back.
    pub(super) about: Option<Uuid>,
    /// The receipt it names, where whoever erases somebody must find it by that.
    #[sqlx(rename = "named_receipt")]
    pub(super) receipt: Option<String>,
    pub(super) body: Vec<u8>,
    pub(super) source: String,
}

/// Keeps what a provider told us, byte for byte, with the work on it due at `work_at`; once under one id.
pub(super) async fn keep(
    tx: &mut Tx,
    id: InboxId,
    report: &Report,
    work_at: Timestamp,
    now: Timestamp,
) -> sqlx::Result<()> {
    sqlx::query(concat!(
        "with report as (
             insert into payment_inbox (tenant_id, id, gateway_id, intent_id, kind, body, source,
                                        received_at, receipt, about)
             values ($1, $2, $3, $4, $11, $5, $6, $7, $12, $13)
                 on conflict (tenant_id, id) do nothing), ",
        due_cte!("$1", "$8", "$9", "$10"),
        " select 1"
    ))
    .bind(tx.tenant())
    .bind(id)
    .bind(report.gateway_id)
    .bind(report.intent_id)
    .bind(&report.body)
    .bind(&report.source)
    .bind(now)
    .bind(vec![super::INBOX])
    .bind(vec![id])
    .bind(vec![work_at])
    .bind(report.kind)
    .bind(&report.receipt)
    .bind(report.about)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Keeps a validation, with what was answered: nothing is to be done about it. The short code it came to.
pub(super) async fn keep_validation(
    tx: &mut Tx,
    id: InboxId,
    report: &Report,
    now: Timestamp,
) -> sqlx::Result<Option<arrivals::Place>> {
    sqlx::query_as(
        "with report as (
             insert into payment_inbox (tenant_id, id, gateway_id, kind, body, source, received_at, receipt,
                                        processed_at, outcome)
             values ($1, $2, $3, $4, $5, $6, $7, $8, $7, 'answered'))
         select shortcode as at_shortcode, store_number as at_store, sub_type as at_kind,
                match_suffix as at_suffix, platform as at_platform,
                created_at as at_since
           from gateways
          where tenant_id = $1 and id = $3",
    )
    .bind(tx.tenant())
    .bind(id)
    .bind(report.gateway_id)
    .bind(report.kind)
    .bind(&report.body)
    .bind(&report.source)
    .bind(now)
    .bind(&report.receipt)
    .fetch_optional(&mut **tx)
    .await
}

/// Reads a report that waits to be worked on.
pub(super) async fn waiting(tx: &mut Tx, id: InboxId) -> sqlx::Result<Option<Report>> {
    sqlx::query_as(
        "select gateway_id as by_gateway, intent_id, kind, about, receipt as named_receipt, body, source
           from payment_inbox
          where tenant_id = $1 and id = $2 and processed_at is null",
    )
    .bind(tx.tenant())
    .bind(id)
    .fetch_optional(&mut **tx)
    .await
}

/// Takes a report to work on it, as done: the transaction that does the work makes it so. Locks it and then
/// the payment that its path named, and withdraws the due work. `None` when it was worked on before.
pub(super) async fn take(
    tx: &mut Tx,
    id: InboxId,
    now: Timestamp,
) -> sqlx::Result<Option<(Report, Option<Intent>)>> {
    let row = sqlx::query(concat!(
        "with report as (
             update payment_inbox
                set processed_at = $3, attempts = attempts + 1, outcome = 'done'
              where tenant_id = $1 and id = $2 and processed_at is null
             returning gateway_id as by_gateway, intent_id, kind, about, receipt as named_receipt, body, source),
         undue as (
             delete from directory.jobs
              where tenant_id = $1 and kind = $4 and subject = $2 and exists (select from report)),
         intent as materialized (",
        intent_columns!(),
        "           and i.id = (select intent_id from report)
                for update of i)
         select * from report left join intent on true"
    ))
    .bind(tx.tenant())
    .bind(id)
    .bind(now)
    .bind(super::INBOX)
    .fetch_optional(&mut **tx)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let known: Option<IntentId> = row.try_get("id")?;
    let intent = known.map(|_| Intent::from_row(&row)).transpose()?;
    Ok(Some((Report::from_row(&row)?, intent)))
}

/// Notes why a report had no effect.
pub(super) async fn note(tx: &mut Tx, id: InboxId, outcome: &str) -> sqlx::Result<()> {
    sqlx::query("update payment_inbox set outcome = $3 where tenant_id = $1 and id = $2")
        .bind(tx.tenant())
        .bind(id)
        .bind(outcome)
        .execute(&mut **tx)
        .await?;
    Ok(())
}
