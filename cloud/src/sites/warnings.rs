//! What a person should look at, in sentences: of a site's boxes and of its routers.

use std::time::Duration;

use easyisp_shared::expiry::{Nearness, days_left, nearness};
use easyisp_shared::id::{AgentId, RouterId, SiteId};
use easyisp_shared::time::Timestamp;
use easyisp_shared::wire::condition::{ConditionV1, RouterConditionV1};
use serde::Serialize;
use utoipa::ToSchema;

use super::pki::LATE_RENEWAL;
use super::store::{self, AgentRow};
use crate::db::Tx;

/// Something that a person should look at, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Warning {
    /// What it is, for programs: `WRONG_SECRET`, `UNSIGNED`, `UNSIGNED_REFUSED`, `ROUTER_MOVED`,
    /// `LOCAL_SECRETS`, `CONFIGURATION_DRIFT`, `OLD_SECRET`, `DISK_FILLING`, `DISK_FULL`, `DAMAGED_FILE`, `CLOCK_UNTRUSTED`,
    /// `ACCOUNTING_REFUSED`, `UPSTREAM_DOWN`,
    /// `CERTIFICATE_ENDING`, `CERTIFICATE_ENDS_SOON`, `CERTIFICATE_ENDED`, `AGENT_CERTIFICATE_ENDING`,
    /// `AGENT_CERTIFICATE_ENDS_SOON`, `AGENT_CERTIFICATE_ENDED`, `REPORTS_SET_ASIDE`, `OTHER_AUTHORITY`.
    pub code: &'static str,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub remedy: String,
    /// Since when.
    pub since: Option<Timestamp>,
    /// The router that it is about.
    pub router_id: Option<RouterId>,
    /// The agent that it is about, or that tells it.
    pub agent_id: Option<AgentId>,
}

/// What an agent told, unless it was not heard of for so long that it says nothing about the present.
pub fn told(agent: &AgentRow, now: Timestamp) -> Option<ConditionV1> {
    let heard = agent.last_seen_at?;
    let told = agent.condition.clone()?;
    let told: ConditionV1 = serde_json::from_value(told).ok()?;
    (now.since(heard) < STALE).then_some(told)
}

/// What the agents of some sites tell, each site with its own.
pub async fn conditions(
    tx: &mut Tx,
    sites: &[SiteId],
    now: Timestamp,
) -> sqlx::Result<Vec<(SiteId, AgentId, ConditionV1)>> {
    let agents = store::agents(tx, sites).await?;
    let told = agents.iter().filter_map(|agent| {
        let told = told(agent, now)?;
        Some((agent.site_id, agent.id, told))
    });
    Ok(told.collect())
}

/// What a person should look at of a box.
pub fn of_box(agent: AgentId, told: &ConditionV1) -> Vec<Warning> {
    let warning = |code, message: String, remedy: &str, since| Warning {
        code,
        message,
        remedy: remedy.to_owned(),
        since,
        router_id: None,
        agent_id: Some(agent),
    };
    let mut warnings = Vec::new();
    if let Some(since) = told.refusing_since {
        warnings.push(warning(
            "ACCOUNTING_REFUSED",
            "The site's box cannot write: accounting goes unanswered, logins go on.".to_owned(),
            "Make room on its disk, or replace the card; it goes on by itself.",
            Some(since),
        ));
    }
    match told.disk_used_percent {
        Some(percent @ FULL..) => warnings.push(warning(
            "DISK_FULL",
            format!("The disk of the site's box is {percent} % full."),
            "Make room now: at 100 % accounting has to stop.",
            told.disk_since,
        )),
        Some(percent @ FILLING..) => warnings.push(warning(
            "DISK_FILLING",
            format!("The disk of the site's box is {percent} % full."),
            "Make room before accounting has to stop.",
            told.disk_since,
        )),
        Some(_) | None => {}
    }
    for name in told.moved_aside.iter().take(MOST_FILES) {
        let name: String = name.chars().filter(|c| !c.is_control()).take(100).collect();
        warnings.push(warning(
            "DAMAGED_FILE",
            format!("The site's box found a damaged file at its start and moved it to {name}."),
            "What could be read of it was saved. Copy the file away, delete it, and doubt the card or disk.",
            Some(told.started),
        ));
    }
    if let Some(upstream) = told.upstream.filter(|upstream| !upstream.reached) {
        warnings.push(warning(
            "UPSTREAM_DOWN",
            "The site does not reach the internet: none of the hosts that its box asks answers.".to_owned(),
            "Look at the site's uplink, or call its carrier. Time that is lost to it is given back afterwards.",
            Some(upstream.since),
        ));
    }
    if let Some(since) = told.clock_untrusted_since {
        warnings.push(warning(
            "CLOCK_UNTRUSTED",
            "The clock of the site's box cannot be trusted: nobody is ended by it.".to_owned(),
            "Set its clock, or have it reach a time server.",
            Some(since),
        ));
    }
    warnings
}

