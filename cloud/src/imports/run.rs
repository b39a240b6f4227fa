//! Taking a file of customers in: at once where it is small, part by part where it is not.

use easyisp_shared::id::{ImportId, TenantId};
use easyisp_shared::time::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use sqlx::types::Json;

use super::customers::take_in;
use super::row::{Reading, Row};
use super::store::{self, By, Import, Line};
use super::words::{Outcome, State, What};
use super::{PART, packages};
use crate::audit::{self, Action, Actor, Audit};
use crate::customers::ChangeError;
use crate::customers::many::Depth;
use crate::db::{Database, Tx};
use crate::due;
use crate::error::FieldError;
use crate::secrets::{SecretError, Secrets};

/// The kind of the job that takes a large file in; its subject is the import.
pub const RUN: &str = "imports.run";

/// What is called the format of an import that is no file but a router's own lists.
pub const ROUTER: &str = "router";

/// Parts in a row before other work has its turn.
const TURNS: usize = 4;
/// Failures in a row after which a file is given up.
const PATIENCE: u32 = 12;
/// Under which name a part that waits is sealed.
const SEALED: &str = "import_parts.rows";

/// Some rows of a file that wait, and all that is needed to take them in.
#[derive(Serialize, Deserialize)]
struct Part {
    /// The place of the first among the file's rows.
    first: i32,
    reading: Reading,
    rows: Vec<Row>,
}

/// Takes a small file in, in this transaction; what became of its rows.
pub async fn at_once(
    tx: &mut Tx,
    secrets: &Secrets,
    import: &Import,
    rows: &[Row],
    reading: &Reading,
    now: Timestamp,
) -> Result<Vec<Line>, ChangeError> {
    let how = (reading, import.on_existing);
    let (lines, ends) = take_in(tx, secrets, rows, how, Depth::Write, now).await?;
    write_down(tx, import, (0, &lines), &ends, now).await?;
    store::finish(tx, import.id, State::Done, None, now).await?;
    Ok(lines)
}

/// Keeps a large file, sealed, and makes it due.
pub async fn later(
    tx: &mut Tx,
    secrets: &Secrets,
    import: ImportId,
    rows: Vec<Row>,
    reading: &Reading,
    now: Timestamp,
) -> Result<(), SecretError> {
    let key = secrets.tenant(tx).await?;
    let mut sealed = Vec::new();
    let mut first = 0;
    let mut rows = rows.into_iter().peekable();
    while rows.peek().is_some() {
        let part = Part {
            first,
            reading: reading.clone(),
            rows: rows.by_ref().take(PART).collect(),
        };
        first += i32::try_from(part.rows.len()).unwrap_or(i32::MAX);
        let bytes = serde_json::to_vec(&part).map_err(|e| sqlx::Error::Encode(e.into()))?;
        sealed.push(key.seal(SEALED, import.0, &bytes));
    }
    store::insert_parts(tx, import, &sealed).await?;
    due::at(tx, RUN, import, now).await?;
    Ok(())
}

/// Takes some more of a large file in. `Some` = when to go on.
///
/// Each part is one transaction: its rows, what became of them, its line of the trail, and that it waits no
/// more. Who is killed meanwhile leaves the part as it was.
pub async fn work(
    db: &Database,
    secrets: &Secrets,
    (tenant, import): (TenantId, ImportId),
    attempts: u32,
    now: Timestamp,
) -> anyhow::Result<Option<Timestamp>> {
    for _ in 0..TURNS {
        let mut tx = db.begin(tenant).await?;
        let Some(found) = store::lock(&mut tx, import).await? else {
            return Ok(None);
        };
        if attempts >= PATIENCE {
            give_up(&mut tx, &found, now).await?;
            tx.commit().await?;
            return Ok(None);
        }
        let Some(sealed) = store::take_part(&mut tx, import).await? else {
            if found.finished_at.is_none() {
                store::finish(&mut tx, import, State::Done, None, now).await?;
                tx.commit().await?;
            }
            return Ok(None);
        };
        let key = secrets.tenant(&mut tx).await?;
        let part: Part = serde_json::from_slice(&key.open(SEALED, import.0, &sealed)?)?;
        let how = (&part.reading, found.on_existing);
        let (erased, rows) = apart(&found, part.rows);
        let (lines, ends) = take_in(&mut tx, secrets, &rows, how, Depth::Write, now).await?;
        let lines = together(erased, lines);
        write_down(&mut tx, &found, (part.first, &lines), &ends, now).await?;
        tx.commit().await?;
    }
    Ok(Some(now))
}

/// Notes in the files that wait that somebody was erased: none of them makes him again.
pub async fn forget_person(tx: &mut Tx, username: &str) -> sqlx::Result<()> {
    for import in store::lock_waiting(tx).await? {
        store::forbid(tx, import, &digest(import, username)).await?;
    }
    Ok(())
}

