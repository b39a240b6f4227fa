//! Batches: a header and a list of records, each with its own kind and length.

use uuid::Uuid;

use super::WireError;
use super::bytes::{
    number_len, put_number, split_id, split_kind, split_number, split_octet, split_octets,
};

/// The most records one batch may hold; a sender that has more sends more batches.
pub const BATCH_RECORDS: usize = 4096;

/// A run of a site's state, going down.
///
/// Applied together with the cursor `to` in one transaction. Every version in `from+1..=to` is whole:
/// the cursor never splits a version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeedBatch {
    /// The cursor this batch follows; the agent's own cursor must be at least this.
    pub from: u64,
    /// The cursor once this batch is applied.
    pub to: u64,
    /// What the records mean for rows that are not among them.
    pub mode: FeedMode,
    /// Whether `to` was the head when this was sent: nothing more is waiting.
    pub last: bool,
    /// Per kind, the digest of all rows the site should hold at `to`; only where `last`, else empty.
    pub digests: Vec<(u16, u128)>,
    /// The rows, in version order (snapshot: in key order).
    pub records: Vec<DownRecord>,
}

/// What a feed batch means for rows that are not in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FeedMode {
    /// They stay as they are.
    Changes,
    /// A snapshot begins here: remember which rows come, change nothing else yet.
    SnapshotBegin,
    /// The snapshot goes on.
    SnapshotMore,
    /// The snapshot ends with this batch: rows that came in none of its batches are removed, and only
    /// now the cursor moves to `to`.
    SnapshotEnd,
    /// A snapshot of a single batch: begins and ends here.
    SnapshotWhole,
}

/// One row of a site's state: what it is, not what happened to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DownRecord {
    /// A [`super::DownKind`] code; kept raw, because a newer cloud may send kinds this build does not know.
    pub kind: u16,
    /// The row's id.
    pub id: Uuid,
    /// The site version that last wrote the row.
    pub version: u64,
    /// The encoded state, or `None` where the row is gone.
    pub body: Option<Vec<u8>>,
}

/// A run of one lane of an agent's outbox, going up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpBatch {
    /// Random when the outbox file was made; a new file starts its own sequences.
    pub outbox: Uuid,
    /// Which of the outbox's lanes this is.
    pub lane: Lane,
    /// The sequence this batch follows. The cloud applies it only where its mark is at least this, so
    /// that a batch that got lost is never jumped over.
    pub after: u64,
    /// The records, their sequences rising; the acknowledged mark is the last one's.
    pub records: Vec<UpRecord>,
}

/// One thing an agent reports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpRecord {
    /// A [`super::UpKind`] code; kept raw, because a newer agent may send kinds this build does not know.
    pub kind: u16,
    /// Its place in the lane, from 1.
    pub sequence: u64,
    /// The encoded report.
    pub body: Vec<u8>,
}

/// Reports that must not wait for each other travel in lanes of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Lane {
    /// Sessions, usage and redemptions: what money is counted from.
    Accounting,
    /// What became of commands, and the log of logins.
    Results,
    /// Heartbeats and measurements.
    Metrics,
}

impl Lane {
    /// Every lane, in the order they are drained.
    pub const ALL: [Lane; 3] = [Lane::Accounting, Lane::Results, Lane::Metrics];

    /// The lane's number on the wire and in both databases.
    pub const fn code(self) -> u8 {
        match self {
            Lane::Accounting => 1,
            Lane::Results => 2,
            Lane::Metrics => 3,
        }
    }

    /// The lane with this number.
    pub fn from_code(code: u8) -> Option<Lane> {
        Lane::ALL.into_iter().find(|lane| lane.code() == code)
    }
}

impl FeedBatch {
    /// Appends the batch.
    pub fn put(&self, out: &mut Vec<u8>) {
        put_number(out, self.from);
        put_number(out, self.to);
        out.push(self.mode.code() | if self.last { LAST } else { 0 });
        put_number(out, self.digests.len() as u64);
        for (kind, digest) in &self.digests {
            put_number(out, u64::from(*kind));
            out.extend_from_slice(&digest.to_be_bytes());
        }
        put_number(out, self.records.len() as u64);
        for record in &self.records {
            record.put(out);
        }
    }