/// What a person should look at of reports that could not be applied.
pub fn of_reports(agent: &AgentRow) -> Option<Warning> {
    let (kept, dropped) = (agent.set_aside, agent.dropped_reports);
    if kept == 0 && dropped == 0 {
        return None;
    }
    let more = match dropped {
        0 => String::new(),
        dropped => format!(", {dropped} only counted because there were too many"),
    };
    Some(Warning {
        code: "REPORTS_SET_ASIDE",
        message: format!(
            "Reports of the site's box could not be applied: {kept} kept aside{more}."
        ),
        remedy: "Update the cloud to the box's release: what it knows then is applied within a day. The log says why \
                 each was set aside."
            .to_owned(),
        since: match (agent.set_aside_at, agent.dropped_at) {
            (Some(aside), Some(dropped)) => Some(aside.min(dropped)),
            (aside, dropped) => aside.or(dropped),
        },
        router_id: None,
        agent_id: Some(agent.id),
    })
}

/// What a person should look at of a box that devices know by another authority than the site's others.
pub fn of_authority(agent: &AgentRow) -> Option<Warning> {
    let since = agent.stranger_since?;
    Some(Warning {
        code: "OTHER_AUTHORITY",
        message: "This box has another access authority than its site: devices (802.1X, IKEv2) and RadSec routers that \
                  trust the one do not know the other."
            .to_owned(),
        remedy: "Where no device trusts this box's yet, move eap-ca.pem and eap-ca.key out of its data folder and start \
                 it anew: it takes the site's. Otherwise have devices trust both."
            .to_owned(),
        since: Some(since),
        router_id: None,
        agent_id: Some(agent.id),
    })
}

/// What a person should look at of a router.
pub fn of_router(agent: AgentId, name: &str, told: &RouterConditionV1) -> Vec<Warning> {
    let warning = |code, message: String, remedy: String, since| Warning {
        code,
        message,
        remedy,
        since: Some(since),
        router_id: Some(told.router),
        agent_id: Some(agent),
    };
    let mut warnings = Vec::new();
    if let Some(since) = told.mismatched_since {
        warnings.push(warning(
            "WRONG_SECRET",
            format!(
                "Router {name} has another RADIUS secret than we do: its customers are not answered, and none \
                 of them is locked out for it."
            ),
            "Set the same secret at the router (/radius set … secret=) and here.".to_owned(),
            since,
        ));
    }
    if let Some(since) = told.refused_since {
        warnings.push(warning(
            "UNSIGNED_REFUSED",
            format!(
                "Requests of router {name} that carry no Message-Authenticator are dropped, because they must \
                 carry one: it is required, or the router was seen to send it."
            ),
            "Update RouterOS to 7.15 or newer. If nobody changed the router, somebody else may speak in its name."
                .to_owned(),
            since,
        ));
    } else if let Some(since) = told.unsigned_since {
        warnings.push(warning(
            "UNSIGNED",
            format!(
                "Router {name} sends no Message-Authenticator: who can change its packets on the way can turn \
                 a no into a yes."
            ),
            "Update RouterOS to 7.15 or newer; from its first signed request on it is required.".to_owned(),
            since,
        ));
    }
    if let Some(since) = told.full_since {
        warnings.push(warning(
            "TOO_MANY_SESSIONS",
            format!(
                "Router {name} told of more sessions within the hour than any router has: accounting of new ones goes \
                 unanswered, logins go on."
            ),
            "Look what makes sessions there without end. If it is not the router, somebody else knows its RADIUS secret: \
             set another one."
                .to_owned(),
            since,
        ));
    }
    if let Some((address, since)) = told.moved {
        warnings.push(warning(
            "ROUTER_MOVED",
            format!(
                "Router {name} speaks from {address}, which its record does not name. It proved its secret, so \
                 it is served, and orders go there."
            ),
            format!("Set its address to {address}, or its source network to one that holds it."),
            since,
        ));
    }
    warnings
}

