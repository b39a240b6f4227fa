//! Taking back what a file made, and making what it changed as it was, as far as nobody touched it since.

use std::collections::HashMap;

use easyisp_shared::id::{CustomerId, ImportId};
use easyisp_shared::time::Timestamp;
use serde_json::{Value, json};
use uuid::Uuid;

use super::customers::{BEFORE, Before};
use super::store::{self, Made, Which};
use super::words::What;
use crate::audit::{self, Action, Actor, Audit};
use crate::customers::many::{self, Former, PutBack};
use crate::db::{Database, Tx};
use crate::error::ApiError;
use crate::packages;
use crate::secrets::Secrets;

/// What an undo came to.
#[derive(Debug, Default)]
pub struct Undone {
    /// Rows whose thing is gone now, or is as it was.
    pub undone: i64,
    /// Rows whose thing stays, in the order of the file, and why.
    pub kept: Vec<(Made, &'static str)>,
}

/// Takes back what a file made, and makes customers whom it changed what they were, 500 rows a transaction: one that is
/// cut short is gone on with by another.
///
/// Errors: 404; 409 `IMPORT_RUNNING` while rows are still taken in.
pub async fn undo(
    db: &Database,
    secrets: &Secrets,
    actor: &Actor,
    tenant: easyisp_shared::id::TenantId,
    import: ImportId,
    now: Timestamp,
) -> Result<Undone, ApiError> {
    let mut result = Undone::default();
    // Of those who were made children first: whoever has some stays.
    for which in [Which::Changed, Which::Children, Which::Others] {
        let what = (import, which);
        undo_some(db, secrets, actor, tenant, what, &mut result, now).await?;
    }
    result.kept.sort_by_key(|(made, _)| made.place);
    Ok(result)
}

async fn undo_some(
    db: &Database,
    secrets: &Secrets,
    actor: &Actor,
    tenant: easyisp_shared::id::TenantId,
    (import, which): (ImportId, Which),
    result: &mut Undone,
    now: Timestamp,
) -> Result<(), ApiError> {
    let mut after = -1;
    loop {
        let mut tx = db.begin(tenant).await?;
        let found = store::lock(&mut tx, import).await?;
        let found = found.ok_or(ApiError::NotFound("import"))?;
        if found.finished_at.is_none() {
            return Err(ApiError::conflict(
                "IMPORT_RUNNING",
                "Rows of this file are still being taken in; undo it when its job is DONE",
            ));
        }
        if (found.what, which) == (What::Packages, Which::Changed) {
            return Ok(());
        }
        let made = store::made(&mut tx, import, which, after).await?;
        let Some(last) = made.last() else {
            return Ok(());
        };
        after = last.place;
        let (why, ends) = match (found.what, which) {
            (What::Customers, Which::Changed) => put_back(&mut tx, secrets, &made, now).await?,
            (What::Customers, Which::Children | Which::Others) => {
                (customers(&mut tx, &made, now).await?, Vec::new())
            }
            (What::Packages, _) => (take_packages(&mut tx, &made, now).await?, Vec::new()), // made ones
        };
        let (kept, gone): (Vec<Made>, Vec<Made>) = made
            .into_iter()
            .partition(|made| why.get(&made.subject_id).is_some_and(Option::is_some));
        let places: Vec<i32> = gone.iter().map(|made| made.place).collect();
        store::note_undone(&mut tx, import, &places, now).await?;
        let mut after_it = json!({ "undone": gone.len(), "kept": kept.len() });
        if !ends.is_empty() {
            after_it["ends"] = json!(ends);
        }
        let done = match which {
            Which::Changed => "as they were",
            Which::Children | Which::Others => "taken back",
        };
        let line = Audit {
            details: format!("{} {done}, {} stay", gone.len(), kept.len()),
            after: Some(after_it),
            ..Audit::new(
                Action::ImportUndo,
                "import",
                import,
                match found.what {
                    What::Customers => "Customers",
                    What::Packages => "Packages",
                },
            )
        };
        audit::record(&mut tx, actor, line, now).await?;
        tx.commit().await?;
        result.undone += i64::try_from(gone.len()).unwrap_or(i64::MAX);
        let kept = kept.into_iter().filter_map(|made| {
            let why = why.get(&made.subject_id).copied().flatten()?;
            Some((made, why))
        });
        result.kept.extend(kept);
    }
}

/// Why each of these stays; `None` = it is gone.
type Reasons = HashMap<Uuid, Option<&'static str>>;

/// Makes customers what they were; why each of the others stays, and whose end was moved from when to when.
async fn put_back(
    tx: &mut Tx,
    secrets: &Secrets,
    made: &[Made],
    now: Timestamp,
) -> Result<(Reasons, Vec<Value>), ApiError> {
    let key = secrets.tenant(tx).await?;
    let mut reasons = Reasons::new();
    let mut former = Vec::with_capacity(made.len());
    for made in made {
        let Some(sealed) = &made.before else {
            reasons.insert(made.subject_id, Some(NOT_KEPT));
            continue;
        };
        let before = key
            .open(BEFORE, made.subject_id, sealed)
            .map_err(ApiError::internal)?;
        let before: Before = serde_json::from_slice(&before).map_err(ApiError::internal)?;
        former.push(Former {
            customer: made.subject_id.into(),
            was: before.was,
            left: before.left,
        });
    }
    let mut ends = Vec::new();
    let outcomes = many::put_back(tx, &former, now).await?;
    for (one, outcome) in former.iter().zip(outcomes) {
        let why = match outcome {
            PutBack::Done(moved) => {
                ends.extend(
                    moved.map(|(was, is)| json!({ "id": one.customer, "was": was, "is": is })),
                );
                None
            }
            PutBack::Stays(why) => Some(why),
        };
        reasons.insert(one.customer.0, why);
    }
    Ok((reasons, ends))
}

const NOT_KEPT: &str = "was put on another's account or is billed by it, or it was not kept yet what he was; change it at \
                        the customer";

async fn customers(tx: &mut Tx, made: &[Made], now: Timestamp) -> sqlx::Result<Reasons> {
    // A row from before versions were remembered: nobody changed him if he is as he was made.
    let made: Vec<(CustomerId, i64)> = made
        .iter()
        .map(|made| (made.subject_id.into(), made.version.unwrap_or(1)))
        .collect();
    let found = many::take_back(tx, &made, now).await?;
    let reasons = found.iter().map(|one| (one.id.0, one.why_not()));
    Ok(reasons.collect())
}

async fn take_packages(tx: &mut Tx, made: &[Made], now: Timestamp) -> sqlx::Result<Reasons> {
    let mut reasons = Reasons::new();
    for made in made {
        let package = made.subject_id.into();
        let why = match packages::lock(tx, package).await? {
            None => Some("was deleted already"),
            Some((_, customers, _)) if customers > 0 => Some("has customers"),
            Some((_, _, vouchers)) if vouchers > 0 => Some("has vouchers"),
            Some((stored, _, _)) if stored.updated_at > stored.created_at => {
                Some("was changed since")
            }
            Some(_) => {
                packages::hide(tx, package, now).await?;
                None
            }
        };
        reasons.insert(made.subject_id, why);
    }
    Ok(reasons)
}
