//! A configuration as it is under way: its turns, where it is, and what is said when it does not go on.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use easyisp_shared::setup::Step;
use easyisp_shared::wire::setup::{BeforeV1, ItemV1};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::rules::Services;

/// Where a router's set-up is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, sqlx::Type, ToSchema)]
#[serde(rename_all = "UPPERCASE")]
#[sqlx(type_name = "text", rename_all = "UPPERCASE")]
pub enum Stage {
    /// The command was shown.
    Waiting,
    /// The router took its script.
    Fetched,
    /// It imported it and called.
    Called,
    /// It is being configured.
    Configuring,
    /// What was configured is being undone.
    Undoing,
    /// It is configured, and it was tried.
    Done,
    /// It is as it was.
    Failed,
}

impl Stage {
    /// Whether somebody works at it.
    pub fn is_under_way(self) -> bool {
        matches!(self, Stage::Configuring | Stage::Undoing)
    }

    /// Whether the router has not shown itself yet.
    pub fn is_awaited(self) -> bool {
        matches!(self, Stage::Waiting | Stage::Fetched)
    }

    /// Percent of the whole way.
    pub fn progress(self, place: i32, places: i32) -> i32 {
        let part = place.saturating_mul(60).checked_div(places).unwrap_or(0);
        match self {
            Stage::Waiting => 0,
            Stage::Fetched => 15,
            Stage::Called | Stage::Failed => 30,
            Stage::Configuring | Stage::Undoing => 35 + part,
            Stage::Done => 100,
        }
    }
}

/// What is done to a router, and what stood there before.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Work {
    /// What it is to serve.
    pub services: Services,
    /// Name of the backup that is made first; none where none is wished.
    pub backup: Option<String>,
    /// What every menu must hold.
    pub steps: Vec<Part>,
    /// What stood there before anything was changed.
    pub before: Vec<BeforeV1>,
    /// Why it is being undone.
    pub why: Option<String>,
    /// Whether it is something by itself: it is read back, and says nothing of what the router serves.
    #[serde(default)]
    pub is_part: bool,
    /// Why the backup that was wished was not saved, where that is no reason to stop.
    #[serde(default)]
    pub unsaved: Option<String>,
    /// Why the heart-beat was left out, where the router refused it: that is no reason to stop either.
    #[serde(default)]
    pub silent: Option<String>,
}

/// Things that are written together.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// For people.
    pub name: String,
    /// In the order in which they can be written.
    pub items: Vec<ItemV1>,
}

/// What comes next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Turn<'a> {
    /// The backup.
    Save(&'a str),
    /// Nothing: no backup was wished.
    Skip,
    /// One step.
    Apply(&'a str, &'a [ItemV1]),
    /// Trying it.
    Test,
}

impl Work {
    /// Of what a router shall be.
    pub fn new(
        services: Services,
        backup: Option<String>,
        steps: &[Step],
        before: Vec<BeforeV1>,
    ) -> Work {
        let part = |step: &Step| Part {
            name: step.name.to_owned(),
            items: step.items.iter().map(ItemV1::from).collect(),
        };
        Work {
            services,
            backup,
            steps: steps.iter().map(part).collect(),
            before,
            why: None,
            is_part: false,
            unsaved: None,
            silent: None,
        }
    }

    /// How many turns there are.
    pub fn places(&self) -> i32 {
        i32::try_from(self.steps.len() + 2).unwrap_or(i32::MAX)
    }

    /// The turn at a place.
    pub fn turn(&self, place: i32) -> Turn<'_> {
        let step = usize::try_from(place).ok().and_then(|at| at.checked_sub(1));
        match (step, &self.backup) {
            (None, Some(name)) => Turn::Save(name),
            (None, None) => Turn::Skip,
            (Some(at), _) => match self.steps.get(at) {
                Some(part) => Turn::Apply(&part.name, &part.items),
                None => Turn::Test,
            },
        }
    }

    /// Leaves the step of this turn out: its turn stays, and has nothing to do.
    pub fn leave_out(&mut self, place: i32) {
        let step = usize::try_from(place).ok().and_then(|at| at.checked_sub(1));
        if let Some(part) = step.and_then(|at| self.steps.get_mut(at)) {
            part.items.clear();
        }
    }

    /// A message for people, and why there is no backup where one was wished, and no heart-beat.
    pub fn told(&self, message: &str) -> String {
        let why = self.unsaved.iter().chain(&self.silent);
        why.fold(message.to_owned(), |told, why| format!("{told} {why}."))
    }

    /// Everything that is wanted, in order.
    pub fn items(&self) -> Vec<ItemV1> {
        let parts = self.steps.iter();
        parts.flat_map(|part| part.items.iter().cloned()).collect()
    }
}

/// What trying it showed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct Tested {
    /// A hotspot is served, by RADIUS.
    pub hotspot: bool,
    /// PPPoE is served, by RADIUS.
    pub pppoe: bool,
    /// Router and agent know each other by the secret: it holds the agents' addresses, and answered a signed request
    /// at its CoA port.
    pub radius: bool,
}

impl Tested {
    /// Whether everything is as wished.
    pub fn is_good(self, services: Services) -> bool {
        let hotspot = self.hotspot || services == Services::Pppoe;
        let pppoe = self.pppoe || services == Services::Hotspot;
        hotspot && pppoe && self.radius
    }
}

/// How long a router that does not answer is waited for in the midst of a configuration: a restart takes one or two
/// minutes.
pub const PATIENCE: Duration = Duration::from_secs(300);
/// How long what was begun is tried to be undone by itself.
pub const UNDO_PATIENCE: Duration = Duration::from_secs(86_400);