/// What a person should look at of the certificate with which a router connects by RadSec.
pub fn of_certificate(
    router: RouterId,
    name: &str,
    until: Timestamp,
    now: Timestamp,
) -> Option<Warning> {
    let (code, message) = match nearness(until, now)? {
        Nearness::Over => (
            "CERTIFICATE_ENDED",
            format!(
                "The RadSec certificate of router {name} has ended: its customers are not answered."
            ),
        ),
        Nearness::Week => (
            "CERTIFICATE_ENDS_SOON",
            format!(
                "In {} the RadSec certificate of router {name} ends, and from then on nobody logs in there.",
                days_left(until, now)
            ),
        ),
        Nearness::Month | Nearness::Fortnight => (
            "CERTIFICATE_ENDING",
            format!(
                "The RadSec certificate of router {name} ends in {}.",
                days_left(until, now)
            ),
        ),
    };
    Some(Warning {
        code,
        message,
        remedy: format!(
            "Make it a new one (POST /api/nas/{router}/certificates), import it at the router and connect with it."
        ),
        since: Some(until.minus(ENDING)),
        router_id: Some(router),
        agent_id: None,
    })
}

/// What a person should look at of the certificate with which an agent comes to us. It lives for 30 days and is
/// renewed from half of that on, so that with 14 left every day since has failed.
pub fn of_agent(agent: AgentId, until: Timestamp, now: Timestamp) -> Option<Warning> {
    let (code, message) = match nearness(until, now)? {
        Nearness::Month => return None,
        Nearness::Fortnight => (
            "AGENT_CERTIFICATE_ENDING",
            format!(
                "The certificate of the site's box ends in {} and was not renewed.",
                days_left(until, now)
            ),
        ),
        Nearness::Week => (
            "AGENT_CERTIFICATE_ENDS_SOON",
            format!(
                "In {} the certificate of the site's box ends: every day for a week and more it was not renewed.",
                days_left(until, now)
            ),
        ),
        Nearness::Over => (
            "AGENT_CERTIFICATE_ENDED",
            "The certificate of the site's box has ended; its customers are served on what it knows.".to_owned(),
        ),
    };
    let renewable = until.plus(LATE_RENEWAL);
    Some(Warning {
        code,
        message,
        remedy: if now < renewable {
            format!("Let its link to the cloud come up: it renews by itself, until {renewable}.")
        } else {
            "Enrol the box anew with a join token: it was away for too long to renew.".to_owned()
        },
        since: Some(until.minus(UNRENEWED)),
        router_id: None,
        agent_id: Some(agent),
    })
}

/// Of the same thing told by several agents the longest known is left.
pub fn one_of_each(mut warnings: Vec<Warning>) -> Vec<Warning> {
    warnings.sort_by_key(|warning| warning.since);
    let mut left: Vec<Warning> = Vec::new();
    for warning in warnings {
        let same = |other: &Warning| {
            other.code == warning.code
                && other.router_id == warning.router_id
                && (warning.router_id.is_some() || other == &warning)
        };
        if !left.iter().any(same) {
            left.push(warning);
        }
    }
    left
}

/// How long before its end a person hears of a certificate that he has to renew, and of one that renews itself.
const ENDING: Duration = Duration::from_secs(30 * 86_400);
const UNRENEWED: Duration = Duration::from_secs(14 * 86_400);
/// Percent of a disk from which on a person is warned, and alarmed (E1).
const FILLING: u8 = 80;
const FULL: u8 = 90;
const MOST_FILES: usize = 4;
/// Agents tell it once an hour at least.
const STALE: Duration = Duration::from_secs(86_400);

#[cfg(test)]
mod tests {
    use easyisp_shared::wire::condition::{ConditionV1, RouterConditionV1, UpstreamV1};
    use uuid::Uuid;

    use super::*;

