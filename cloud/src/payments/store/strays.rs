//! SQL on money that came to the platform's short code and names nobody, and on where that which names somebody goes.

use easyisp_shared::id::{GatewayId, InboxId, OperatorId};
use easyisp_shared::money::Cents;
use easyisp_shared::time::Timestamp;
use sqlx::FromRow;

use super::super::arrival::Arrival;
use crate::db::{DirectoryTx, Tx};

/// Whose word it is that the money came.
#[derive(Clone, Copy, PartialEq, Eq, Debug, sqlx::Type)]
#[sqlx(type_name = "text", rename_all = "UPPERCASE")]
pub(in super::super) enum Word {
    /// The provider's: we asked it.
    Asked,
    /// The provider's: it told us, from its own address and under the secret it has now.
    Told,
    /// Anybody's who knows a secret of ours.
    Held,
}

/// How a stray payment stands.
#[derive(
    Clone,
    Copy,
    PartialEq,
    Eq,
    Debug,
    Default,
    serde::Serialize,
    serde::Deserialize,
    utoipa::ToSchema,
    sqlx::Type,
)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[sqlx(type_name = "text", rename_all = "SCREAMING_SNAKE_CASE")]
#[schema(as = StrayState)]
pub enum State {
    /// It is nobody's.
    #[default]
    Open,
    /// A person of the platform gave it to somebody.
    Assigned,
    /// Its receipt is booked by another way: of a prompt, say, or of a top-up.
    Booked,
    /// It came under the account that prompts for top-ups show, whose end is asked after there.
    TopUp,
}

/// A stray payment, as its row has it.
#[derive(FromRow, Clone, Debug)]
pub(in super::super) struct Stray {
    pub(in super::super) receipt: String,
    pub(in super::super) shortcode: String,
    pub(in super::super) amount: Cents,
    pub(in super::super) account: String,
    pub(in super::super) payer_hash: Option<String>,
    pub(in super::super) paid_at: Option<Timestamp>,
    pub(in super::super) came_at: Timestamp,
    pub(in super::super) word: Word,
    pub(in super::super) assigned_to: Option<i32>,
    pub(in super::super) assigned_by: Option<OperatorId>,
    pub(in super::super) assigned_at: Option<Timestamp>,
    pub(in super::super) reason: Option<String>,
    pub(in super::super) state: State,
}

macro_rules! strays {
    () => {
        "select s.*,
                case when s.assigned_at is not null then 'ASSIGNED'
                     when exists (select from directory.receipts r
                                   where r.provider = 'MPESA' and r.receipt = s.receipt
                                     and r.shortcode = s.shortcode) then 'BOOKED'
                     when upper(s.account) = 'TOPUP' then 'TOP_UP' -- what its prompts show (`topups.rs`)
                     else 'OPEN' end as state
           from directory.stray_payments s"
    };
}

/// The platform's short code, as its hidden gateway has it.
#[derive(FromRow, Clone, Debug)]
pub(in super::super) struct Central {
    /// Environment and number, as receipts have it.
    pub(in super::super) code: String,
    /// The number.
    pub(in super::super) shortcode: String,
}

/// Reads it in the platform's own tenant. `None` = this gateway is not it.
pub(in super::super) async fn central(
    tx: &mut Tx,
    gateway: GatewayId,
) -> sqlx::Result<Option<Central>> {
    sqlx::query_as(
        "select env || ' ' || shortcode as code, shortcode from gateways
          where tenant_id = $1 and id = $2 and platform",
    )
    .bind(tx.tenant())
    .bind(gateway)
    .fetch_optional(&mut **tx)
    .await
}

