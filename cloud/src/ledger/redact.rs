//! Taking people out of what was sealed: words are blanked, and the books still prove the rest.
//!
//! The chain covers what a row says in words as a salted digest. When words are blanked their digest is kept
//! and the salt is not: the rest of the row (amounts, accounts, kinds, moments) is proved as before, and the
//! words cannot be guessed. What is left of the row has a digest of its own, and a line of the trail, itself in
//! the chain, holds the digest over all that was blanked at once: whoever blanks a row without such a line, or
//! writes into a blanked one, is found. Of rows older than the salt only what is left is proved.

use std::collections::HashMap;

use easyisp_shared::id::AuditId;
use sha2::{Digest as _, Sha256};
use sqlx::Row;
use uuid::Uuid;

use crate::db::Tx;

use super::digest::Digest;
use super::rows::{self, Subject, SubjectKind};
use super::verify::Report;

/// What is to be blanked.
#[derive(Clone, Default, Debug)]
pub struct Blank {
    /// Lines of the trail: what they say and, where this is true, the name of what they are about.
    pub lines: Vec<(Uuid, bool)>,
    /// Entries: their text for people.
    pub entries: Vec<Uuid>,
    /// What takes the place of a name: `erased-` and twelve hex digits, or nothing.
    pub pseudonym: String,
    /// Whether the names of who did it go too, and from where: the lines are old.
    pub is_old: bool,
}

/// What was blanked and waits for the line that vouches for it.
#[must_use = "without its line the books do not prove"]
#[derive(Debug)]
pub struct Blanked {
    left: Vec<(Subject, Digest)>,
    /// The digests of the words that were there.
    words: HashMap<Subject, Digest>,
}

impl Blanked {
    /// How many rows.
    pub fn rows(&self) -> usize {
        self.left.len()
    }

    /// What the line of the trail must hold as `digest` in its `after`.
    pub fn digest(&self) -> String {
        fold(&self.left)
    }
}

/// The action of the lines that vouch. They name nobody and are never blanked.
pub const VOUCHES: &str = "AUDIT_REDACT";

/// Blanks rows of the trail and the journal; [`vouch`] must follow in the same transaction.
pub async fn blank(tx: &mut Tx, what: &Blank) -> sqlx::Result<Blanked> {
    let (lines, named): (Vec<Uuid>, Vec<bool>) = what.lines.iter().copied().unzip();
    let subject = |kind| move |id: &Uuid| Subject { kind, id: *id };
    let subjects: Vec<Subject> = what
        .entries
        .iter()
        .map(subject(SubjectKind::Entry))
        .chain(lines.iter().map(subject(SubjectKind::Audit)))
        .collect();
    let before = rows::contents(tx, &subjects).await?;
    let words = before.into_iter();
    let words: HashMap<Subject, Digest> = words
        .filter_map(|(subject, posted)| Some((subject, posted.words_digest()?)))
        .collect();
    sqlx::query("select blank_audit($1, $2, $3, $4)")
        .bind(&lines)
        .bind(named)
        .bind(&what.pseudonym)
        .bind(what.is_old)
        .execute(&mut **tx)
        .await?;
    sqlx::query("select blank_entries($1)")
        .bind(&what.entries)
        .execute(&mut **tx)
        .await?;
    let mut contents = rows::contents(tx, &subjects).await?;
    for (subject, words) in &words {
        if let Some(posted) = contents.get_mut(subject) {
            posted.words_were(*words);
        }
    }
    let mut left: Vec<(Subject, Digest)> = contents
        .into_iter()
        .map(|(subject, posted)| (subject, posted.left()))
        .collect();
    left.sort_by_key(|(subject, _)| (subject.kind.as_str(), subject.id));
    Ok(Blanked { left, words })
}

