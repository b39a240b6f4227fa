//! Which acknowledged records say nothing that a later one does not say: counters are cumulative, so
//! one row a session, and for each time it had other prefixes, is enough for a cloud restored from a backup (D3).

use std::collections::HashMap;

use easyisp_shared::id::RouterId;
use easyisp_shared::ipv6::Prefixes;
use easyisp_shared::wire::Up;
use easyisp_shared::wire::up::{AccountingStatus, AccountingV1};

/// The last interim of each session, and up to where records were looked at.
#[derive(Debug, Default)]
pub(super) struct Fold {
    interims: HashMap<Key, (u64, Prefixes)>,
    done: u64,
}

type Key = (RouterId, Vec<u8>, Vec<u8>);

impl Fold {
    /// Up to where records were looked at.
    pub(super) fn done(&self) -> u64 {
        self.done
    }

    /// Looks at the next record; returns the sequence of one that it makes needless.
    pub(super) fn take(&mut self, seq: u64, record: Option<&Up>) -> Option<u64> {
        self.done = seq;
        match record {
            Some(Up::Accounting(told)) => self.accounting(seq, told),
            Some(
                Up::Login(_)
                | Up::CommandResult(_)
                | Up::Heartbeat(_)
                | Up::Redemption(_)
                | Up::Device(_)
                | Up::Bind(_)
                | Up::Router(_)
                | Up::Pools(_)
                | Up::Moving(_)
                | Up::LocalSecrets(_)
                | Up::Keepers(_)
                | Up::Metrics(_)
                | Up::PackedMetrics(_)
                | Up::Lines(_)
                | Up::Unlock(_)
                | Up::BroughtUp(_)
                | Up::Logs(_)
                | Up::Configuration(_),
            )
            | None => None,
        }
    }

    fn accounting(&mut self, seq: u64, told: &AccountingV1) -> Option<u64> {
        let key = (told.router, told.session.clone(), told.class.clone());
        match told.status {
            AccountingStatus::Start => None,
            AccountingStatus::Interim => {
                if self.interims.len() >= MOST_SESSIONS {
                    self.interims.clear();
                }
                let now = (seq, told.prefixes.clone());
                let before = self.interims.insert(key, now);
                needless(before, told)
            }
            AccountingStatus::Stop | AccountingStatus::Lost => {
                needless(self.interims.remove(&key), told)
            }
        }
    }
}

/// The one before, where it does not tell of prefixes that the session has no more.
fn needless(before: Option<(u64, Prefixes)>, told: &AccountingV1) -> Option<u64> {
    let (seq, prefixes) = before?;
    (prefixes == told.prefixes).then_some(seq)
}

/// Beyond this the map begins anew, and a row or two more of each session stay.
const MOST_SESSIONS: usize = 50_000;

#[cfg(test)]
mod tests {
    use easyisp_shared::time::Timestamp;

    use super::*;

    fn told(session: u8, status: AccountingStatus) -> Up {
        Up::Accounting(AccountingV1 {
            router: RouterId(uuid::Uuid::nil()),
            session: vec![session],
            class: Vec::new(),
            status,
            username: Vec::new(),
            customer: None,
            framed_ip: None,
            prefixes: Prefixes::default(),
            mac: None,
            at: Timestamp::default(),
            started: Timestamp::default(),
            session_secs: 0,
            bytes_up: 0,
            bytes_down: 0,
            bytes_free: 0,
            cause: None,
        })
    }

    #[test]
    fn start_and_the_last_state_of_each_session_stay() {
        use AccountingStatus::{Interim, Start, Stop};
        let records = [
            (1, Start),
            (2, Start),
            (1, Interim),
            (2, Interim),
            (1, Interim),
            (1, Interim),
            (2, Interim),
            (1, Stop),
        ];
        let mut fold = Fold::default();
        let mut left: Vec<u64> = (1..=8).collect();
        for (seq, (session, status)) in (1..).zip(records) {
            if let Some(needless) = fold.take(seq, Some(&told(session, status))) {
                left.retain(|seq| *seq != needless);
            }
        }
        assert_eq!(left, [1, 2, 7, 8]);
        assert_eq!(fold.done(), 8);

        let with = |prefix: &str| match told(1, Interim) {
            Up::Accounting(told) => Up::Accounting(AccountingV1 {
                prefixes: prefix.parse().ok().into_iter().collect(),
                ..told
            }),
            _ => unreachable!("an interim"),
        };
        let (one, two) = ("2001:db8:100::/56", "2001:db8:200::/56");
        for (seq, prefix, needless) in [(9, one, None), (10, one, Some(9)), (11, two, None)] {
            assert_eq!(fold.take(seq, Some(&with(prefix))), needless);
        }
    }
}
