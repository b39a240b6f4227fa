//! When a router that refused the login is asked again: after longer and longer pauses.

use std::collections::HashMap;
use std::time::Duration;

use easyisp_shared::id::RouterId;

use super::draft::Draft;
use super::work::AGAIN;

/// How one was carried on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Went {
    /// It came to an end, good or bad.
    Over,
    /// It is asked again soon.
    Again,
    /// The same, when the router had its rest.
    Rests,
}

/// By the login that its script brought: with another command it is another one.
#[derive(Default)]
pub(super) struct Rests(HashMap<RouterId, Rest>);

struct Rest {
    login: String,
    refused: u32,
    until: Duration,
}

impl Rests {
    /// How long one is left alone yet.
    pub(super) fn rest(&self, draft: &Draft, now: Duration) -> Duration {
        let held = self.0.get(&draft.router);
        let held = held.filter(|held| held.login == draft.first_password);
        held.map_or(Duration::ZERO, |held| held.until.saturating_sub(now))
    }

    /// Notes how it went.
    pub(super) fn note(&mut self, draft: &Draft, went: Went, now: Duration) {
        let held = self.0.remove(&draft.router);
        if went != Went::Rests {
            return;
        }
        let held = held.filter(|held| held.login == draft.first_password);
        let refused = held.map_or(0, |held| held.refused) + 1;
        let rest = AGAIN.saturating_mul(1 << refused.min(8));
        let held = Rest {
            login: draft.first_password.clone(),
            refused,
            until: now + rest.min(LONGEST),
        };
        self.0.insert(draft.router, held);
    }
}

const LONGEST: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use easyisp_shared::time::Timestamp;
    use uuid::Uuid;

    use super::super::draft::Wish;
    use super::*;

    #[test]
    fn pauses_double_until_another_command_is_pasted() {
        let wish = Wish {
            name: "Tower".to_owned(),
            pppoe: None,
            hotspot: Some(Vec::new()),
            wan: None,
            agent: None,
            firewall: true,
            replaced: false,
        };
        let at = (Ipv4Addr::new(10, 9, 0, 2), Timestamp::from_secs(1));
        let router = RouterId(Uuid::nil());
        let mut draft = Draft::new(router, wish, at, String::new(), String::new());
        let (mut rests, mut now) = (Rests::default(), Duration::ZERO);
        let pauses: Vec<u64> = (0..6)
            .map(|_| {
                rests.note(&draft, Went::Rests, now);
                let rest = rests.rest(&draft, now);
                now += rest;
                rest.as_secs()
            })
            .collect();
        assert_eq!(pauses, [4, 8, 16, 32, 60, 60]);
        rests.note(&draft, Went::Rests, now);
        draft.first_password = "another".to_owned();
        assert_eq!(rests.rest(&draft, now), Duration::ZERO);
        rests.note(&draft, Went::Rests, now);
        assert_eq!(rests.rest(&draft, now).as_secs(), 4);
        rests.note(&draft, Went::Again, now);
        assert_eq!(rests.rest(&draft, now), Duration::ZERO);
    }
}
