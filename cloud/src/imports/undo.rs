//! Taking back what a file made, as far as nobody touched it since.

use std::collections::HashMap;

use easyisp_shared::id::{CustomerId, ImportId};
use easyisp_shared::time::Timestamp;
use serde_json::json;
use uuid::Uuid;

use super::store::{self, Made, Which};
use super::words::What;
use crate::audit::{self, Action, Actor, Audit};
use crate::customers::many;
use crate::db::{Database, Tx};
use crate::error::ApiError;
use crate::packages;

/// What an undo came to.
#[derive(Debug, Default)]
pub struct Undone {
    /// Rows whose thing is gone now.
    pub undone: i64,
    /// Rows whose thing stays, in the order of the file, and why.
    pub kept: Vec<(Made, &'static str)>,
}

/// Takes back what a file made, 500 rows a transaction: one that is cut short is gone on with by another.
///
/// Errors: 404; 409 `IMPORT_RUNNING` while rows are still taken in.
pub async fn undo(
    db: &Database,
    actor: &Actor,
    tenant: easyisp_shared::id::TenantId,
    import: ImportId,
    now: Timestamp,
) -> Result<Undone, ApiError> {
    let mut result = Undone::default();
    // Children first: whoever has some stays.
    for which in [Which::Children, Which::Others] {
        undo_some(db, actor, tenant, (import, which), &mut result, now).await?;
    }
    result.kept.sort_by_key(|(made, _)| made.place);
    Ok(result)
}

async fn undo_some(
    db: &Database,
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
        let made = store::made(&mut tx, import, which, after).await?;
        let Some(last) = made.last() else {
            return Ok(());
        };
        after = last.place;
        let why = match found.what {
            What::Customers => customers(&mut tx, &made, now).await?,
            What::Packages => take_packages(&mut tx, &made, now).await?,
        };
        let (kept, gone): (Vec<Made>, Vec<Made>) = made
            .into_iter()
            .partition(|made| why.get(&made.subject_id).is_some_and(Option::is_some));
        let places: Vec<i32> = gone.iter().map(|made| made.place).collect();
        store::note_undone(&mut tx, import, &places, now).await?;
        let line = Audit {
            details: format!("{} taken back, {} stay", gone.len(), kept.len()),
            after: Some(json!({ "undone": gone.len(), "kept": kept.len() })),
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
