//! How far a queue had counted, and what it counted since.

use std::time::Duration;

use easyisp_shared::id::RouterId;
use easyisp_shared::time::Timestamp;

/// How far the queue of a customer who logs in nowhere had counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LineCounter {
    /// Where.
    pub router: RouterId,
    /// The queue's id there.
    pub queue: String,
    /// Bytes from him.
    pub bytes_in: u64,
    /// Bytes to him.
    pub bytes_out: u64,
    /// When it was read.
    pub at: Timestamp,
}

impl LineCounter {
    /// Whether it says something else than `before`.
    pub fn moved(&self, before: &LineCounter) -> bool {
        let said = |counter: &LineCounter| (counter.router, counter.bytes_in, counter.bytes_out);
        said(self) != said(before) || self.queue != before.queue
    }

    /// The instant of what is read at `now`, after this: also where another agent's clock was ahead.
    pub fn followed_at(&self, now: Timestamp) -> Timestamp {
        now.max(self.at.plus(Duration::from_micros(1)))
    }

    /// From where on what it says is new.
    ///
    /// Another queue, a router that `booted` meanwhile, or a number that went down: it began anew, and all that
    /// it says is new. A queue that was never read before may have counted for others: nothing of it is his.
    pub fn base(&self, before: Option<&LineCounter>, booted: Option<Timestamp>) -> (u64, u64) {
        let Some(before) = before else {
            return (self.bytes_in, self.bytes_out);
        };
        let goes_on = before.router == self.router
            && before.queue == self.queue
            && booted.is_none_or(|booted| booted <= before.at)
            && before.bytes_in <= self.bytes_in
            && before.bytes_out <= self.bytes_out;
        match goes_on {
            true => (before.bytes_in, before.bytes_out),
            false => (0, 0),
        }
    }

    /// What was counted since `base`, from him and to him.
    pub fn since(&self, (up, down): (u64, u64)) -> (u64, u64) {
        let (up, down) = (
            self.bytes_in.checked_sub(up),
            self.bytes_out.checked_sub(down),
        );
        (up.unwrap_or_default(), down.unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counter(queue: &str, bytes: (u64, u64), at: i64) -> LineCounter {
        LineCounter {
            router: RouterId(uuid::Uuid::nil()),
            queue: queue.to_owned(),
            bytes_in: bytes.0,
            bytes_out: bytes.1,
            at: Timestamp::from_secs(at),
        }
    }

    #[test]
    fn what_a_queue_counted_is_counted_once_and_its_resets_are_seen() {
        let before = counter("*1", (100, 1000), 10);
        let grown = |now: LineCounter, booted: Option<i64>| {
            now.since(now.base(Some(&before), booted.map(Timestamp::from_secs)))
        };
        assert_eq!(grown(counter("*1", (150, 1900), 20), Some(5)), (50, 900));
        assert_eq!(grown(counter("*1", (100, 1000), 20), None), (0, 0));
        assert_eq!(
            grown(counter("*1", (90, 2000), 20), None),
            (90, 2000),
            "reset by hand"
        );
        assert_eq!(
            grown(counter("*1", (150, 1900), 20), Some(15)),
            (150, 1900),
            "a restart"
        );
        assert_eq!(
            grown(counter("*2", (150, 1900), 20), None),
            (150, 1900),
            "another queue"
        );
        let first = counter("*1", (7, 7), 20);
        assert_eq!(first.since(first.base(None, None)), (0, 0));
    }
}
