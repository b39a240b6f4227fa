//! What keeps everybody out: the agent, the router, its secret, its own users; or that he is online.

use super::case::{Case, LATELY, MOMENT, Named, sign_of_life};
use super::cause::Cause;
use super::{Agent, Evidence, evidence};
use crate::entitlement::Reason;
use crate::wire::diagnosis::{OpenV1, ReachV1, RouterFactV1};
use crate::wire::up::{LoginOutcome, OutsideWhy};

impl Case<'_> {
    /// Without its agent nobody can say how the site is: what is known may be long over.
    pub(super) fn agent(&self) -> Option<Named> {
        let site = &self.facts.site;
        match self.facts.agent {
            Agent::Connected => None,
            Agent::Away { since: None } => Some(Named {
                cause: Cause::NoAgent,
                sentence: format!("No agent serves the site {site} yet."),
                action: format!("Join a box to {site} (Sites, \"Add an agent\")."),
                proof: Vec::new(),
            }),
            Agent::Away { since: Some(since) } => Some(Named {
                cause: Cause::AgentDown,
                sentence: format!(
                    "The agent of the site {site} is away since {since}. If its box is off, nobody new \
                     gets in there; if only its line to the cloud is out, logins go on unseen."
                ),
                action: format!(
                    "Check power and internet of the box at {site}; `easyisp-agent doctor` on it says \
                     what is wrong."
                ),
                proof: vec![Evidence::at(
                    since,
                    format!("The agent of {site} was last heard of."),
                )],
            }),
        }
    }

    /// His router, or where it is not known which every router of the site, neither speaks nor answers.
    pub(super) fn router_down(&self) -> Option<Named> {
        let routers = self.his_routers();
        let down = |router: &&&RouterFactV1| self.is_down(router);
        if routers.is_empty() || routers.iter().filter(down).count() < routers.len() {
            return None;
        }
        let (router, heard) = routers
            .iter()
            .map(|router| (router, sign_of_life(router)))
            .max_by_key(|(_, heard)| *heard)?;
        let name = &router.name;
        let sentence = match heard {
            Some(heard) => format!("Router {name} is not heard since {heard} and does not answer."),
            None => format!("Router {name} was never heard and does not answer."),
        };
        Some(Named {
            cause: Cause::RouterDown,
            sentence,
            action: format!(
                "Check power and cable of router {name}, and that its address is the one entered."
            ),
            proof: vec![Evidence {
                at: heard,
                text: match heard {
                    Some(_) => format!("Router {name} was last heard."),
                    None => format!("Nothing was ever heard of router {name}."),
                },
            }],
        })
    }

    pub(super) fn online(&self) -> Option<Named> {
        let ours = self
            .told
            .sessions
            .iter()
            .find(|session| session.outside.is_none() && self.is_heard(session));
        let Some(session) = ours else {
            return self.online_outside();
        };
        let router = self.name(session.router);
        let since = session.started;
        let proof = |text: String| vec![Evidence::at(since, text)];
        let too_many = Some(Reason::TooManyDevices);
        if let Some((last, LoginOutcome::Refused(Reason::TooManyDevices))) = self.last
            && self.told.would.map(|would| would.reason) == too_many
            && last.last >= since
            && self.is_within(last.last, LATELY)
        {
            return Some(Named {
                proof: proof(format!(
                    "Online at {router}{}.",
                    evidence::device(session.mac)
                )),
                ..self.refused(Cause::TooManyDevices)
            });
        }
        if session.garden {
            let reason = self
                .told
                .would
                .map_or(Reason::Entitled, |would| would.reason);
            let why = match reason {
                Reason::Entitled => "",
                refused => refused.sentence(),
            };
            let action = Cause::of(reason).map_or_else(
                || "End the session: he is let in with the next login.".to_owned(),
                |cause| self.refused(cause).action,
            );
            return Some(Named {
                cause: Cause::WalledGarden,
                sentence: format!("He is online at {router} as far as the pay page. {why}")
                    .trim_end()
                    .to_owned(),
                action,
                proof: proof(format!("In the walled garden at {router}.")),
            });
        }
        Some(Named {
            cause: Cause::Online,
            sentence: format!("He is online at {router} since {since}."),
            action: "Nothing is wrong here: look at his own equipment, his speed and his signal."
                .to_owned(),
            proof: proof(format!(
                "Online at {router}{}.",
                evidence::device(session.mac)
            )),
        })
    }

    fn online_outside(&self) -> Option<Named> {
        let mut sessions = self.told.sessions.iter();
        let session = sessions.find(|session| session.outside.is_some())?;
        let proof = |session: &OpenV1, text| vec![Evidence::at(session.started, text)];
        let router = self.name(session.router);
        match session.outside? {
            OutsideWhy::Local => Some(Named {
                proof: proof(session, format!("Online at {router} by a user of its own.")),
                ..self.local(&router)
            }),
            OutsideWhy::Unreported | OutsideWhy::Unknown => Some(Named {
                cause: Cause::Unreported,
                sentence: format!(
                    "He is online at {router}, but the router reports no session of his."
                ),
                action: format!(
                    "Switch accounting on at router {router} (/ppp aaa set accounting=yes; for hotspots \
                     radius-accounting=yes in the profile)."
                ),
                proof: proof(
                    session,
                    format!("On the list of {router}, and not in accounting."),
                ),
            }),
        }
    }

    /// Requests in his name, or all of his router's, fail to verify, and nothing later was heard of him, or for a while
    /// of his router.
    pub(super) fn other_secret(&self) -> Option<Named> {
        let newest = self.told.happened.iter().map(|one| one.last).max();
        let in_his_name = self
            .told
            .unproven
            .filter(|unproven| newest.is_none_or(|newest| newest < unproven.last))
            .filter(|unproven| {
                let routers = &self.told.routers;
                let asked = routers
                    .iter()
                    .find(|router| router.router == unproven.router);
                let heard = asked.and_then(|router| router.heard);
                self.is_within(unproven.last, LATELY)
                    || heard.is_none_or(|heard| heard < unproven.last)
            });
        let (router, at) = match in_his_name {
            Some(unproven) => (unproven.router, unproven.last),
            None => {
                let fails = |router: &&&RouterFactV1| {
                    router
                        .mismatched
                        .is_some_and(|at| router.heard.is_none_or(|heard| heard < at))
                };
                let routers = self.his_routers();
                let router = routers.iter().find(fails)?;
                (router.router, router.mismatched?)
            }
        };
        let name = self.name(router);
        let text = match in_his_name {
            Some(unproven) => format!(
                "A request in his name from {name} did not verify ({} since the agent's start).",
                unproven.count
            ),
            None => format!("A request of {name} did not verify, and none since did."),
        };
        Some(Named {
            cause: Cause::SecretMismatch,
            sentence: format!(
                "Router {name} uses another RADIUS secret than the one entered here, so that its \
                 requests are not answered."
            ),
            action: format!(
                "Set the secret that is shown for router {name} on the router (/radius)."
            ),
            proof: vec![Evidence::at(at, text)],
        })
    }

    /// A user on the router hides him, unless RADIUS was asked there lately all the same.
    pub(super) fn hidden(&self) -> Option<Named> {
        let asked = |router: &RouterFactV1| {
            self.last.is_some_and(|(last, _)| {
                last.router == router.router && self.is_within(last.last, LATELY)
            })
        };
        let mut hiding = self.told.routers.iter().filter(|router| router.hides);
        let router = hiding.find(|router| !asked(router))?;
        Some(self.local(&router.name))
    }

    fn local(&self, router: &str) -> Named {
        Named {
            cause: Cause::LocalSecret,
            sentence: format!(
                "Router {router} has a user of its own with his name, so that RADIUS is never asked for him."
            ),
            action: format!(
                "Remove that user from router {router} (/ppp secret, for hotspots /ip hotspot user), and \
                 have him log in again."
            ),
            proof: vec![Evidence {
                at: None,
                text: format!("Router {router} lists a user with this name."),
            }],
        }
    }

    /// A router that spoke a moment ago is there, whatever it does not answer.
    fn is_down(&self, router: &RouterFactV1) -> bool {
        let quiet = |span| sign_of_life(router).is_none_or(|at| !self.is_within(at, span));
        match router.reach {
            ReachV1::Answers | ReachV1::Unasked => false,
            ReachV1::Silent => quiet(MOMENT),
            ReachV1::Unclear => quiet(LATELY),
        }
    }
}
