//! Which routers are to be looked at, of whom, and when.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use easyisp_shared::id::{CustomerId, RouterId};
use easyisp_shared::time::Timestamp;
use easyisp_shared::wire::line::AddressPlanV1;

/// Of whom something is new.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum News {
    /// Nobody; it is only looked at.
    Nobody,
    /// These.
    Of(HashSet<CustomerId>),
    /// Perhaps everybody.
    All,
}

impl News {
    /// Both.
    #[must_use]
    pub fn and(self, other: News) -> News {
        match (self, other) {
            (News::All, _) | (_, News::All) => News::All,
            (News::Nobody, news) | (news, News::Nobody) => news,
            (News::Of(mut some), News::Of(more)) => {
                some.extend(more);
                News::Of(some)
            }
        }
    }

    /// Whether it may concern him.
    pub fn concerns(&self, customer: CustomerId) -> bool {
        match self {
            News::Nobody => false,
            News::Of(some) => some.contains(&customer),
            News::All => true,
        }
    }
}

/// What is to be done at one router.
#[derive(Debug)]
pub struct Desk {
    /// What it must hear of.
    pub news: News,
    /// When everything there is read again.
    pub look_at: Timestamp,
    /// It could not be asked so often in turn.
    pub failures: u32,
    /// Not to be asked again before.
    pub retry_at: Option<Timestamp>,
    /// How many signs of life it had given when it was asked last.
    pub signs: u64,
    /// When one of them ended a pause last, since it could be asked.
    pub roused_at: Option<Timestamp>,
    /// It is being asked.
    pub busy: bool,
    /// Its own addresses and pools, as they were read last.
    pub plan: Option<AddressPlanV1>,
}

/// What is to be done now.
#[derive(Debug)]
pub struct Due {
    /// Where.
    pub router: RouterId,
    /// Who has news.
    pub news: News,
    /// Whether everything is read.
    pub whole: bool,
}

/// All of them.
#[derive(Debug, Default)]
pub struct Desks(pub HashMap<RouterId, Desk>);

impl Desks {
    /// Something is new of somebody at a router.
    pub fn tell(&mut self, router: RouterId, news: News) {
        let desk = self.0.entry(router).or_insert_with(|| Desk {
            news: News::Nobody,
            look_at: Timestamp::default(),
            failures: 0,
            retry_at: None,
            signs: 0,
            roused_at: None,
            busy: false,
            plan: None,
        });
        let before = std::mem::replace(&mut desk.news, News::Nobody);
        desk.news = before.and(news);
    }

    /// Takes what is due at `now`.
    pub fn take(&mut self, now: Timestamp) -> Vec<Due> {
        let mut all = Vec::new();
        for (router, desk) in &mut self.0 {
            if desk.due().is_none_or(|at| now < at) {
                continue;
            }
            let news = std::mem::replace(&mut desk.news, News::Nobody);
            let many = match &news {
                News::Nobody => false,
                News::Of(some) => some.len() > FEW,
                News::All => true,
            };
            desk.busy = true;
            all.push(Due {
                router: *router,
                whole: many || desk.look_at <= now,
                news,
            });
        }
        all
    }

    /// Those that could not be asked are asked now where they gave a sign of life since; gives them.
    pub fn rouse(&mut self, signs: impl Fn(RouterId) -> u64, now: Timestamp) -> Vec<RouterId> {
        let mut roused = Vec::new();
        for (router, desk) in &mut self.0 {
            if desk.retry_at.is_some() && !desk.busy && signs(*router) != desk.signs {
                // One whose API is shut goes on giving signs.
                let rested = desk
                    .roused_at
                    .is_none_or(|at| now.since(at) >= LONGEST_PAUSE);
                if rested {
                    desk.wake();
                    desk.roused_at = Some(now);
                    roused.push(*router);
                }
            }
        }
        roused
    }

    /// When the next one is due.
    pub fn next(&self) -> Option<Timestamp> {
        self.0.values().filter_map(Desk::due).min()
    }
}

