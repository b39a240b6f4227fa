//! The sealer: numbers what was committed, chains it and adds it to the day's totals.
//!
//! One holder of a tenant's lease does it at a time, in one transaction per batch, so the money path
//! never waits for a place in the chain.

use std::collections::BTreeMap;

use easyisp_shared::id::TenantId;
use easyisp_shared::time::Timestamp;
use jiff::tz::TimeZone;

use crate::db::{Database, Tx};

use super::digest::{BEGINNING, link};
use super::rows::{self, Posted, Subject, SubjectKind};
use super::tallies;

/// The kind of the due job that seals a tenant's books; its subject is the tenant.
pub const SEAL: &str = "ledger.seal";

/// Most rows sealed in one transaction.
pub(super) const BATCH: usize = 500;

/// Differences of tallies that are added up in one transaction.
const DIFFERENCES: i64 = 5_000;

/// Seals everything of a tenant that was committed when it began, and adds its tallies up; returns how many rows were
/// sealed.
pub async fn seal_all(db: &Database, tenant: TenantId, now: Timestamp) -> sqlx::Result<usize> {
    let mut sealed = 0;
    loop {
        let mut tx = db.begin(tenant).await?;
        let added = tallies::add_up(&mut tx, DIFFERENCES).await?;
        tx.commit().await?;
        if added < DIFFERENCES {
            break;
        }
    }
    loop {
        let mut tx = db.begin(tenant).await?;
        let batch = seal(&mut tx, now).await?;
        tx.commit().await?;
        sealed += batch;
        if batch < BATCH {
            return Ok(sealed);
        }
    }
}

/// Seals up to 500 rows in the caller's transaction; returns how many.
///
/// Of two sealers of one tenant that meet in spite of the lease, the later one's insert fails.
pub async fn seal(tx: &mut Tx, now: Timestamp) -> sqlx::Result<usize> {
    let waiting = rows::waiting(tx, BATCH).await?;
    if waiting.is_empty() {
        return Ok(0);
    }
    let zone = rows::zone(tx).await?;
    let (mut sequence, mut before) = rows::last_link(tx).await?.unwrap_or((0, BEGINNING));
    let contents = rows::contents(tx, &waiting).await?;

    let mut links = Links::default();
    let mut days = Days::default();
    for subject in waiting {
        let Some(posted) = contents.get(&subject) else {
            continue; // verify names a waiting id without a row
        };
        sequence += 1;
        before = link(&before, sequence, &posted.content());
        links.push(sequence, subject, before);
        days.add(posted, &zone)?;
    }
    let sealed = links.sequences.len();
    write(tx, &links, &days, now).await?;
    Ok(sealed)
}

/// Rows of the chain, column by column.
#[derive(Default)]
struct Links {
    sequences: Vec<i64>,
    kinds: Vec<&'static str>,
    subjects: Vec<uuid::Uuid>,
    digests: Vec<Vec<u8>>,
}

impl Links {
    fn push(&mut self, sequence: i64, subject: Subject, digest: super::digest::Digest) {
        self.sequences.push(sequence);
        self.kinds.push(subject.kind.as_str());
        self.subjects.push(subject.id);
        self.digests.push(digest.to_vec());
    }
}

/// Debits and credits by day and account. The day is the tenant's, of when the money moved.
#[derive(Default, PartialEq, Eq, Debug)]
pub(super) struct Days {
    pub(super) sums: BTreeMap<(String, String), (i64, i64)>,
}

impl Days {
    /// Adds an entry's transfers; audit lines have none. An overflow stops the books.
    pub(super) fn add(&mut self, posted: &Posted, zone: &TimeZone) -> sqlx::Result<()> {
        if posted.transfers.is_empty() {
            return Ok(());
        }
        let day = posted.occurred_at.in_zone(zone).date().to_string();
        for (debit, credit, amount) in &posted.transfers {
            let (debits, _) = self.place(&day, debit);
            *debits = plus(*debits, *amount)?;
            let (_, credits) = self.place(&day, credit);
            *credits = plus(*credits, *amount)?;
        }
        Ok(())
    }

    fn place(&mut self, day: &str, account: &str) -> &mut (i64, i64) {
        let place = (day.to_owned(), account.to_owned());
        self.sums.entry(place).or_default()
    }
}

fn plus(sum: i64, amount: i64) -> sqlx::Result<i64> {
    sum.checked_add(amount)
        .ok_or_else(|| sqlx::Error::Decode("a day's total does not fit".into()))
}