/// Keeps money of nobody. What the provider says itself takes the place of what somebody else said, until a person gave
/// it to somebody.
pub(in super::super) async fn keep(
    tx: &mut Tx,
    code: &str,
    arrival: &Arrival,
    word: Word,
    now: Timestamp,
) -> sqlx::Result<()> {
    sqlx::query(
        "insert into directory.stray_payments as s (receipt, shortcode, amount, account, payer_hash, paid_at, came_at, word)
         values ($1, $2, $3, $4, $5, $6, $7, $8)
             on conflict (receipt) do update
            set amount = excluded.amount, account = excluded.account, payer_hash = excluded.payer_hash,
                paid_at = excluded.paid_at, word = excluded.word
          where s.word = 'HELD' and excluded.word <> 'HELD' and s.assigned_at is null",
    )
    .bind(&arrival.receipt)
    .bind(code)
    .bind(arrival.amount)
    .bind(&arrival.reference)
    .bind(arrival.payer.hash())
    .bind(arrival.paid_at)
    .bind(now)
    .bind(word)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// The account number that a person gave this receipt to, and on whose word it was there; `None` = it is not known, or
/// nobody's yet.
pub(in super::super) async fn assigned(
    tx: &mut Tx,
    receipt: &str,
) -> sqlx::Result<Option<(i32, Word)>> {
    sqlx::query_as(
        "select assigned_to, word from directory.stray_payments where receipt = $1 and assigned_at is not null",
    )
    .bind(receipt)
    .fetch_optional(&mut **tx)
    .await
}

/// Reads a stray payment and locks it until the transaction ends. `None` when there is none with this receipt.
pub(in super::super) async fn lock(tx: &mut Tx, receipt: &str) -> sqlx::Result<Option<Stray>> {
    sqlx::query_as(concat!(strays!(), " where s.receipt = $1 for update of s"))
        .bind(receipt)
        .fetch_optional(&mut **tx)
        .await
}

/// Writes to whom it was given, by whom and why.
pub(in super::super) async fn assign(
    tx: &mut Tx,
    receipt: &str,
    number: i32,
    (by, reason): (OperatorId, &str),
    now: Timestamp,
) -> sqlx::Result<Stray> {
    sqlx::query(
        "update directory.stray_payments
            set assigned_to = $2, assigned_by = $3, reason = $4, assigned_at = $5, payer_hash = null
          where receipt = $1 and assigned_at is null",
    )
    .bind(receipt)
    .bind(number)
    .bind(by)
    .bind(reason)
    .bind(now)
    .execute(&mut **tx)
    .await?;
    sqlx::query_as(concat!(strays!(), " where s.receipt = $1"))
        .bind(receipt)
        .fetch_one(&mut **tx)
        .await
}

/// Those that stand so, the newest first, and how many there are.
pub(in super::super) async fn list(
    directory: &mut DirectoryTx,
    state: State,
    (limit, offset): (i64, i64),
) -> sqlx::Result<(Vec<Stray>, i64)> {
    let rows = sqlx::query_as(concat!(
        "select * from (",
        strays!(),
        ") s where state = $1 order by came_at desc, receipt limit $2 offset $3"
    ))
    .bind(state)
    .bind(limit)
    .bind(offset)
    .fetch_all(&mut **directory)
    .await?;
    let total = sqlx::query_scalar(concat!(
        "select count(*) from (",
        strays!(),
        ") s where state = $1"
    ))
    .bind(state)
    .fetch_one(&mut **directory)
    .await?;
    Ok((rows, total))
}

/// The gateway by which the platform collects for the transaction's tenant at this short code of its own. `None` when it
/// does not, or not any more.
pub(in super::super) async fn collected_at(
    tx: &mut Tx,
    code: &str,
) -> sqlx::Result<Option<GatewayId>> {
    sqlx::query_scalar(
        "select id from gateways
          where tenant_id = $1 and platform and deleted_at is null and env || ' ' || shortcode = $2",
    )
    .bind(tx.tenant())
    .bind(code)
    .fetch_optional(&mut **tx)
    .await
}

/// Empties a report that is kept elsewhere, and says what became of it.
pub(in super::super) async fn empty(tx: &mut Tx, id: InboxId, outcome: &str) -> sqlx::Result<()> {
    sqlx::query(
        "update payment_inbox set body = '', outcome = $3 where tenant_id = $1 and id = $2",
    )
    .bind(tx.tenant())
    .bind(id)
    .bind(outcome)
    .execute(&mut **tx)
    .await?;
    Ok(())
}
