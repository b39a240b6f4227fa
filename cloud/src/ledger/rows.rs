//! What sealer and verifier read: the queue, the chain, and the written form of what it is about.

use std::collections::HashMap;

use easyisp_shared::time::Timestamp;
use jiff::tz::TimeZone;
use sqlx::postgres::PgRow;
use sqlx::{FromRow, Row};
use uuid::Uuid;

use crate::db::Tx;

use super::digest::{Content, Digest};

/// What a row of the chain or of the queue is about.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct Subject {
    pub(super) kind: SubjectKind,
    pub(super) id: Uuid,
}

/// An entry of the ledger, or a line of the audit trail.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum SubjectKind {
    Entry,
    Audit,
}

impl Subject {
    pub(super) fn from_row(row: &PgRow) -> sqlx::Result<Subject> {
        let kind = match row.try_get("kind")? {
            "ENTRY" => SubjectKind::Entry,
            "AUDIT" => SubjectKind::Audit,
            other => {
                let problem = format!("chain kind {other}");
                return Err(sqlx::Error::Decode(problem.into()));
            }
        };
        let id = row.try_get("subject_id")?;
        Ok(Subject { kind, id })
    }
}

impl std::fmt::Display for Subject {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.kind {
            SubjectKind::Entry => write!(f, "entry {}", self.id),
            SubjectKind::Audit => write!(f, "audit line {}", self.id),
        }
    }
}

/// A subject's content, and what it adds to the day's totals.
#[derive(Debug)]
pub(super) struct Posted {
    /// All that the row says: the written form of a row that is older than the salt.
    whole: Content,
    /// All but its words.
    facts: Content,
    /// What may be blanked.
    words: Content,
    salt: Option<Vec<u8>>,
    /// The digest of the words that were there before they were blanked.
    words_were: Option<Digest>,
    pub(super) occurred_at: Timestamp,
    /// Debit account, credit account, amount.
    pub(super) transfers: Vec<(String, String, i64)>,
}

impl Posted {
    /// Of a row of which only this is known yet.
    pub(super) fn new(
        kind: SubjectKind,
        id: Uuid,
        salt: Option<Vec<u8>>,
        occurred_at: Timestamp,
    ) -> Posted {
        let mut posted = Posted {
            whole: Content::new(kind.as_str()),
            facts: Content::new(&format!("{} 2", kind.as_str())),
            words: Content::new("WORDS"),
            salt,
            words_were: None,
            occurred_at,
            transfers: Vec::new(),
        };
        posted.fact(|content| content.id(Some(id)));
        posted
    }

    /// Adds what is never blanked.
    fn fact(&mut self, add: impl Fn(&mut Content)) {
        add(&mut self.whole);
        add(&mut self.facts);
    }

    /// Adds what may be blanked.
    fn word(&mut self, add: impl Fn(&mut Content)) {
        add(&mut self.whole);
        add(&mut self.words);
    }

    /// The digest of its words, also when they are gone; `None` for a row that is older than the salt.
    pub(super) fn words_digest(&self) -> Option<Digest> {
        let salt = self.salt.as_ref();
        salt.map(|salt| self.words.salted(salt)).or(self.words_were)
    }

    /// Notes the digest of the words that were there before they were blanked.
    pub(super) fn words_were(&mut self, words: Digest) {
        self.words_were = Some(words);
    }

    /// What the chain's digest covers.
    pub(super) fn content(&self) -> Content {
        match self.words_digest() {
            Some(words) => {
                let mut content = self.facts.clone();
                content.words(&words);
                content
            }
            None => self.whole.clone(),
        }
    }

    /// The digest of what is left of a blanked row.
    pub(super) fn left(&self) -> Digest {
        let mut content = self.whole.clone();
        if let Some(words) = &self.words_were {
            content.words(words);
        }
        content.digest()
    }
}

/// The oldest rows that wait for their number.
pub(super) async fn waiting(tx: &mut Tx, most: usize) -> sqlx::Result<Vec<Subject>> {
    let rows = sqlx::query(
        "select kind, subject_id from unsealed where tenant_id = $1 order by subject_id limit $2",
    )
    .bind(tx.tenant())
    .bind(i64::try_from(most).unwrap_or(i64::MAX))
    .fetch_all(&mut **tx)
    .await?;
    rows.iter().map(Subject::from_row).collect()
}

