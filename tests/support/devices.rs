//! Many devices that are read over SNMP: what a switch has, as a recording for snmpsim or answered from here for as
//! many as there are communities; and the site whose agent reads them.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::Result;
use easyisp_agent::Source;
use easyisp_agent::site::description::{Description, router_id};
use easyisp_shared::entropy::Entropy;
use easyisp_shared::id::RouterId;
use easyisp_shared::seal::SealKey;
use easyisp_shared::wire::down::secret_place;
use easyisp_shared::wire::monitor::{MonitoredV1, SnmpAccessV1};
use easyisp_shared::wire::{Down, DownKind, DownRecord};
use serde_json::json;
use tokio::net::UdpSocket;
use tokio::task::JoinHandle;

use crate::router::snmp::{INTEGER, OCTETS, OID, SEQUENCE, answer, expect, name};
use crate::snmprec::{self, Name, Recorded, Recording};

/// A switch: what SNMPv2-MIB, IF-MIB and HOST-RESOURCES-MIB say of it.
///
/// No column that the agent does not ask for: a walk of all of it reads the same.
pub struct Switch {
    text: String,
    objects: BTreeMap<Name, Recorded>,
}

impl Switch {
    /// With so many ports.
    pub fn new(ports: u32) -> Result<Switch> {
        let mut text = String::from(
            "1.3.6.1.2.1.1.1.0|4|A switch of many ports\n1.3.6.1.2.1.1.2.0|6|1.3.6.1.4.1.99999.1\n\
             1.3.6.1.2.1.1.3.0|67|123456\n1.3.6.1.2.1.1.5.0|4|access\n1.3.6.1.2.1.1.6.0|4|roof\n\
             1.3.6.1.2.1.25.3.3.1.2.1|2|7\n",
        );
        for index in 1..=ports {
            let octets = u64::from(index) << 33;
            let [entry, extended] = ["1.3.6.1.2.1.2.2.1", "1.3.6.1.2.1.31.1.1.1"];
            for (table, column, value) in [
                (entry, 2, format!("4|ge-0/0/{index}")),
                (entry, 3, "2|6".to_owned()),
                (entry, 5, "66|1000000000".to_owned()),
                (entry, 7, "2|1".to_owned()),
                (entry, 8, "2|1".to_owned()),
                (entry, 13, "65|0".to_owned()),
                (entry, 14, "65|0".to_owned()),
                (entry, 19, "65|0".to_owned()),
                (entry, 20, "65|0".to_owned()),
                (extended, 1, format!("4|ge-0/0/{index}")),
                (extended, 6, format!("70|{octets}")),
                (extended, 10, format!("70|{}", octets + 1)),
                (extended, 15, "66|1000".to_owned()),
                (extended, 18, format!("4|customer {index}")),
            ] {
                writeln!(text, "{table}.{column}.{index}|{value}")?;
            }
        }
        let objects = Recording::read(&text)?.0;
        Ok(Switch { text, objects })
    }

    /// How many values there are.
    pub fn values(&self) -> usize {
        self.objects.len()
    }

    /// As snmpsim replays it. It wants its lines in order.
    pub fn recording(&self) -> String {
        let mut lines: Vec<(Name, &str)> = self
            .text
            .lines()
            .filter_map(|line| {
                let (at, _) = line.split_once('|')?;
                Some((snmprec::name(at).ok()?, line))
            })
            .collect();
        lines.sort();
        let lines: Vec<&str> = lines.into_iter().map(|(_, line)| line).collect();
        lines.join("\n") + "\n"
    }
}

/// Switches behind one port, each known by its community; counts what each one said.
pub struct Switches {
    /// Where they answer.
    pub address: SocketAddr,
    said: Arc<Mutex<Said>>,
    task: JoinHandle<()>,
}

/// How often each object of each was sent.
struct Said {
    places: BTreeMap<Name, usize>,
    by_community: HashMap<Vec<u8>, Vec<u32>>,
}