    fn quiet() -> ConditionV1 {
        ConditionV1 {
            at: at(100),
            hosted: false,
            disk_used_percent: Some(79),
            disk_since: None,
            moved_aside: Vec::new(),
            started: at(0),
            clock_untrusted_since: None,
            refusing_since: None,
            routers: Vec::new(),
            upstream: None,
        }
    }

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_secs(secs)
    }

    fn agent(number: u128) -> AgentId {
        Uuid::from_u128(number).into()
    }

    /// Warned at 80 %, alarmed at 90 %, and told when accounting stops.
    #[test]
    fn a_box_is_warned_of_by_what_it_tells() {
        let codes = |told: ConditionV1| -> Vec<&str> {
            let warnings = of_box(agent(1), &told);
            warnings.into_iter().map(|warning| warning.code).collect()
        };
        assert!(codes(quiet()).is_empty());
        for (percent, code) in [
            (80, "DISK_FILLING"),
            (89, "DISK_FILLING"),
            (90, "DISK_FULL"),
        ] {
            let told = ConditionV1 {
                disk_used_percent: Some(percent),
                ..quiet()
            };
            assert_eq!(codes(told), [code]);
        }
        let worst = ConditionV1 {
            disk_used_percent: Some(100),
            moved_aside: vec!["outbox.db.damaged-1".to_owned()],
            clock_untrusted_since: Some(at(1)),
            refusing_since: Some(at(2)),
            upstream: Some(UpstreamV1 {
                reached: false,
                since: at(3),
            }),
            ..quiet()
        };
        let all = [
            "ACCOUNTING_REFUSED",
            "DISK_FULL",
            "DAMAGED_FILE",
            "UPSTREAM_DOWN",
            "CLOCK_UNTRUSTED",
        ];
        assert_eq!(codes(worst), all);
    }

    /// A router's certificate is renewed by a person: he hears of it 30 days before, in earnest 7 days before, and
    /// when it is too late.
    #[test]
    fn a_routers_certificate_is_told_of_before_it_ends() {
        let (router, until) = (Uuid::from_u128(6).into(), at(1_800_000_000));
        let told =
            |days: i64| of_certificate(router, "Tower", until, at(1_800_000_000 - days * 86_400));
        let code = |days| told(days).map(|warning| warning.code);
        assert_eq!(code(31), None);
        assert_eq!(code(30), Some("CERTIFICATE_ENDING"));
        assert_eq!(code(14), Some("CERTIFICATE_ENDING"));
        assert_eq!(code(7), Some("CERTIFICATE_ENDS_SOON"));
        assert_eq!(code(0), Some("CERTIFICATE_ENDED"));
        let message = told(7).map(|warning| warning.message);
        assert!(message.is_some_and(|text| text.contains("7 days")));
    }

    /// Not while it is young and would renew, twice before its end, and after it until nothing helps but a token.
    #[test]
    fn a_certificate_that_is_not_renewed_is_told_of() {
        let until = at(1_800_000_000);
        let told = |days: i64| of_agent(agent(1), until, at(1_800_000_000 - days * 86_400));
        let code = |days| told(days).map(|warning| warning.code);
        assert_eq!(code(15), None);
        assert_eq!(code(14), Some("AGENT_CERTIFICATE_ENDING"));
        assert_eq!(code(7), Some("AGENT_CERTIFICATE_ENDS_SOON"));
        assert_eq!(code(0), Some("AGENT_CERTIFICATE_ENDED"));
        let remedy = |days| told(days).map(|warning| warning.remedy);
        assert!(remedy(-89).is_some_and(|text| text.contains("renews by itself")));
        assert!(remedy(-90).is_some_and(|text| text.contains("join token")));
    }

    #[test]
    fn what_two_agents_tell_of_a_router_is_said_once() {
        let router = |since| RouterConditionV1 {
            router: Uuid::from_u128(6).into(),
            mismatched_since: Some(at(since)),
            unsigned_since: None,
            refused_since: None,
            full_since: None,
            moved: None,
            certificate: None,
        };
        let full = RouterConditionV1 {
            mismatched_since: None,
            full_since: Some(at(30)),
            ..router(0)
        };
        let said = of_router(agent(1), "Tower", &full);
        let said: Vec<_> = said.iter().map(|one| (one.code, one.since)).collect();
        assert_eq!(said, [("TOO_MANY_SESSIONS", Some(at(30)))]);
        let told = [(1, 50), (2, 40)];
        let all = told.map(|(number, since)| of_router(agent(number), "Tower", &router(since)));
        let said = one_of_each(all.into_iter().flatten().collect());
        assert_eq!(said.len(), 1);
        assert_eq!(said.first().and_then(|one| one.since), Some(at(40)));

        let boxes = [1, 2].map(|number| {
            let full = ConditionV1 {
                disk_used_percent: Some(95),
                ..quiet()
            };
            of_box(agent(number), &full)
        });
        let said = one_of_each(boxes.into_iter().flatten().collect());
        assert_eq!(said.len(), 2, "two boxes are two");
    }
}