/// Rows that wait for their number, by kind and id, behind this one.
pub(super) async fn waiting_after(
    tx: &mut Tx,
    after: Option<Subject>,
    most: usize,
) -> sqlx::Result<Vec<Subject>> {
    let rows = sqlx::query(
        "select kind, subject_id from unsealed
          where tenant_id = $1 and (kind, subject_id) > ($2, $3)
          order by kind, subject_id limit $4",
    )
    .bind(tx.tenant())
    .bind(after.map_or("", |after| after.kind.as_str()))
    .bind(after.map_or(Uuid::nil(), |after| after.id))
    .bind(i64::try_from(most).unwrap_or(i64::MAX))
    .fetch_all(&mut **tx)
    .await?;
    rows.iter().map(Subject::from_row).collect()
}

/// The number and digest of the newest row of the chain.
pub(super) async fn last_link(tx: &mut Tx) -> sqlx::Result<Option<(i64, Digest)>> {
    let last: Option<(i64, Vec<u8>)> = sqlx::query_as(
        "select sequence, digest from chain where tenant_id = $1 order by sequence desc limit 1",
    )
    .bind(tx.tenant())
    .fetch_optional(&mut **tx)
    .await?;
    Ok(last.map(|(sequence, digest)| (sequence, to_digest(&digest))))
}

/// A digest as the database keeps it; its length is checked there.
pub(super) fn to_digest(bytes: &[u8]) -> Digest {
    bytes.try_into().unwrap_or_default()
}

/// The zone in which the tenant's days begin. It does not change once there are entries.
pub async fn zone(tx: &mut Tx) -> sqlx::Result<TimeZone> {
    let name: String = sqlx::query_scalar("select time_zone from tenants where tenant_id = $1")
        .bind(tx.tenant())
        .fetch_one(&mut **tx)
        .await?;
    TimeZone::get(&name).map_err(|error| sqlx::Error::Decode(error.into()))
}

/// The written form of those subjects that exist.
pub(super) async fn contents(
    tx: &mut Tx,
    subjects: &[Subject],
) -> sqlx::Result<HashMap<Subject, Posted>> {
    let mut contents = read(tx, subjects).await?;
    // Rows without a salt are older than it, or were blanked: those have their words' digest elsewhere.
    let bare = contents.iter().filter(|(_, posted)| posted.salt.is_none());
    let bare: Vec<Uuid> = bare.map(|(subject, _)| subject.id).collect();
    if !bare.is_empty() {
        for (subject, words) in words_of_blanked(tx, &bare).await? {
            if let Some(posted) = contents.get_mut(&subject) {
                posted.words_were = Some(words);
            }
        }
    }
    Ok(contents)
}

async fn read(tx: &mut Tx, subjects: &[Subject]) -> sqlx::Result<HashMap<Subject, Posted>> {
    let ids = |kind| -> Vec<Uuid> {
        let of_kind = subjects.iter().filter(|subject| subject.kind == kind);
        of_kind.map(|subject| subject.id).collect()
    };
    let (entries, audits) = (ids(SubjectKind::Entry), ids(SubjectKind::Audit));
    let mut contents = HashMap::with_capacity(subjects.len());
    if !entries.is_empty() {
        read_entries(tx, &entries, &mut contents).await?;
    }
    if !audits.is_empty() {
        read_audits(tx, &audits, &mut contents).await?;
    }
    Ok(contents)
}

/// The digests of the words of rows that were blanked, as far as they had one.
async fn words_of_blanked(tx: &mut Tx, ids: &[Uuid]) -> sqlx::Result<Vec<(Subject, Digest)>> {
    let rows = sqlx::query(
        "select distinct on (kind, subject_id) kind, subject_id, words
           from redactions
          where tenant_id = $1 and kind in ('ENTRY', 'AUDIT') and subject_id = any($2)
            and words is not null
          order by kind, subject_id, line_id",
    )
    .bind(tx.tenant())
    .bind(ids)
    .fetch_all(&mut **tx)
    .await?;
    rows.iter()
        .map(|row| {
            let words: Vec<u8> = row.try_get("words")?;
            Ok((Subject::from_row(row)?, to_digest(&words)))
        })
        .collect()
}