fn digest(import: ImportId, username: &str) -> [u8; 32] {
    Sha256::digest(format!("{import} {}", username.trim().to_lowercase())).into()
}

/// The rows of who was erased since the file came, by their place and line, and the others.
fn apart(import: &Import, rows: Vec<Row>) -> (Vec<(usize, u32)>, Vec<Row>) {
    let mut erased = Vec::new();
    if import.forgotten.is_empty() {
        return (erased, rows);
    }
    let mut others = Vec::with_capacity(rows.len());
    for (place, row) in rows.into_iter().enumerate() {
        let digest = digest(import.id, row.username());
        match import.forgotten.iter().any(|known| known[..] == digest[..]) {
            true => erased.push((place, row.line)),
            false => others.push(row),
        }
    }
    (erased, others)
}

/// What became of all of them, in their order.
fn together(erased: Vec<(usize, u32)>, mut lines: Vec<Line>) -> Vec<Line> {
    for (place, line) in erased {
        let why = FieldError {
            field: "username".to_owned(),
            message: "was erased after this file came; enter him by hand if he is a customer again"
                .to_owned(),
        };
        let line = Line {
            line: i32::try_from(line).unwrap_or(i32::MAX),
            outcome: Outcome::Skipped,
            subject_id: None,
            name: "erased".to_owned(),
            errors: Json(vec![why]),
            warnings: Json(Vec::new()),
            before: None,
        };
        lines.insert(place, line);
    }
    lines
}

/// What could be done stays; the rest is forgotten, with its passwords.
async fn give_up(tx: &mut Tx, import: &Import, now: Timestamp) -> sqlx::Result<()> {
    let left = import.total - import.done();
    let why = format!(
        "Given up after {PATIENCE} tries; {left} rows were not looked at. Our logs say why. Send the same file \
         again: who is there already is left as he is"
    );
    store::drop_parts(tx, import.id).await?;
    store::finish(tx, import.id, State::Failed, Some(&why), now).await
}

/// Writes what became of a part, and one line of the trail for all of it, with each end of somebody's time that
/// it moved.
pub async fn write_down(
    tx: &mut Tx,
    import: &Import,
    (first, lines): (i32, &[Line]),
    ends: &[Value],
    now: Timestamp,
) -> sqlx::Result<()> {
    store::insert_lines(tx, import.id, first, lines, now).await?;
    let count = |outcome| lines.iter().filter(|line| line.outcome == outcome).count();
    let (action, name) = match import.what {
        What::Customers => (Action::CustomerImport, "Customers"),
        What::Packages => (Action::PackageImport, "Packages"),
    };
    let (created, updated) = (count(Outcome::Created), count(Outcome::Updated));
    let (skipped, failed) = (count(Outcome::Skipped), count(Outcome::Failed));
    let from_to = match (lines.first(), lines.last()) {
        (Some(first), Some(last)) => format!("lines {} to {}", first.line, last.line),
        (None, _) | (_, None) => "no lines".to_owned(),
    };
    let mut after = json!({
        "created": created, "updated": updated, "skipped": skipped, "failed": failed,
        "format": import.format,
    });
    if !ends.is_empty() {
        after["ends"] = json!(ends);
    }
    let source = match import.format == ROUTER {
        true => "a router's lists".to_owned(),
        false => format!("a file ({})", import.format),
    };
    let line = Audit {
        details: format!(
            "{from_to} of {source}: {created} made, {updated} changed, {skipped} left as they were, \
             {failed} failed"
        ),
        after: Some(after),
        ..Audit::new(action, "import", import.id, name)
    };
    audit::record(tx, &actor(&import.by), line, now).await?;
    Ok(())
}

/// Who sent a file, as the trail names him.
pub fn actor(by: &By) -> Actor {
    let address = by.address.parse().unwrap_or([0, 0, 0, 0].into());
    let actor = Actor::person(by.operator_id, &by.operator_name, address)
        .in_request(by.request_id.as_str().into());
    match by.of_platform {
        true => actor.of_platform(),
        false => actor,
    }
}

/// Takes a file of packages in, in this transaction; what became of its rows.
pub async fn packages_at_once(
    tx: &mut Tx,
    import: &Import,
    rows: Vec<packages::Row>,
    now: Timestamp,
) -> sqlx::Result<Vec<Line>> {
    let lines = packages::take_in(tx, rows, import.on_existing, Depth::Write, now).await?;
    write_down(tx, import, (0, &lines), &[], now).await?;
    store::finish(tx, import.id, State::Done, None, now).await?;
    Ok(lines)
}