impl Desk {
    fn due(&self) -> Option<Timestamp> {
        let wanted = match self.news {
            News::Nobody => self.look_at,
            News::Of(_) | News::All => Timestamp::default(),
        };
        let at = self.retry_at.map_or(wanted, |retry| retry.max(wanted));
        (!self.busy).then_some(at)
    }

    /// It was asked, and what was wanted is written.
    pub fn done(&mut self, look_at: Option<Timestamp>) {
        (self.busy, self.failures, self.retry_at) = (false, 0, None);
        self.roused_at = None;
        if let Some(at) = look_at {
            self.look_at = at;
        }
    }

    /// It is not waited for any more.
    pub fn wake(&mut self) {
        (self.failures, self.retry_at) = (0, None);
    }

    /// It could not be asked: what was wanted is wanted still, after longer and longer pauses.
    pub fn failed(&mut self, news: News, now: Timestamp) {
        let before = std::mem::replace(&mut self.news, News::Nobody);
        self.news = news.and(before);
        let pause = FIRST_PAUSE * 2u32.pow(self.failures.min(5));
        self.failures += 1;
        self.retry_at = Some(now.plus(pause.min(LONGEST_PAUSE)));
        self.busy = false;
    }
}

/// So many are asked for one by one; of more, everything is read once.
const FEW: usize = 8;
const FIRST_PAUSE: Duration = Duration::from_secs(3);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_secs(secs)
    }

    #[test]
    fn news_waits_for_a_router_that_is_being_asked_and_for_one_that_is_silent() {
        let router = RouterId(uuid::Uuid::nil());
        let jane = CustomerId(uuid::Uuid::from_u128(1));
        let mut desks = Desks::default();
        desks.tell(router, News::All);
        let due = desks.take(at(10));
        assert!(matches!(
            &due[..],
            [Due {
                whole: true,
                news: News::All,
                ..
            }]
        ));
        desks.tell(router, News::Of(HashSet::from([jane])));
        assert!(desks.take(at(11)).is_empty());

        desks.0.get_mut(&router).unwrap().failed(News::All, at(12));
        assert!(desks.take(at(14)).is_empty());
        assert_eq!(desks.next(), Some(at(15)));
        assert_eq!(
            desks.take(at(15))[0].news,
            News::All,
            "nothing was forgotten"
        );
        desks.0.get_mut(&router).unwrap().done(Some(at(300)));
        assert_eq!(desks.next(), Some(at(300)));

        desks.tell(router, News::Of(HashSet::from([jane])));
        let one = desks.take(at(20));
        assert!(matches!(&one[..], [Due { whole: false, .. }]));
    }

    #[test]
    fn a_sign_of_life_ends_the_pause_once_a_minute() {
        let router = RouterId(uuid::Uuid::nil());
        let mut desks = Desks::default();
        desks.tell(router, News::All);
        let fail = |desks: &mut Desks, secs: i64, signs: u64| {
            assert_eq!(desks.take(at(secs)).len(), 1, "due at {secs}");
            let desk = desks.0.get_mut(&router).unwrap();
            desk.signs = signs;
            desk.failed(News::All, at(secs));
        };
        fail(&mut desks, 10, 0);
        fail(&mut desks, 13, 0);
        assert!(desks.rouse(|_| 0, at(14)).is_empty(), "it gave none");
        assert!(desks.take(at(14)).is_empty());
        assert_eq!(desks.rouse(|_| 1, at(14)), [router]);
        fail(&mut desks, 14, 1);
        assert!(desks.rouse(|_| 2, at(15)).is_empty(), "its API is shut");
        fail(&mut desks, 17, 2);
        assert_eq!(desks.rouse(|_| 3, at(74)), [router]);
        assert_eq!(desks.take(at(74)).len(), 1);
        let desk = desks.0.get_mut(&router).unwrap();
        desk.done(Some(at(300)));
        desk.failed(News::All, at(75));
        assert_eq!(desks.rouse(|_| 4, at(75)), [router], "it was there between");
    }
}
