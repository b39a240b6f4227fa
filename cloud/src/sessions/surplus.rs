//! What a roaming customer has online beyond his devices at all sites together. Each site counts its own; what no site
//! can see is the cloud's to end.

use std::collections::BTreeMap;
use std::time::Duration;

use easyisp_shared::id::{RouterId, SessionId, SiteId};
use easyisp_shared::time::Timestamp;

/// A session that goes on, as far as reports say.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Open {
    /// Which.
    pub id: SessionId,
    /// Where.
    pub site: SiteId,
    /// At which router.
    pub router: RouterId,
    /// Acct-Session-Id.
    pub acct_session_id: String,
    /// His device; all without an address count as one.
    pub mac: Option<String>,
    /// When it began.
    pub started: Timestamp,
    /// When it was heard of last.
    pub heard: Timestamp,
}

/// What is to be done.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Finding {
    /// Nothing: one site has all of it, or there are no more devices than may be.
    Fits,
    /// More than may be, and not proved yet: looked at again.
    Doubtful,
    /// These are too many: the sessions of the devices that came last.
    End(Vec<Open>),
}

/// Finds the surplus among open sessions.
///
/// A device has one place, wherever it is, from its first session on: moving to another site costs it nothing. The
/// devices that came first keep theirs. Nothing is ended within [`LEASE`] of its beginning, for a device that moves on
/// may not have said its end yet; nor before each of the others was heard of after that: what is only believed to go on
/// ends nobody.
pub fn find(open: &[Open], allowed: usize, now: Timestamp) -> Finding {
    let mut devices: BTreeMap<Option<&str>, Vec<&Open>> = BTreeMap::new();
    for session in open {
        let of = devices.entry(session.mac.as_deref()).or_default();
        of.push(session);
    }
    let sites = |sessions: &[&Open]| {
        let mut sites: Vec<SiteId> = sessions.iter().map(|session| session.site).collect();
        sites.sort_unstable();
        sites.dedup();
        sites.len()
    };
    let all: Vec<&Open> = open.iter().collect();
    if devices.len() <= allowed || sites(&all) < 2 {
        return Finding::Fits;
    }
    let mut devices: Vec<Vec<&Open>> = devices.into_values().collect();
    let began = |sessions: &[&Open]| sessions.iter().map(|session| session.started).min();
    devices.sort_by_key(|sessions| (began(sessions), sessions.first().map(|first| first.id)));
    let (kept, surplus) = devices.split_at(allowed);
    let proved = surplus.iter().filter(|sessions| {
        let Some(began) = began(sessions) else {
            return false;
        };
        let heard = |sessions: &Vec<&Open>| sessions.iter().any(|session| session.heard > began);
        now.since(began) >= LEASE && kept.iter().all(heard)
    });
    let ended: Vec<Open> = proved.flatten().map(|session| (*session).clone()).collect();
    match ended.is_empty() {
        true => Finding::Doubtful,
        false => Finding::End(ended),
    }
}

/// As long as sites keep a place for a device that was let in.
pub const LEASE: Duration = Duration::from_secs(90);

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_secs(1_800_000_000 + secs)
    }

    /// A session of a device at a site, from then on, heard of then.
    fn open(number: u128, site: u128, mac: &str, started: i64, heard: i64) -> Open {
        Open {
            id: SessionId(Uuid::from_u128(number)),
            site: SiteId(Uuid::from_u128(site)),
            router: RouterId(Uuid::from_u128(site)),
            acct_session_id: number.to_string(),
            mac: (!mac.is_empty()).then(|| mac.to_owned()),
            started: at(started),
            heard: at(heard),
        }
    }

    fn ended(open: &[Open], allowed: usize, now: i64) -> Vec<String> {
        match find(open, allowed, at(now)) {
            Finding::End(sessions) => sessions
                .into_iter()
                .map(|one| one.acct_session_id)
                .collect(),
            Finding::Fits | Finding::Doubtful => Vec::new(),
        }
    }

    #[test]
    fn the_device_that_came_last_is_ended_once_both_are_proved() {
        let first = |heard| open(1, 1, "A", 0, heard);
        let second = open(2, 2, "B", 100, 100);
        assert_eq!(ended(&[first(300), second.clone()], 1, 300), ["2"]);
        assert_eq!(ended(&[second.clone(), first(300)], 1, 300), ["2"]);
        assert_eq!(
            find(&[first(300), second.clone()], 2, at(300)),
            Finding::Fits
        );
        // The first may be gone without a word.
        let both = [first(0), second.clone()];
        assert_eq!(find(&both, 1, at(900)), Finding::Doubtful);
        // Within the lease.
        assert_eq!(find(&[first(150), second], 1, at(189)), Finding::Doubtful);
    }

    #[test]
    fn a_device_keeps_its_place_wherever_it_goes() {
        let moved = [open(1, 1, "A", 0, 50), open(2, 2, "A", 100, 400)];
        assert_eq!(find(&moved, 1, at(400)), Finding::Fits);
        let with_another = [
            open(1, 1, "A", 0, 50),
            open(2, 2, "B", 100, 400),
            open(3, 2, "A", 200, 400),
        ];
        assert_eq!(ended(&with_another, 1, 400), ["2"]);
    }

    #[test]
    fn what_one_site_sees_is_its_own_affair() {
        let here = [open(1, 1, "A", 0, 400), open(2, 1, "B", 100, 400)];
        assert_eq!(find(&here, 1, at(400)), Finding::Fits);
        let nameless = [open(1, 1, "", 0, 400), open(2, 2, "", 100, 400)];
        assert_eq!(find(&nameless, 1, at(400)), Finding::Fits);
    }
}
