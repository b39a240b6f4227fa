//! What to do about a session that is online, given what its subscriber may have now.

use std::time::Duration;

use easyisp_shared::entitlement::{Answer, Reason, Verdict};
use easyisp_shared::net::RateLimit;
use easyisp_shared::time::Timestamp;

use crate::diagnosis::Why;
use crate::sessions::Grant;

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// Nothing until this instant.
    Leave {
        /// The session's only timer.
        until: Option<Timestamp>,
    },
    /// Bring the running session to this (CoA).
    Change(Wanted),
    /// End it.
    Cut(Why),
}

/// Whose session it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose<'a> {
    /// A customer's, and what he may have.
    Customer(&'a Verdict),
    /// A customer's who is gone from this site.
    Gone,
    /// Somebody's whom an agent let in, and who or whose package is not known here (yet).
    Strangers {
        /// When more may be known.
        look: Timestamp,
    },
    /// The same, and the end that was stated for him is over.
    Over,
    /// Never a customer's of ours: a router reports the sessions of its local users too.
    Nobodys,
}

/// What a running session should have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The rate.
    pub rate: Option<RateLimit>,
    /// When the router may end it by itself, if that has to be raised (F6).
    pub raise_end: Option<Timestamp>,
    /// When service ends.
    pub end: Option<Timestamp>,
    /// When to ask again.
    pub until: Option<Timestamp>,
}

impl Wanted {
    /// When to look once more at what a router would not take: at `again`, or before it where something else is due.
    pub fn retried_at(&self, again: Timestamp) -> Timestamp {
        self.until.map_or(again, |until| until.min(again))
    }
}

/// Decides; `grant` is `None` for a session whose Accept this run of the agent did not give.
///
/// A session is raised to a later end only when the one it was given is earlier: a renewed customer is
/// never cut by the router at the end of the period before.
pub fn act(grant: Option<&Grant>, whose: Whose<'_>) -> Act {
    let verdict = match whose {
        Whose::Customer(verdict) => verdict,
        Whose::Gone => return Act::Cut(Why::Unknown),
        Whose::Strangers { look } => return Act::Leave { until: Some(look) },
        Whose::Over => return Act::Cut(Why::Refused(Reason::Expired)),
        Whose::Nobodys => return Act::Leave { until: None },
    };
    let in_garden = grant.is_some_and(|grant| grant.garden);
    match (verdict.answer, in_garden) {
        (Answer::Accept, true) => Act::Cut(Why::LeavesGarden),
        (Answer::Accept, false) => keep(grant, verdict),
        (Answer::WalledGarden, true) => Act::Leave {
            until: verdict.next_change,
        },
        (Answer::WalledGarden, false) | (Answer::Reject, _) => {
            Act::Cut(Why::Refused(verdict.reason))
        }
    }
}

/// The same for a session whose subscriber is to be, or not to be, in the list of those who may not share: no router
/// changes a list of a running session, so that he begins anew.
pub fn relist(act: Act, grant: Option<&Grant>, is_wanted: bool) -> Act {
    match (act, grant) {
        (Act::Leave { .. } | Act::Change(_), Some(grant))
            if !grant.garden && grant.listed != is_wanted =>
        {
            Act::Cut(Why::ChangesList)
        }
        (act, _) => act,
    }
}

fn keep(grant: Option<&Grant>, verdict: &Verdict) -> Act {
    let same_rate = grant.is_some_and(|grant| grant.rate == verdict.rate);
    let late_enough = grant.is_some_and(|grant| match (grant.end, verdict.end) {
        (Some(given), Some(end)) => end <= given.plus(ROUNDING),
        (None, _) => true,
        (Some(_), None) => false,
    });
    if same_rate && late_enough {
        return Act::Leave {
            until: verdict.next_change,
        };
    }
    Act::Change(Wanted {
        rate: verdict.rate.filter(|_| !same_rate),
        raise_end: verdict.end.filter(|_| !late_enough),
        end: verdict.end,
        until: verdict.next_change,
    })
}