    /// Reads a batch that fills `input` to its end.
    ///
    /// Reads untrusted bytes. Record bodies are not looked into; a batch whose *outline* is broken is
    /// an error, because nothing after the break can be trusted.
    pub fn read(input: &[u8]) -> Result<FeedBatch, WireError> {
        let (from, rest) = split_number(input)?;
        let (to, rest) = split_number(rest)?;
        let (flags, rest) = split_octet(rest)?;
        let mode = FeedMode::from_code(flags & !LAST).ok_or(WireError::Broken)?;
        let (count, mut rest) = split_number(rest)?;
        let mut digests = Vec::new();
        for _ in 0..bounded(count)? {
            let (kind, tail) = split_kind(rest)?;
            let (digest, tail) = tail.split_first_chunk().ok_or(WireError::Truncated)?;
            digests.push((kind, u128::from_be_bytes(*digest)));
            rest = tail;
        }
        let (count, mut rest) = split_number(rest)?;
        let mut records = Vec::new();
        for _ in 0..bounded(count)? {
            let (record, tail) = DownRecord::split(rest)?;
            records.push(record);
            rest = tail;
        }
        if !rest.is_empty() || to < from {
            return Err(WireError::Broken);
        }
        Ok(FeedBatch {
            from,
            to,
            mode,
            last: flags & LAST != 0,
            digests,
            records,
        })
    }
}

impl DownRecord {
    /// Octets the record takes in a batch.
    pub fn wire_len(&self) -> usize {
        let body = self.body.as_ref().map_or(0, Vec::len);
        number_len(u64::from(self.kind))
            + 16
            + number_len(self.version)
            + number_len(body as u64 + 1)
            + body
    }

    fn put(&self, out: &mut Vec<u8>) {
        put_number(out, u64::from(self.kind));
        out.extend_from_slice(self.id.as_bytes());
        put_number(out, self.version);
        match &self.body {
            None => put_number(out, 0),
            Some(body) => {
                put_number(out, body.len() as u64 + 1);
                out.extend_from_slice(body);
            }
        }
    }

    /// The length is that of the body plus one; 0 says the row is gone.
    fn split(input: &[u8]) -> Result<(DownRecord, &[u8]), WireError> {
        let (kind, rest) = split_kind(input)?;
        let (id, rest) = split_id(rest)?;
        let (version, rest) = split_number(rest)?;
        let (length, rest) = split_number(rest)?;
        let (body, rest) = match length.checked_sub(1) {
            None => (None, rest),
            Some(length) => {
                let (body, rest) = split_octets(rest, length)?;
                (Some(body.to_vec()), rest)
            }
        };
        let record = DownRecord {
            kind,
            id,
            version,
            body,
        };
        Ok((record, rest))
    }
}

impl UpBatch {
    /// Appends the batch.
    pub fn put(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.outbox.as_bytes());
        out.push(self.lane.code());
        put_number(out, self.after);
        put_number(out, self.records.len() as u64);
        for record in &self.records {
            put_number(out, u64::from(record.kind));
            put_number(out, record.sequence);
            put_number(out, record.body.len() as u64);
            out.extend_from_slice(&record.body);
        }
    }

    /// Reads a batch that fills `input` to its end.
    ///
    /// Reads untrusted bytes: an empty batch, or a sequence that does not rise from `after`, is an error.
    pub fn read(input: &[u8]) -> Result<UpBatch, WireError> {
        let (outbox, rest) = split_id(input)?;
        let (lane, rest) = split_octet(rest)?;
        let lane = Lane::from_code(lane).ok_or(WireError::Broken)?;
        let (after, rest) = split_number(rest)?;
        let (count, mut rest) = split_number(rest)?;
        let mut records = Vec::new();
        let mut before = after;
        for _ in 0..bounded(count)? {
            let (kind, tail) = split_kind(rest)?;
            let (sequence, tail) = split_number(tail)?;
            let (length, tail) = split_number(tail)?;
            let (body, tail) = split_octets(tail, length)?;
            if sequence <= before {
                return Err(WireError::Broken);
            }
            before = sequence;
            records.push(UpRecord {
                kind,
                sequence,
                body: body.to_vec(),
            });
            rest = tail;
        }
        if !rest.is_empty() || records.is_empty() {
            return Err(WireError::Broken);
        }
        Ok(UpBatch {
            outbox,
            lane,
            after,
            records,
        })
    }

    /// The mark that acknowledges the whole batch.
    pub fn mark(&self) -> u64 {
        self.records.last().map_or(0, |record| record.sequence)
    }
}