impl Switches {
    /// So many of this kind, from `device0` on.
    pub async fn start(switch: Switch, many: usize) -> Result<Switches> {
        let socket = UdpSocket::bind("127.0.0.1:0").await?;
        let address = socket.local_addr()?;
        let communities: Vec<String> = (0..many).map(community).collect();
        let nothing = vec![0; switch.objects.len()];
        let said = Arc::new(Mutex::new(Said {
            places: switch.objects.keys().cloned().zip(0..).collect(),
            by_community: communities
                .iter()
                .map(|community| (community.clone().into_bytes(), nothing.clone()))
                .collect(),
        }));
        let heard = said.clone();
        let task = tokio::spawn(async move {
            let mut buffer = vec![0; 4096];
            loop {
                let Ok((length, from)) = socket.recv_from(&mut buffer).await else {
                    continue;
                };
                let request = buffer.get(..length).unwrap_or_default();
                let asked = community_of(request).and_then(|asked| {
                    let asked = String::from_utf8(asked.to_vec()).ok()?;
                    locked(&heard)
                        .by_community
                        .contains_key(asked.as_bytes())
                        .then_some([asked])
                });
                let Some(asked) = asked else { continue };
                let Some(answer) = answer(&switch.objects, &asked, request) else {
                    continue;
                };
                locked(&heard).note(asked[0].as_bytes(), &answer);
                // Who does not hear it asks again.
                let _lost = socket.send_to(&answer, from).await;
            }
        });
        Ok(Switches {
            address,
            said,
            task,
        })
    }

    /// How many values all of them said, each counted once.
    pub fn said(&self) -> usize {
        let said = locked(&self.said);
        let all = said.by_community.values().flatten();
        all.filter(|often| **often > 0).count()
    }

    /// Counts anew.
    pub fn forget(&self) {
        let mut said = locked(&self.said);
        said.by_community
            .values_mut()
            .for_each(|often| often.fill(0));
    }
}

impl Drop for Switches {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Said {
    fn note(&mut self, community: &[u8], answer: &[u8]) {
        let often = self.by_community.get_mut(community);
        let (Some(often), Some(names)) = (often, names_of(answer)) else {
            return;
        };
        let places = names.iter().filter_map(|name| self.places.get(name));
        for place in places {
            if let Some(often) = often.get_mut(*place) {
                *often += 1;
            }
        }
    }
}

fn locked(said: &Mutex<Said>) -> MutexGuard<'_, Said> {
    said.lock().unwrap_or_else(PoisonError::into_inner)
}

fn community_of(message: &[u8]) -> Option<&[u8]> {
    let (message, _) = expect(SEQUENCE, message)?;
    let (_version, rest) = expect(INTEGER, message)?;
    Some(expect(OCTETS, rest)?.0)
}

fn names_of(message: &[u8]) -> Option<Vec<Name>> {
    let (message, _) = expect(SEQUENCE, message)?;
    let (_version, rest) = expect(INTEGER, message)?;
    let (_community, rest) = expect(OCTETS, rest)?;
    let (_kind, mut rest, _) = crate::router::snmp::value(rest)?;
    for _ in ["id", "error", "index"] {
        rest = expect(INTEGER, rest)?.1;
    }
    let (mut list, _) = expect(SEQUENCE, rest)?;
    let mut names = Vec::new();
    while !list.is_empty() {
        let (binding, rest) = expect(SEQUENCE, list)?;
        names.push(name(expect(OID, binding)?.0)?);
        list = rest;
    }
    Some(names)
}

/// By what one of [`Switches`] is entered.
pub fn community(number: usize) -> String {
    format!("device{number}")
}

/// Which router of [`site`] a device is.
pub fn router(number: usize) -> RouterId {
    router_id(&format!("device{number:04}"))
}

/// A site with so many devices, all at one port of loopback, each read once in so many seconds.
pub fn site(
    port: u16,
    many: usize,
    interval_secs: u32,
    community: impl Fn(usize) -> String,
) -> Result<Source> {
    let row = |number: usize| {
        json!({
            "name": format!("device{number:04}"), "address": "127.0.0.1",
            "source": format!("127.9.{}.{}/32", number / 250, number % 250 + 1),
            "secret": "a-long-shared-secret", "coa_port": 3799,
        })
    };
    let words = json!({
        "packages": [], "subscribers": [], "routers": (0..many).map(row).collect::<Vec<_>>(),
    });
    let words: Description = serde_json::from_value(words)?;
    let (key, entropy) = (SealKey::new([5; 32]), Entropy::seeded(1));
    let mut rows = words.rows(&key, &entropy, 1);
    for number in 0..many {
        let router = router(number);
        let place = secret_place(DownKind::Monitored, router.0, "community");
        let sealed = key.seal(&place, community(number).as_bytes(), &entropy);
        let down = Down::Monitored(MonitoredV1 {
            router,
            port,
            interval_secs,
            access: SnmpAccessV1::Community(sealed),
        });
        rows.push(DownRecord {
            kind: down.kind().code(),
            id: router.0,
            version: 1,
            body: Some(down.encode()),
        });
    }
    Ok(Source::Described { rows, key })
}