/// What somebody can do about it, in one sentence.
pub fn advice(why: &str) -> &'static str {
    if why.contains("device-mode") || why.contains("device mode") {
        "This device's mode keeps the hotspot off: type /system device-mode update hotspot=yes on the router, press \
         its button or cut its power within five minutes, and configure again"
    } else if why.contains("not enough permissions") {
        "The agent's user on the router lacks a right: take a new command from the wizard, paste it, and configure \
         again"
    } else if why.contains("refuses the API user") || why.contains("another certificate") {
        "The router does not know the agent by its password (any more): take a new command from the wizard, paste it, \
         and configure again"
    } else if [
        "did not answer",
        "not connected",
        "does not answer",
        "closed the API",
        "too many",
    ]
    .iter()
    .any(|words| why.contains(words))
    {
        "See that the router and the agent beside it have power and see each other, and configure again"
    } else {
        "Put right what the router names, and configure again"
    }
}

/// Where a router is: the address of its own that shares a network with its agent, as it told under its key, else
/// where its call came from. The two differ where the site stands behind one public address.
pub fn whereabouts(called_from: IpAddr, told: &str, agents: &[String]) -> IpAddr {
    let agents = addresses(agents);
    let own = told.split(',').take(64).filter_map(|text| {
        let (address, prefix) = text.trim().split_once('/')?;
        let address: Ipv4Addr = address.parse().ok()?;
        let network = ipnet::Ipv4Net::new(address, prefix.parse().ok()?).ok()?;
        let beside = agents
            .iter()
            .any(|agent| network.contains(agent) && *agent != address);
        // What is routed to everybody, or to nobody, is nobody's neighbour.
        (beside && network.prefix_len() >= 8 && address.is_private()).then_some(address)
    });
    own.map(IpAddr::V4).next().unwrap_or(called_from)
}

/// Where a router is that was found somewhere before: it stays there where its call came from outside, by a public
/// address that says nothing of its own. Not where all its agents are outside as well: to those it comes by the public
/// address, and they would not know it by the other.
pub fn stays(before: Option<IpAddr>, found: IpAddr, agents: &[String]) -> IpAddr {
    let agents = addresses(agents);
    let is_beside = agents.is_empty() || agents.iter().any(Ipv4Addr::is_private);
    match (before, found) {
        (Some(IpAddr::V4(before)), IpAddr::V4(outside))
            if is_beside && before.is_private() && !outside.is_private() =>
        {
            IpAddr::V4(before)
        }
        (_, found) => found,
    }
}

fn addresses(agents: &[String]) -> Vec<Ipv4Addr> {
    let host = |text: &String| {
        text.rsplit_once(':')
            .map_or(text.as_str(), |(host, _)| host)
            .parse()
            .ok()
    };
    agents.iter().filter_map(host).collect()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn a_router_is_where_its_agent_sees_it_else_where_it_called_from() {
        let from: IpAddr = "203.0.113.9".parse().unwrap();
        let agents = ["192.168.88.2:1814".to_owned()];
        let told = |told: &str| whereabouts(from, told, &agents).to_string();
        assert_eq!(told("203.0.113.9/30,192.168.88.1/24,"), "192.168.88.1");
        assert_eq!(told("10.0.0.1/24"), "203.0.113.9");
        assert_eq!(told("192.168.88.2/24"), "203.0.113.9");
        assert_eq!(told(""), "203.0.113.9");
        for nonsense in [
            "0.0.0.0/0",
            "x/y",
            "192.168.88.1",
            "8.8.8.8/0",
            "192.168.88.1/33",
        ] {
            assert_eq!(told(nonsense), "203.0.113.9", "{nonsense}");
        }
    }

    /// A router that serves is called from its site's public address once more, and told nothing of its own.
    #[test]
    fn who_is_found_at_home_stays_there() {
        let of = |text: &str| text.parse::<IpAddr>().unwrap();
        let (home, other, outside) = (of("10.9.0.1"), of("10.9.0.7"), of("203.0.113.9"));
        let beside = ["10.9.0.2:1814".to_owned()];
        assert_eq!(stays(Some(home), outside, &beside), home);
        assert_eq!(stays(Some(home), other, &beside), other);
        assert_eq!(stays(None, outside, &beside), outside);
        assert_eq!(stays(Some(of("0.0.0.0")), outside, &beside), outside);
        // It was given to an agent that is hosted elsewhere.
        let hosted = ["198.51.100.7:1812".to_owned()];
        assert_eq!(stays(Some(home), outside, &hosted), outside);
        let both = [beside, hosted].concat();
        assert_eq!(stays(Some(home), outside, &both), home);
    }

    #[test]
    fn a_backup_comes_first_and_the_test_last() {
        let part = |name: &str| Part {
            name: name.to_owned(),
            items: Vec::new(),
        };
        let mut work = Work {
            services: Services::Both,
            backup: Some("b".to_owned()),
            steps: vec![part("one"), part("two")],
            before: Vec::new(),
            why: None,
            is_part: false,
            unsaved: None,
            silent: None,
        };
        let turns: Vec<Turn<'_>> = (0..work.places()).map(|at| work.turn(at)).collect();
        let names = [
            Turn::Save("b"),
            Turn::Apply("one", &[]),
            Turn::Apply("two", &[]),
            Turn::Test,
        ];
        assert_eq!(turns, names);
        work.backup = None;
        assert_eq!(work.turn(0), Turn::Skip);
    }

    #[test]
    fn what_was_not_wished_need_not_work() {
        let tested = Tested {
            hotspot: false,
            pppoe: true,
            radius: true,
        };
        assert!(tested.is_good(Services::Pppoe));
        assert!(!tested.is_good(Services::Both));
        assert!(
            !Tested {
                radius: false,
                ..tested
            }
            .is_good(Services::Pppoe)
        );
    }
}
