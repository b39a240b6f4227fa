//! What a line that is paid by the octet carries of accounting: beginnings and ends at once, of what is in
//! between the last state of each hour.

use std::collections::HashMap;
use std::time::Duration;

use easyisp_shared::id::RouterId;
use easyisp_shared::time::Timestamp;
use easyisp_shared::wire::Up;
use easyisp_shared::wire::up::{AccountingStatus, AccountingV1};

use crate::store::Kept;

/// What of the next records goes up now; nothing while all of them are interims of this hour.
///
/// Counters are cumulative, so an interim says nothing that a later one of its session does not say; one an
/// hour is left, because the cloud books usage by the hour, and the last before a session has other prefixes.
pub(super) fn fold(kept: Vec<Kept>, most: usize, now: Timestamp) -> Vec<Kept> {
    let told: Vec<Option<AccountingV1>> = kept.iter().map(accounting).collect();
    let can_wait = told.iter().flatten().count() == kept.len()
        && told.iter().flatten().all(is_interim)
        && kept.len() < most;
    let oldest = kept.first().map(|kept| kept.record.at);
    if can_wait && oldest.is_some_and(|oldest| now.since(oldest) < HOUR) {
        return Vec::new();
    }
    let mut last: HashMap<Key, usize> = HashMap::new();
    let mut needless = vec![false; kept.len()];
    let all = &told;
    for (place, told) in all.iter().enumerate() {
        let Some(told) = told else { continue };
        if is_interim(told)
            && let Some(earlier) = last.insert(key(told), place)
            && let Some(Some(before)) = all.get(earlier)
            && before.prefixes == told.prefixes
        {
            needless[earlier] = true;
        }
    }
    // The batch's last record carries the mark of all before it.
    if let Some(end) = needless.last_mut() {
        *end = false;
    }
    let mut needless = needless.into_iter();
    let mut kept = kept;
    kept.retain(|_| !needless.next().unwrap_or(false));
    kept
}

/// Whether all of these are interims: counters of sessions that go on.
pub(super) fn is_interims(kept: &[Kept]) -> bool {
    kept.iter()
        .all(|kept| accounting(kept).is_some_and(|told| is_interim(&told)))
}

type Key = (RouterId, Vec<u8>, Vec<u8>, i64);

fn key(told: &AccountingV1) -> Key {
    let hour = told.at.secs().div_euclid(3600);
    (told.router, told.session.clone(), told.class.clone(), hour)
}

fn accounting(kept: &Kept) -> Option<AccountingV1> {
    match Up::decode(kept.record.kind, &kept.record.body) {
        Ok(Up::Accounting(told)) => Some(told),
        _ => None, // whatever else it is, it is not folded
    }
}

fn is_interim(told: &AccountingV1) -> bool {
    told.status == AccountingStatus::Interim
}

const HOUR: Duration = Duration::from_secs(3600);

#[cfg(test)]
mod tests {
    use easyisp_shared::ipv6::Prefixes;
    use easyisp_shared::wire::UpKind;

    use super::*;
    use crate::store::Record;

    fn record(seq: u64, session: u8, status: AccountingStatus, minute: i64) -> Kept {
        let at = Timestamp::from_secs(1_800_000_000 + minute * 60);
        let up = Up::Accounting(AccountingV1 {
            router: RouterId(uuid::Uuid::nil()),
            session: vec![session],
            class: Vec::new(),
            status,
            username: Vec::new(),
            customer: None,
            framed_ip: None,
            prefixes: Prefixes::default(),
            mac: None,
            at,
            started: at,
            session_secs: 0,
            bytes_up: 0,
            bytes_down: 0,
            bytes_free: 0,
            cause: None,
        });
        Kept {
            seq,
            record: Record {
                lane: UpKind::Accounting.lane().code(),
                kind: UpKind::Accounting.code(),
                body: up.encode(),
                at,
            },
        }
    }

    fn left(kept: Vec<Kept>, minute: i64) -> Vec<u64> {
        let now = Timestamp::from_secs(1_800_000_000 + minute * 60);
        fold(kept, 500, now).iter().map(|kept| kept.seq).collect()
    }

    #[test]
    fn interims_wait_for_the_hour_and_leave_one_of_each_session() {
        use AccountingStatus::{Interim, Start, Stop};
        let interims: Vec<Kept> = (0..12)
            .flat_map(|n| [(2 * n + 1, 1), (2 * n + 2, 2)])
            .map(|(seq, session)| record(seq, session, Interim, (seq as i64 / 2) * 5))
            .collect();
        assert!(left(interims.clone(), 58).is_empty());
        let sent = left(interims.clone(), 61);
        assert!(sent.len() <= 4 && sent.contains(&24), "{sent:?}");

        let mut ended = interims[..4].to_vec();
        ended.push(record(5, 1, Stop, 12));
        assert_eq!(left(ended, 12), [3, 4, 5]);
        assert_eq!(left(vec![record(1, 1, Start, 0)], 0), [1]);

        // Who had which prefix is asked for years later: the last word before it changed stays.
        let with = |seq, minute, prefix: &str| {
            let mut kept = record(seq, 1, Interim, minute);
            let Ok(Up::Accounting(told)) = Up::decode(kept.record.kind, &kept.record.body) else {
                unreachable!("an interim");
            };
            let prefixes = prefix.parse().ok().into_iter().collect();
            kept.record.body = Up::Accounting(AccountingV1 { prefixes, ..told }).encode();
            kept
        };
        let (one, two) = ("2001:db8:100::/56", "2001:db8:200::/56");
        let changed = vec![
            with(1, 0, one),
            with(2, 5, one),
            with(3, 10, two),
            with(4, 15, two),
        ];
        assert_eq!(left(changed, 61), [2, 4]);
    }
}