/// Writes chain rows and day totals and empties the queue, in one statement.
async fn write(tx: &mut Tx, links: &Links, days: &Days, now: Timestamp) -> sqlx::Result<()> {
    let columns = days.sums.iter();
    sqlx::query(
        "with link as (
             insert into chain (tenant_id, sequence, kind, subject_id, digest, sealed_at)
             select $1, c.sequence, c.kind, c.subject_id, c.digest, $6
               from unnest($2::bigint[], $3::text[], $4::uuid[], $5::bytea[])
                 as c (sequence, kind, subject_id, digest)),
         done as (
             delete from unsealed u
              using unnest($3::text[], $4::uuid[]) as c (kind, subject_id)
              where u.tenant_id = $1 and u.kind = c.kind and u.subject_id = c.subject_id)
         insert into day_totals (tenant_id, day, account, debits, credits)
         select $1, d.day::date, d.account, d.debits, d.credits
           from unnest($7::text[], $8::text[], $9::bigint[], $10::bigint[])
             as d (day, account, debits, credits)
             on conflict (tenant_id, day, account) do update
                set debits = day_totals.debits + excluded.debits,
                    credits = day_totals.credits + excluded.credits",
    )
    .bind(tx.tenant())
    .bind(&links.sequences)
    .bind(&links.kinds)
    .bind(&links.subjects)
    .bind(&links.digests)
    .bind(now)
    .bind(
        columns
            .clone()
            .map(|((day, _), _)| day.clone())
            .collect::<Vec<_>>(),
    )
    .bind(
        columns
            .clone()
            .map(|((_, account), _)| account.clone())
            .collect::<Vec<_>>(),
    )
    .bind(
        columns
            .clone()
            .map(|(_, (debits, _))| *debits)
            .collect::<Vec<_>>(),
    )
    .bind(
        columns
            .map(|(_, (_, credits))| *credits)
            .collect::<Vec<_>>(),
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

impl SubjectKind {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            SubjectKind::Entry => "ENTRY",
            SubjectKind::Audit => "AUDIT",
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use easyisp_shared::entropy::Entropy;

    use super::*;

    /// C13: whatever is posted, debits equal credits to the cent, by day and account, and no sum is a
    /// rounded one.
    #[test]
    fn random_postings_sum_exactly() {
        let count = match std::env::var_os("EASYISP_TEST_FULL") {
            Some(_) => 10_000_000,
            None => 100_000,
        };
        let accounts = ["1000", "1010", "2000", "4000", "4010"];
        let entropy = Entropy::seeded(13);
        let (mut days, mut oracle) = (Days::default(), 0i128);
        for _ in 0..count {
            let debit = entropy.below(5) as usize;
            let credit = (debit + 1 + entropy.below(4) as usize) % 5;
            let amount = 1 + i64::try_from(entropy.below(1_000_000_000_000)).unwrap();
            oracle += i128::from(amount);
            let hours = i64::try_from(entropy.below(72)).unwrap();
            let moved = (accounts[debit].into(), accounts[credit].into(), amount);
            let posted = posted(Timestamp::from_secs(hours * 3600), moved);
            days.add(&posted, &TimeZone::UTC).unwrap();
        }

        let sum = |side: fn(&(i64, i64)) -> i64| -> i128 {
            days.sums.values().map(|sums| i128::from(side(sums))).sum()
        };
        assert_eq!((sum(|sums| sums.0), sum(|sums| sums.1)), (oracle, oracle));
        assert_eq!(days.sums.len(), 15);
    }

    #[test]
    fn a_sum_that_does_not_fit_stops_the_books() {
        let mut days = Days::default();
        let moved = ("1000".into(), "2000".into(), i64::MAX);
        let posted = posted(Timestamp::from_secs(0), moved);
        days.add(&posted, &TimeZone::UTC).unwrap();
        assert!(days.add(&posted, &TimeZone::UTC).is_err());
    }

    fn posted(at: Timestamp, moved: (String, String, i64)) -> Posted {
        let mut posted = Posted::new(SubjectKind::Entry, uuid::Uuid::nil(), None, at);
        posted.transfers.push(moved);
        posted
    }

    /// The gate beside the property: no file that handles money has a float type in it.
    #[test]
    fn money_code_has_no_float() {
        let cloud = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        let mut folders: Vec<_> = [
            "ledger", "renewals", "payments", "finance", "invoices", "billing",
        ]
        .map(|folder| cloud.join(folder))
        .into();
        let mut files = 0;
        while let Some(folder) = folders.pop() {
            for file in std::fs::read_dir(&folder).unwrap() {
                let file = file.unwrap().path();
                if file.is_dir() {
                    folders.push(file);
                    continue;
                }
                files += 1;
                let text = std::fs::read_to_string(&file).unwrap();
                for float in [["f", "64"].concat(), ["f", "32"].concat()] {
                    let words = text.split(|letter: char| !letter.is_alphanumeric());
                    assert!(!words.into_iter().any(|word| word == float), "{file:?}");
                }
            }
        }
        assert!(files > 100, "{files} files were looked at");
    }
}
