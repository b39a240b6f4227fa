//! Until when this site is known to have heard everything that the cloud had to say.

use std::sync::{Mutex, MutexGuard, PoisonError};

use easyisp_shared::time::Timestamp;
use tokio::sync::Notify;

/// How far this run of the agent has followed the cloud.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
enum Followed {
    /// Not at all: what is known is what the disk held.
    #[default]
    Never,
    /// Up to then; since then nothing is known of the cloud.
    Until(Timestamp),
    /// It is up to date.
    Now,
}

/// What a site knows of how current it is.
#[derive(Debug, Default)]
pub(super) struct Abreast {
    followed: Mutex<Followed>,
    first: Notify,
}

impl Abreast {
    /// Everything that the cloud had is applied, from now on until told otherwise.
    pub(super) fn begin(&self) {
        if std::mem::replace(&mut *self.lock(), Followed::Now) == Followed::Never {
            self.first.notify_one();
        }
    }

    /// Returns once this run has followed the cloud for the first time; to one who waits, once.
    pub(super) async fn first(&self) {
        self.first.notified().await;
    }

    /// From `now` on the cloud may have more to say than was heard.
    pub(super) fn end(&self, now: Timestamp) {
        let mut followed = self.lock();
        if *followed == Followed::Now {
            *followed = Followed::Until(now);
        }
    }

    /// Whether everything was known at some time after `then`.
    pub(super) fn after(&self, then: Timestamp, now: Timestamp) -> bool {
        match *self.lock() {
            Followed::Never => false,
            Followed::Until(until) => then < until,
            Followed::Now => then < now,
        }
    }

    /// Whether everything was known at some time of this run.
    pub(super) fn once(&self) -> bool {
        *self.lock() != Followed::Never
    }

    fn lock(&self) -> MutexGuard<'_, Followed> {
        self.followed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[tokio::test]
    async fn the_first_time_is_told_once() {
        let known = Abreast::default();
        assert!(known.first().now_or_never().is_none());
        known.begin();
        known.end(Timestamp::from_secs(5));
        known.begin();
        known.first().await;
        assert!(known.first().now_or_never().is_none());
    }

    #[test]
    fn what_was_known_once_stays_known_and_no_more_than_that() {
        let (at, known) = (Timestamp::from_secs, Abreast::default());
        assert!(!known.after(at(0), at(100)));
        known.end(at(5));
        assert!(!known.after(at(0), at(100)));

        known.begin();
        assert!(known.after(at(99), at(100)) && !known.after(at(100), at(100)));
        known.end(at(120));
        assert!(known.after(at(119), at(500)) && !known.after(at(120), at(500)));
        // Only the link's own end counts, not what follows it.
        known.end(at(400));
        assert!(!known.after(at(120), at(500)));
    }
}
