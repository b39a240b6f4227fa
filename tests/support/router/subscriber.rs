//! A subscriber's equipment: dials, and is online or told why not.

use std::net::Ipv4Addr;
use std::time::Duration;

use super::Router;
use super::grants::Grants;
use super::life::REDIAL;
use super::online::{Online, Traffic};
use super::request::{Answer, Login};
use super::session::{Service, Session};

/// A customer's equipment at the router's port.
#[derive(Clone)]
pub struct Subscriber {
    router: Router,
    pub(super) name: String,
    pub(super) password: String,
    pub(super) method: Method,
    pub(super) service: Service,
    pub(super) mac: String,
    pub(super) host: Option<Ipv4Addr>,
}

/// How the password is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the protocols' names")]
pub enum Method {
    Pap,
    Chap,
    MsChapV2,
}

/// How a dial ended.
pub enum Dial {
    /// The line is up.
    Online(Online),
    /// Refused; the Reply-Message, perhaps empty.
    Rejected(String),
    /// No server gave an answer that the router took.
    NoAnswer,
    /// The server did not prove that it knows the password (MS-CHAPv2): the subscriber hangs up.
    Unproven,
}

impl Subscriber {
    pub(super) fn new(router: Router, name: &str, password: &str, method: Method) -> Subscriber {
        Subscriber {
            mac: mac_of(name),
            router,
            name: name.to_owned(),
            password: password.to_owned(),
            method,
            service: Service::Pppoe,
            host: None,
        }
    }

    /// With this hardware address (upper case, colons); the usual one is made from the name.
    pub fn mac(self, mac: &str) -> Subscriber {
        Subscriber {
            mac: mac.to_owned(),
            ..self
        }
    }

    /// At the hotspot, with the address its device has there.
    pub fn hotspot(self, host: Ipv4Addr) -> Subscriber {
        Subscriber {
            service: Service::Hotspot,
            host: Some(host),
            ..self
        }
    }

    /// Dials once.
    pub async fn dial(&self) -> Dial {
        let router = &self.router;
        if let Some(answer) = router.answer_locally(self) {
            return answer;
        }
        let shared = &router.shared;
        let wiring = router.wiring();
        if !wiring.serves(self.service) {
            return Dial::NoAnswer;
        }
        let id = router.next_id(self.service);
        let nas_port = u32::from_str_radix(&id, 16).unwrap_or(0);
        let nas_port = if self.service == Service::Hotspot {
            nas_port
        } else {
            nas_port & 0xf_ffff
        };

        let mut heard = None;
        for server in router.servers() {
            let login = Login::new(self, nas_port, &shared.settings, &wiring, &shared.entropy);
            let write = |identifier| login.write(identifier, &shared.settings, &wiring);
            let judge = |answer: &[u8], request: &[u8]| {
                login.judge(answer, request, shared.settings.strictness, &wiring.secret)
            };
            heard = router.ask(server.auth, write, judge).await;
            if heard.is_some() {
                break;
            }
        }
        match heard {
            None => Dial::NoAnswer,
            Some(Answer::Unproven) => Dial::Unproven,
            Some(Answer::Reject(message)) => {
                router.change(|state| state.counters.rejects += 1);
                Dial::Rejected(message)
            }
            Some(Answer::Accept(grants)) => {
                router.change(|state| state.counters.accepts += 1);
                Dial::Online(self.come_up(id, *grants))
            }
        }
    }

    fn come_up(&self, id: String, grants: Grants) -> Online {
        let router = self.router.clone();
        let address = grants
            .fixed_address()
            .or(self.host)
            .unwrap_or_else(|| router.lease());
        let now = router.shared.clock.now();
        let session = Session::new(
            id.clone(),
            &self.name,
            self.service,
            &self.mac,
            address,
            grants,
            now,
        );
        let number = router.bring_up(session);
        Online { router, id, number }
    }
}

impl Dial {
    /// The session.
    ///
    /// # Panics
    /// When the dial ended otherwise.
    pub fn online(self) -> Online {
        match self {
            Dial::Online(online) => online,
            other => panic!("not online: {other:?}"),
        }
    }
}

impl std::fmt::Debug for Dial {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Dial::Online(online) => write!(f, "Online({})", online.id),
            Dial::Rejected(message) => write!(f, "Rejected({message:?})"),
            Dial::NoAnswer => f.write_str("NoAnswer"),
            Dial::Unproven => f.write_str("Unproven"),
        }
    }
}

impl Router {
    /// Two digits service, one boot, five running.
    pub(super) fn next_id(&self, service: Service) -> String {
        let service = match service {
            Service::Pppoe => "81",
            Service::Hotspot => "80",
        };
        self.change(|state| {
            state.born = (state.born + 1) & 0xf_ffff;
            format!("{service}{:x}{:05x}", state.boot, state.born)
        })
    }

    /// From here on addresses are handed out from this one on.
    pub fn lease_from(&self, pool: Ipv4Addr) {
        self.change(|state| (state.pool, state.leases) = (pool, 0));
    }

    pub(super) fn lease(&self) -> Ipv4Addr {
        self.change(|state| {
            let first = u32::from(state.pool);
            let lease = state.leases;
            state.leases = (lease + 1) % 65_000;
            Ipv4Addr::from(first.wrapping_add(lease))
        })
    }
}

/// Dials again whenever the line is down, until the router stops.
pub(super) async fn keep_online(subscriber: Subscriber, traffic: Traffic) {
    let clock = subscriber.router.shared.clock.clone();
    loop {
        let pause = match subscriber.dial().await {
            Dial::Online(online) => {
                online.flow(traffic);
                online.ended().await;
                REDIAL
            }
            Dial::NoAnswer => REDIAL,
            Dial::Rejected(_) | Dial::Unproven => REFUSED,
        };
        clock.sleep(pause).await;
    }
}

/// How long equipment waits after a refusal.
const REFUSED: Duration = Duration::from_secs(10);

/// A hardware address that belongs to a name: locally administered, the same in every run.
fn mac_of(name: &str) -> String {
    let hash = name.bytes().fold(0x0100_0000_01b3_u64, |hash, byte| {
        (hash ^ u64::from(byte))
            .wrapping_mul(0x9e37_79b9_7f4a_7c15)
            .rotate_left(23)
    });
    let [a, b, c, d, e, ..] = hash.to_be_bytes();
    format!("02:{a:02X}:{b:02X}:{c:02X}:{d:02X}:{e:02X}")
}