/// Notes which line of the trail vouches for what was blanked; it has the action [`VOUCHES`].
pub async fn vouch(tx: &mut Tx, line: AuditId, blanked: Blanked) -> sqlx::Result<()> {
    let left = || blanked.left.iter();
    sqlx::query(
        "insert into redactions (tenant_id, line_id, kind, subject_id, digest, words)
         select $1, $2, r.kind, r.subject_id, r.digest, r.words
           from unnest($3::text[], $4::uuid[], $5::bytea[], $6::bytea[])
             as r (kind, subject_id, digest, words)",
    )
    .bind(tx.tenant())
    .bind(line)
    .bind(
        left()
            .map(|(subject, _)| subject.kind.as_str())
            .collect::<Vec<_>>(),
    )
    .bind(left().map(|(subject, _)| subject.id).collect::<Vec<_>>())
    .bind(
        left()
            .map(|(_, digest)| digest.to_vec())
            .collect::<Vec<_>>(),
    )
    .bind(
        left()
            .map(|(subject, _)| blanked.words.get(subject).map(|words| words.to_vec()))
            .collect::<Vec<_>>(),
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// The digests of what is left of those of `subjects` that were blanked: one for each time.
pub(super) async fn left(
    tx: &mut Tx,
    subjects: &[Subject],
) -> sqlx::Result<HashMap<Subject, Vec<Digest>>> {
    let rows = sqlx::query(
        "select kind, subject_id, digest
           from redactions
          where tenant_id = $1 and kind in ('ENTRY', 'AUDIT') and subject_id = any($2)",
    )
    .bind(tx.tenant())
    .bind(
        subjects
            .iter()
            .map(|subject| subject.id)
            .collect::<Vec<_>>(),
    )
    .fetch_all(&mut **tx)
    .await?;
    let mut left: HashMap<Subject, Vec<Digest>> = HashMap::new();
    for row in &rows {
        let digest: Vec<u8> = row.try_get("digest")?;
        let of_subject = left.entry(Subject::from_row(row)?).or_default();
        of_subject.push(rows::to_digest(&digest));
    }
    Ok(left)
}

/// Every blanked row is vouched for by a line that says the same digest and was not blanked itself.
pub(super) async fn verify(tx: &mut Tx, report: &mut Report) -> sqlx::Result<()> {
    let tenant = tx.tenant();
    let mut last = Uuid::nil();
    while let Some((line, said)) = next_line(tx, last).await? {
        let left = of_line(tx, line).await?;
        if said.as_deref() != Some(fold(&left).as_str()) {
            let what = format!(
                "{} rows were blanked and line {line} of the trail does not vouch for them",
                left.len()
            );
            report.found(tenant, what);
        }
        last = line;
    }
    Ok(())
}

/// The next line that is said to vouch, and the digest it holds.
async fn next_line(tx: &mut Tx, after: Uuid) -> sqlx::Result<Option<(Uuid, Option<String>)>> {
    sqlx::query_as(
        "select r.line_id,
                (select a.after ->> 'digest' from audit a
                  where a.tenant_id = $1 and a.id = r.line_id and a.action = $3
                    and not exists (select from redactions b
                                     where b.tenant_id = $1 and b.kind = 'AUDIT'
                                       and b.subject_id = r.line_id))
           from redactions r
          where r.tenant_id = $1 and r.line_id > $2
          order by r.line_id
          limit 1",
    )
    .bind(tx.tenant())
    .bind(after)
    .bind(VOUCHES)
    .fetch_optional(&mut **tx)
    .await
}

async fn of_line(tx: &mut Tx, line: Uuid) -> sqlx::Result<Vec<(Subject, Digest)>> {
    let rows = sqlx::query(
        "select kind, subject_id, digest
           from redactions
          where tenant_id = $1 and line_id = $2",
    )
    .bind(tx.tenant())
    .bind(line)
    .fetch_all(&mut **tx)
    .await?;
    let mut left: Vec<(Subject, Digest)> = rows
        .iter()
        .map(|row| {
            let digest: Vec<u8> = row.try_get("digest")?;
            Ok((Subject::from_row(row)?, rows::to_digest(&digest)))
        })
        .collect::<sqlx::Result<_>>()?;
    left.sort_by_key(|(subject, _)| (subject.kind.as_str(), subject.id));
    Ok(left)
}

fn fold(left: &[(Subject, Digest)]) -> String {
    let mut hash = Sha256::new();
    for (subject, digest) in left {
        hash.update(subject.kind.as_str());
        hash.update(subject.id.as_bytes());
        hash.update(digest);
    }
    hex::encode(hash.finalize())
}