/// A quota of time is counted in the routers' whole seconds: an end moves by as much at each report, and
/// is not worth a CoA.
const ROUNDING: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_secs(secs)
    }

    fn verdict(answer: Answer, mbps: u32, end: i64) -> Verdict {
        Verdict {
            answer,
            reason: match answer {
                Answer::Accept => Reason::Entitled,
                Answer::WalledGarden | Answer::Reject => Reason::Expired,
            },
            rate: Some(RateLimit::mbps(mbps, mbps)),
            bytes_left: None,
            secs_left: None,
            total_limit: None,
            next_change: Some(at(end)),
            end: Some(at(end)),
        }
    }

    fn grant(mbps: u32, end: i64, garden: bool) -> Grant {
        Grant {
            cookie: [0; 16],
            rate: Some(RateLimit::mbps(mbps, mbps)),
            end: Some(at(end)),
            garden,
            listed: false,
        }
    }

    #[test]
    fn what_was_granted_and_still_holds_is_left_alone() {
        let given = grant(10, 100, false);
        let act = act(
            Some(&given),
            Whose::Customer(&verdict(Answer::Accept, 10, 100)),
        );
        assert_eq!(
            act,
            Act::Leave {
                until: Some(at(100))
            }
        );
    }

    /// After a renewal the router's own timer must not cut a paid session.
    #[test]
    fn a_renewal_raises_the_end_and_an_earlier_end_is_left_to_the_timer() {
        let given = grant(10, 100, false);
        let Act::Change(wanted) = act(
            Some(&given),
            Whose::Customer(&verdict(Answer::Accept, 10, 500)),
        ) else {
            panic!("the router would cut at 100");
        };
        assert_eq!((wanted.rate, wanted.raise_end), (None, Some(at(500))));

        let earlier = act(
            Some(&given),
            Whose::Customer(&verdict(Answer::Accept, 10, 50)),
        );
        assert_eq!(
            earlier,
            Act::Leave {
                until: Some(at(50))
            }
        );
    }

    #[test]
    fn another_package_changes_the_rate_only() {
        let given = grant(10, 100, false);
        let Act::Change(wanted) = act(
            Some(&given),
            Whose::Customer(&verdict(Answer::Accept, 20, 100)),
        ) else {
            panic!("the rate differs");
        };
        assert_eq!(
            (wanted.rate, wanted.raise_end),
            (Some(RateLimit::mbps(20, 20)), None)
        );
    }

    /// A router that takes no change is no reason to miss the end of what is paid.
    #[test]
    fn a_change_is_tried_again_no_later_than_the_next_one_is_due() {
        let Act::Change(wanted) = act(None, Whose::Customer(&verdict(Answer::Accept, 10, 100)))
        else {
            panic!("nothing is known of what he was given");
        };
        assert_eq!(wanted.retried_at(at(115)), at(100));
        assert_eq!(wanted.retried_at(at(90)), at(90));
        let endless = Wanted {
            until: None,
            ..wanted
        };
        assert_eq!(endless.retried_at(at(115)), at(115));
    }

    #[test]
    fn who_may_not_be_online_is_cut_and_who_paid_leaves_the_garden() {
        let (given, garden) = (grant(10, 100, false), grant(1, 100, true));
        let reject = verdict(Answer::Reject, 10, 0);
        let to_garden = verdict(Answer::WalledGarden, 10, 0);
        let expired = Act::Cut(Why::Refused(Reason::Expired));

        assert_eq!(act(Some(&given), Whose::Customer(&reject)), expired);
        assert_eq!(act(Some(&given), Whose::Customer(&to_garden)), expired);
        assert_eq!(
            act(Some(&garden), Whose::Customer(&to_garden)),
            Act::Leave { until: Some(at(0)) }
        );
        let paid = verdict(Answer::Accept, 10, 100);
        assert_eq!(
            act(Some(&garden), Whose::Customer(&paid)),
            Act::Cut(Why::LeavesGarden)
        );
        assert_eq!(act(Some(&given), Whose::Gone), Act::Cut(Why::Unknown));
        assert_eq!(act(None, Whose::Nobodys), Act::Leave { until: None });
    }

    #[test]
    fn who_may_not_share_any_more_begins_anew_and_nobody_else() {
        let kept = Act::Leave {
            until: Some(at(100)),
        };
        let (plain, garden) = (grant(10, 100, false), grant(1, 100, true));
        let listed = Grant {
            listed: true,
            ..plain
        };
        let cut = Act::Cut(Why::ChangesList);
        assert_eq!(relist(kept, Some(&plain), true), cut);
        assert_eq!(relist(kept, Some(&listed), false), cut);
        assert_eq!(relist(kept, Some(&listed), true), kept);
        assert_eq!(relist(kept, Some(&plain), false), kept);
        assert_eq!(relist(kept, Some(&garden), true), kept);
        assert_eq!(relist(kept, None, true), kept);
        let gone = Act::Cut(Why::Unknown);
        assert_eq!(relist(gone, Some(&plain), true), gone);
    }

    #[test]
    fn a_session_of_an_earlier_run_is_brought_to_what_holds() {
        let act = act(None, Whose::Customer(&verdict(Answer::Accept, 10, 100)));
        assert!(matches!(act, Act::Change(wanted) if wanted.raise_end == Some(at(100))));
    }
}
