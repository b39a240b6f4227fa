//! The router's DHCP server, which asks RADIUS whether a device gets a lease (`/ip dhcp-server use-radius=yes`).

use std::net::Ipv4Addr;

use easyisp_agent::radius::client::accounting_request;
use easyisp_agent::radius::dictionary::attribute;

use super::Router;
use super::grants::Grants;
use super::kept::LEASES;
use super::life::is_acknowledged;
use super::request::{Answer, Login};

/// A device on the router's network.
#[derive(Clone)]
pub struct Device {
    router: Router,
    mac: String,
}

/// What became of a device's request for an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lease {
    /// It has this address, with what the server granted.
    Lent(Ipv4Addr, Box<Grants>),
    /// The server said no: it gets none.
    Refused,
    /// No server gave an answer that the router took: it gets none.
    NoAnswer,
}

/// What is reported of a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Report {
    /// It began.
    Start,
    /// It goes on: seconds, octets from the device and to it.
    Interim(u32, u32, u32),
    /// It is over.
    Stop,
}

impl Router {
    /// A device with this hardware address.
    pub fn device(&self, mac: &str) -> Device {
        Device {
            router: self.clone(),
            mac: mac.to_owned(),
        }
    }
}

impl Device {
    /// Asks for an address, anew or again.
    pub async fn ask(&self) -> Lease {
        let (router, wiring) = (&self.router, self.router.wiring());
        let settings = &router.shared.settings;
        for server in router.servers() {
            let login =
                Login::of_lease(self.described(), settings, &wiring, &router.shared.entropy);
            let write = |identifier| login.write(identifier, settings, &wiring);
            let judge = |answer: &[u8], request: &[u8]| {
                login.judge(answer, request, settings.strictness, &wiring.secret)
            };
            match router.ask(server.auth, write, judge).await {
                None => {}
                Some(Answer::Accept(grants)) => return self.take(grants),
                Some(Answer::Reject(_) | Answer::Unproven) => {
                    self.lose();
                    return Lease::Refused;
                }
            }
        }
        Lease::NoAnswer
    }

    /// Reports its lease to the first server; whether that was answered.
    pub async fn report(&self, session: &str, what: Report) -> bool {
        let (router, wiring) = (&self.router, self.router.wiring());
        let number = |number: u32| number.to_be_bytes().to_vec();
        let (status, counted) = match what {
            Report::Start => (1, None),
            Report::Interim(secs, up, down) => (3, Some((secs, up, down))),
            Report::Stop => (2, None),
        };
        let mut attributes = vec![(attribute::ACCT_STATUS_TYPE, number(status))];
        attributes.extend(self.described());
        attributes.push((attribute::ACCT_SESSION_ID, session.as_bytes().to_vec()));
        let address = self
            .lease()
            .and_then(|row| row.value("address")?.parse().ok());
        if let Some(address) = address {
            let address: Ipv4Addr = address;
            attributes.push((attribute::FRAMED_IP_ADDRESS, address.octets().to_vec()));
        }
        if let Some((secs, up, down)) = counted {
            attributes.push((attribute::ACCT_SESSION_TIME, number(secs)));
            attributes.push((attribute::ACCT_INPUT_OCTETS, number(up)));
            attributes.push((attribute::ACCT_OUTPUT_OCTETS, number(down)));
        }
        let attributes: Vec<(u8, &[u8])> = attributes
            .iter()
            .map(|(kind, value)| (*kind, value.as_slice()))
            .collect();
        let Some(server) = router.servers().into_iter().next() else {
            return false;
        };
        let write = |identifier| {
            accounting_request(&attributes, identifier, &wiring.secret)
                .expect("a record of tested attributes fits")
        };
        let judge = |answer: &[u8], request: &[u8]| {
            is_acknowledged(answer, request, &wiring.secret).then_some(())
        };
        router.ask(server.acct, write, judge).await.is_some()
    }

    /// Its row among the leases that were given out.
    pub fn lease(&self) -> Option<super::kept::KeptRow> {
        let rows = self.router.kept(LEASES.path).into_iter();
        let mut his = rows.filter(|row| row.value("mac-address") == Some(&self.mac));
        his.find(|row| row.value("dynamic") == Some("true"))
    }

    fn described(&self) -> Vec<(u8, Vec<u8>)> {
        let number = |number: u32| number.to_be_bytes().to_vec();
        let text = |text: &str| text.as_bytes().to_vec();
        // What a device calls itself, without the zeros in front.
        let octets = self.mac.to_lowercase();
        let octets: Vec<String> = octets
            .split(':')
            .map(|octet| octet.strip_prefix('0').unwrap_or(octet).to_owned())
            .collect();
        vec![
            (attribute::NAS_PORT_TYPE, number(15)),
            (attribute::NAS_PORT, number(2_147_483_655)),
            (
                attribute::CALLING_STATION_ID,
                text(&format!("1:{}", octets.join(":"))),
            ),
            (attribute::USER_NAME, text(&self.mac)),
            (attribute::CALLED_STATION_ID, text("homes")),
            (attribute::NAS_PORT_ID, text("bridge-homes")),
        ]
    }

    fn take(&self, grants: Box<Grants>) -> Lease {
        let before = self.lease();
        let held = before
            .as_ref()
            .and_then(|row| row.value("address")?.parse().ok());
        let address = grants
            .fixed_address()
            .or(held)
            .unwrap_or_else(|| self.router.lease());
        let text = address.to_string();
        let row = [
            ("address", text.as_str()),
            ("active-address", text.as_str()),
            ("mac-address", self.mac.as_str()),
            ("active-mac-address", self.mac.as_str()),
            ("server", "homes"),
            ("active-server", "homes"),
            ("status", "bound"),
            ("dynamic", "true"),
            ("radius", "true"),
            ("blocked", "false"),
            ("disabled", "false"),
            (
                "rate-limit",
                grants.rate_limit.as_deref().unwrap_or_default(),
            ),
            (
                "address-lists",
                grants.address_list.as_deref().unwrap_or_default(),
            ),
        ];
        // At once: who renews is never without.
        self.router.change(|state| {
            if let Some(before) = &before {
                state.kept.remove(LEASES.path, &before.id);
            }
            state.kept.enter(LEASES.path, &row);
        });
        Lease::Lent(address, grants)
    }

    fn lose(&self) {
        if let Some(row) = self.lease() {
            self.router
                .change(|state| state.kept.remove(LEASES.path, &row.id));
        }
    }
}

impl Lease {
    /// What was granted.
    ///
    /// # Panics
    /// When there is no lease.
    pub fn lent(self) -> Grants {
        match self {
            Lease::Lent(_, grants) => *grants,
            Lease::Refused | Lease::NoAnswer => panic!("no lease: {self:?}"),
        }
    }
}
