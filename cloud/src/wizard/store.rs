//! SQL on the set-up of routers and the tokens by which a router shows itself.

mod enrolment;

use easyisp_shared::id::{RouterId, TenantId};
use easyisp_shared::time::Timestamp;
use serde_json::Value;
use sqlx::PgConnection;

use super::plan::Stage;
use crate::db::Tx;

pub use enrolment::{place_of_enrolment, put_enrolment, put_serial, take_enrolment, with_serial};

/// What a token is the right to.
#[derive(Clone, Copy, PartialEq, Eq, Debug, sqlx::Type)]
#[sqlx(type_name = "text", rename_all = "UPPERCASE")]
pub enum Purpose {
    /// To take the script.
    Fetch,
    /// To say that it was imported.
    Callback,
}

/// Gives a router one token for a purpose, in place of an earlier one; with the sealed password that the agents log in by
/// once it is used.
pub async fn put_token(
    tx: &mut Tx,
    router: RouterId,
    (purpose, password_sealed): (Purpose, Option<&[u8]>),
    digest: &[u8],
    expires_at: Timestamp,
) -> sqlx::Result<()> {
    sqlx::query("delete from directory.provision_tokens where router_id = $1 and purpose = $2 and tenant_id = $3")
        .bind(router)
        .bind(purpose)
        .bind(tx.tenant())
        .execute(&mut **tx)
        .await?;
    sqlx::query(
        "insert into directory.provision_tokens
                (token_digest, tenant_id, router_id, purpose, expires_at, api_password_sealed)
         values ($1, $2, $3, $4, $5, $6)",
    )
    .bind(digest)
    .bind(tx.tenant())
    .bind(router)
    .bind(purpose)
    .bind(expires_at)
    .bind(password_sealed)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Whose token this is. `None` when it is unknown, of another purpose, or over.
pub async fn router_of(
    directory: &mut PgConnection,
    digest: &[u8],
    purpose: Purpose,
    now: Timestamp,
) -> sqlx::Result<Option<(TenantId, RouterId)>> {
    sqlx::query_as(
        "select tenant_id, router_id from directory.provision_tokens
          where token_digest = $1 and purpose = $2 and expires_at > $3",
    )
    .bind(digest)
    .bind(purpose)
    .bind(now)
    .fetch_optional(directory)
    .await
}

/// Uses a token up: the sealed password that came with it. `None` when somebody used it before.
pub async fn take_token(tx: &mut Tx, digest: &[u8]) -> sqlx::Result<Option<Option<Vec<u8>>>> {
    sqlx::query_scalar(
        "delete from directory.provision_tokens where token_digest = $1 and tenant_id = $2
      returning api_password_sealed",
    )
    .bind(digest)
    .bind(tx.tenant())
    .fetch_optional(&mut **tx)
    .await
}

/// Forgets a router's tokens.
pub async fn delete_tokens(tx: &mut Tx, router: RouterId) -> sqlx::Result<()> {
    sqlx::query("delete from directory.provision_tokens where router_id = $1 and tenant_id = $2")
        .bind(router)
        .bind(tx.tenant())
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// The set-up of a router as it is stored.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct Row {
    /// Where it is.
    pub stage: Stage,
    /// For people.
    pub message: String,
    /// Grows with every configuration that is begun.
    pub run: i64,
    /// What of it is done.
    pub place: i32,
    /// How much there is.
    pub places: i32,
    /// Since when the present place is tried.
    pub place_since: Timestamp,
    /// What was done, line by line.
    pub results: Value,
    /// What came of trying it.
    pub tested: Option<Value>,
    /// What was chosen last, whatever came of it.
    pub choice: Option<Value>,
    /// What it was configured with last and serves by.
    pub kept: Option<Value>,
    /// What is under way, sealed.
    pub work_sealed: Option<Vec<u8>>,
    /// What the wizard's page keeps for itself.
    pub saved: Option<Value>,
    /// When it called last.
    pub called_at: Option<Timestamp>,
}

/// The set-up of a router that was not deleted; `None` when the wizard never had to do with it.
pub async fn find(tx: &mut Tx, router: RouterId) -> sqlx::Result<Option<Row>> {
    sqlx::query_as(
        "select s.stage, s.message, s.run, s.place, s.places, s.place_since, s.results, s.tested,
                s.choice, s.kept, s.work_sealed, s.saved, s.called_at
           from router_setups s
           join routers r on r.tenant_id = s.tenant_id and r.id = s.router_id
          where s.tenant_id = $1 and s.router_id = $2 and r.deleted_at is null",
    )
    .bind(tx.tenant())
    .bind(router)
    .fetch_optional(&mut **tx)
    .await
}

/// Begins a router's set-up, or begins it anew; what it serves by, what is kept for the page, and what is still to be
/// undone, stays.
pub async fn begin(
    tx: &mut Tx,
    router: RouterId,
    message: &str,
    choice: &Value,
    now: Timestamp,
) -> sqlx::Result<()> {
    sqlx::query(
        "insert into router_setups (tenant_id, router_id, stage, message, choice, place_since, started_at, updated_at)
         values ($1, $2, 'WAITING', $3, $4, $5, $5, $5)
             on conflict (tenant_id, router_id)
             do update set stage = 'WAITING', message = excluded.message, choice = excluded.choice,
                           results = '[]', tested = null, place = 0, places = 0,
                           place_since = excluded.place_since, started_at = excluded.started_at,
                           updated_at = excluded.updated_at",
    )
    .bind(tx.tenant())
    .bind(router)
    .bind(message)
    .bind(choice)
    .bind(now)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Notes a stage and what there is to say of it.
pub async fn note(
    tx: &mut Tx,
    router: RouterId,
    stage: Stage,
    message: &str,
    now: Timestamp,
) -> sqlx::Result<()> {
    sqlx::query(
        "update router_setups set stage = $3, message = $4, updated_at = $5
          where tenant_id = $1 and router_id = $2",
    )
    .bind(tx.tenant())
    .bind(router)
    .bind(stage)
    .bind(message)
    .bind(now)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Notes why a configuration was not begun, unless another one was; who waits for the router's call goes on waiting, and
/// what serves goes on serving.
pub async fn note_refusal(
    tx: &mut Tx,
    router: RouterId,
    message: &str,
    now: Timestamp,
) -> sqlx::Result<()> {
    sqlx::query(
        "insert into router_setups (tenant_id, router_id, stage, message, place_since, started_at, updated_at)
         values ($1, $2, 'FAILED', $3, $4, $4, $4)
             on conflict (tenant_id, router_id)
             do update set message = excluded.message, updated_at = excluded.updated_at,
                           stage = case when router_setups.stage in ('WAITING', 'FETCHED', 'DONE') then router_setups.stage
                                        else 'FAILED' end
                  where router_setups.stage not in ('CONFIGURING', 'UNDOING')",
    )
    .bind(tx.tenant())
    .bind(router)
    .bind(message)
    .bind(now)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Notes where a router called from.
pub async fn note_call(
    tx: &mut Tx,
    router: RouterId,
    from: &str,
    now: Timestamp,
) -> sqlx::Result<()> {
    sqlx::query(
        "update router_setups set called_from = $3, called_at = $4 where tenant_id = $1 and router_id = $2",
    )
    .bind(tx.tenant())
    .bind(router)
    .bind(from)
    .bind(now)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Begins a configuration of so many places; the number of the run.
pub async fn configure(
    tx: &mut Tx,
    router: RouterId,
    (choice, work_sealed): (&Value, &[u8]),
    places: i32,
    message: &str,
    now: Timestamp,
) -> sqlx::Result<i64> {
    sqlx::query_scalar(
        "insert into router_setups (tenant_id, router_id, stage, message, run, places, place_since, choice,
                                    work_sealed, started_at, updated_at)
         values ($1, $2, 'CONFIGURING', $3, 1, $4, $5, $6, $7, $5, $5)
             on conflict (tenant_id, router_id)
             do update set stage = 'CONFIGURING', message = excluded.message, run = router_setups.run + 1,
                           place = 0, places = excluded.places, place_since = excluded.place_since,
                           choice = excluded.choice, work_sealed = excluded.work_sealed, results = '[]',
                           tested = null, updated_at = excluded.updated_at
      returning run",
    )
    .bind(tx.tenant())
    .bind(router)
    .bind(message)
    .bind(places)
    .bind(now)
    .bind(choice)
    .bind(work_sealed)
    .fetch_one(&mut **tx)
    .await
}

/// What a turn of a configuration changes.
#[derive(Clone, Debug)]
pub struct Turned<'a> {
    /// Where it is now.
    pub stage: Stage,
    /// What of it is done.
    pub place: i32,
    /// Since when the place is tried.
    pub since: Timestamp,
    /// For people.
    pub message: &'a str,
    /// One line more of what was done.
    pub line: Option<&'a str>,
    /// What came of trying it.
    pub tested: Option<Value>,
    /// What is still under way, sealed.
    pub work_sealed: Option<&'a [u8]>,
}

/// Notes a turn of a run, unless another one was faster; whether it did.
pub async fn turn(
    tx: &mut Tx,
    router: RouterId,
    before: &Row,
    turned: &Turned<'_>,
    now: Timestamp,
) -> sqlx::Result<bool> {
    let done = sqlx::query(
        "update router_setups
            set stage = $6, place = $7, place_since = $8, message = $9,
                results = case when $10::text is null then results else results || to_jsonb($10::text) end,
                tested = coalesce($11, tested), work_sealed = $12, updated_at = $13,
                kept = case when $6 = 'DONE' then choice else kept end
          where tenant_id = $1 and router_id = $2 and run = $3 and place = $4 and stage = $5",
    )
    .bind(tx.tenant())
    .bind(router)
    .bind(before.run)
    .bind(before.place)
    .bind(before.stage)
    .bind(turned.stage)
    .bind(turned.place)
    .bind(turned.since)
    .bind(turned.message)
    .bind(turned.line)
    .bind(&turned.tested)
    .bind(turned.work_sealed)
    .bind(now)
    .execute(&mut **tx)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Keeps what a router serves by from here on.
pub async fn keep(tx: &mut Tx, router: RouterId, kept: &Value) -> sqlx::Result<()> {
    sqlx::query("update router_setups set kept = $3 where tenant_id = $1 and router_id = $2")
        .bind(tx.tenant())
        .bind(router)
        .bind(kept)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Keeps something for the wizard's page; `false` when the wizard never had to do with the router.
pub async fn save(
    tx: &mut Tx,
    router: RouterId,
    saved: &Value,
    now: Timestamp,
) -> sqlx::Result<bool> {
    let done = sqlx::query(
        "update router_setups set saved = $3, updated_at = $4
          where tenant_id = $1 and router_id = $2",
    )
    .bind(tx.tenant())
    .bind(router)
    .bind(saved)
    .bind(now)
    .execute(&mut **tx)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Forgets a router's set-up.
pub async fn delete(tx: &mut Tx, router: RouterId) -> sqlx::Result<()> {
    sqlx::query("delete from router_setups where tenant_id = $1 and router_id = $2")
        .bind(tx.tenant())
        .bind(router)
        .execute(&mut **tx)
        .await?;
    Ok(())
}