impl UpRecord {
    /// Octets the record takes in a batch.
    pub fn wire_len(&self) -> usize {
        number_len(u64::from(self.kind))
            + number_len(self.sequence)
            + number_len(self.body.len() as u64)
            + self.body.len()
    }
}

impl FeedMode {
    const fn code(self) -> u8 {
        match self {
            FeedMode::Changes => 0,
            FeedMode::SnapshotBegin => 1,
            FeedMode::SnapshotMore => 2,
            FeedMode::SnapshotEnd => 3,
            FeedMode::SnapshotWhole => 4,
        }
    }

    fn from_code(code: u8) -> Option<FeedMode> {
        match code {
            0 => Some(FeedMode::Changes),
            1 => Some(FeedMode::SnapshotBegin),
            2 => Some(FeedMode::SnapshotMore),
            3 => Some(FeedMode::SnapshotEnd),
            4 => Some(FeedMode::SnapshotWhole),
            _ => None,
        }
    }
}

const LAST: u8 = 0x80;

fn bounded(count: u64) -> Result<usize, WireError> {
    let count = usize::try_from(count).map_err(|_| WireError::TooLarge)?;
    if count > BATCH_RECORDS {
        return Err(WireError::TooLarge);
    }
    Ok(count)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use proptest::prelude::*;

    use super::*;

    fn any_down() -> impl Strategy<Value = DownRecord> {
        let body = prop::option::of(prop::collection::vec(any::<u8>(), 0..64));
        (any::<u16>(), any::<u128>(), any::<u64>(), body).prop_map(|(kind, id, version, body)| {
            DownRecord {
                kind,
                id: Uuid::from_u128(id),
                version,
                body,
            }
        })
    }

    proptest! {
        #[test]
        fn a_feed_batch_survives_the_trip(
            from in 0..1000u64, by in 0..1000u64, last: bool,
            records in prop::collection::vec(any_down(), 0..20),
        ) {
            let batch = FeedBatch {
                from, to: from + by, mode: FeedMode::SnapshotEnd, last,
                digests: vec![(1, u128::MAX)], records,
            };
            let mut out = Vec::new();
            batch.put(&mut out);
            let lengths: usize = batch.records.iter().map(DownRecord::wire_len).sum();
            prop_assert!(lengths <= out.len());
            prop_assert_eq!(FeedBatch::read(&out).unwrap(), batch);
        }

        #[test]
        fn reading_any_bytes_ends_in_a_batch_or_an_error(input in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = FeedBatch::read(&input);
            let _ = UpBatch::read(&input);
        }
    }

    #[test]
    fn an_outbox_batch_must_rise() {
        let record = |sequence| UpRecord {
            kind: 1,
            sequence,
            body: vec![1, 2, 3],
        };
        let mut batch = UpBatch {
            outbox: Uuid::from_u128(7),
            lane: Lane::Results,
            after: 2,
            records: vec![record(3), record(5)],
        };
        let bytes = |batch: &UpBatch| {
            let mut out = Vec::new();
            batch.put(&mut out);
            out
        };
        assert_eq!(UpBatch::read(&bytes(&batch)).unwrap(), batch);
        assert_eq!(batch.mark(), 5);

        batch.records.push(record(5));
        assert_eq!(UpBatch::read(&bytes(&batch)), Err(WireError::Broken));
        batch.records.clear();
        assert_eq!(UpBatch::read(&bytes(&batch)), Err(WireError::Broken));
    }
}