#[derive(FromRow)]
struct EntryRow {
    id: Uuid,
    kind: String,
    occurred_at: Timestamp,
    posted_at: Timestamp,
    customer_id: Option<Uuid>,
    source: String,
    description: String,
    salt: Option<Vec<u8>>,
}

#[derive(FromRow)]
struct TransferRow {
    entry_id: Uuid,
    line: i16,
    debit_account: String,
    debit_party: Option<Uuid>,
    credit_account: String,
    credit_party: Option<Uuid>,
    amount: i64,
    currency: String,
}

async fn read_entries(
    tx: &mut Tx,
    ids: &[Uuid],
    into: &mut HashMap<Subject, Posted>,
) -> sqlx::Result<()> {
    let entries: Vec<EntryRow> = sqlx::query_as(
        "select id, kind, occurred_at, posted_at, customer_id, source, description, salt
           from entries
          where tenant_id = $1 and id = any($2)",
    )
    .bind(tx.tenant())
    .bind(ids)
    .fetch_all(&mut **tx)
    .await?;
    for row in entries {
        let kind = SubjectKind::Entry;
        let mut posted = Posted::new(kind, row.id, row.salt, row.occurred_at);
        posted.fact(|content| {
            content.text(&row.kind);
            content.at(row.occurred_at);
            content.at(row.posted_at);
            content.id(row.customer_id);
            content.text(&row.source);
        });
        posted.word(|content| content.text(&row.description));
        into.insert(Subject { kind, id: row.id }, posted);
    }
    let transfers: Vec<TransferRow> = sqlx::query_as(
        "select entry_id, line, debit_account, debit_party, credit_account, credit_party, amount, currency
           from transfers
          where tenant_id = $1 and entry_id = any($2)
          order by entry_id, line",
    )
    .bind(tx.tenant())
    .bind(ids)
    .fetch_all(&mut **tx)
    .await?;
    for row in transfers {
        let subject = Subject {
            kind: SubjectKind::Entry,
            id: row.entry_id,
        };
        let Some(posted) = into.get_mut(&subject) else {
            continue; // a transfer cannot outlive its entry
        };
        posted.fact(|content| {
            content.number(row.line.into());
            content.text(&row.debit_account);
            content.id(row.debit_party);
            content.text(&row.credit_account);
            content.id(row.credit_party);
            content.number(row.amount);
            content.text(&row.currency);
        });
        posted
            .transfers
            .push((row.debit_account, row.credit_account, row.amount));
    }
    Ok(())
}

#[derive(FromRow)]
struct AuditRow {
    id: Uuid,
    at: Timestamp,
    actor_kind: String,
    actor_id: Option<Uuid>,
    actor_name: String,
    action: String,
    target_type: String,
    target_id: Option<Uuid>,
    target_name: String,
    details: String,
    before: Option<String>,
    after: Option<String>,
    ip_address: Option<String>,
    request_id: Option<String>,
    salt: Option<Vec<u8>>,
}

async fn read_audits(
    tx: &mut Tx,
    ids: &[Uuid],
    into: &mut HashMap<Subject, Posted>,
) -> sqlx::Result<()> {
    let lines: Vec<AuditRow> = sqlx::query_as(
        "select id, at, actor_kind, actor_id, actor_name, action, target_type, target_id, target_name,
                details, before::text as before, after::text as after, ip_address, request_id, salt
           from audit
          where tenant_id = $1 and id = any($2)",
    )
    .bind(tx.tenant())
    .bind(ids)
    .fetch_all(&mut **tx)
    .await?;
    for row in lines {
        let kind = SubjectKind::Audit;
        let mut posted = Posted::new(kind, row.id, row.salt, row.at);
        posted.fact(|content| {
            content.at(row.at);
            content.text(&row.actor_kind);
            content.id(row.actor_id);
        });
        posted.word(|content| content.text(&row.actor_name));
        posted.fact(|content| {
            content.text(&row.action);
            content.text(&row.target_type);
            content.id(row.target_id);
        });
        posted.word(|content| {
            content.text(&row.target_name);
            content.text(&row.details);
            content.maybe(row.before.as_deref());
            content.maybe(row.after.as_deref());
            content.maybe(row.ip_address.as_deref());
            content.maybe(row.request_id.as_deref());
        });
        into.insert(Subject { kind, id: row.id }, posted);
    }
    Ok(())
}
