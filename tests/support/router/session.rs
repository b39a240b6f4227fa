//! One session: what it was granted, what it used, and when it ends of itself. Pure.

use std::net::Ipv4Addr;
use std::time::Duration;

use easyisp_shared::time::Timestamp;

use super::grants::Grants;
use super::online::Traffic;

/// A session on the active list.
#[derive(Clone, Debug, PartialEq)]
pub struct Session {
    /// Acct-Session-Id: two digits service, one boot, five running.
    pub id: String,
    /// User-Name.
    pub user: String,
    /// PPPoE or hotspot.
    pub service: Service,
    /// Calling-Station-Id.
    pub mac: String,
    /// The subscriber's address.
    pub address: Ipv4Addr,
    /// NAS-Port.
    pub nas_port: u32,
    /// When it came up.
    pub started: Timestamp,
    /// What the Accept granted and CoA changed since.
    pub grants: Grants,
    /// Whether RADIUS let it in; a secret on the router itself does not ask.
    pub radius: bool,
    counted: Usage,
    counted_at: Timestamp,
    traffic: Traffic,
}

/// How a subscriber reaches the router.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// PPP over Ethernet.
    Pppoe,
    /// The hotspot's login page.
    Hotspot,
}

/// Bytes of a session or of a part of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// From the client: Acct-Input.
    pub up: u64,
    /// To the client: Acct-Output.
    pub down: u64,
}

impl Usage {
    /// Both together.
    pub fn and(self, more: Usage) -> Usage {
        Usage {
            up: self.up + more.up,
            down: self.down + more.down,
        }
    }
}

/// Why a session ended (Acct-Terminate-Cause).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The subscriber hung up.
    UserRequest = 1,
    /// The line died.
    LostCarrier = 2,
    /// Session-Timeout.
    SessionTimeout = 5,
    /// Disconnect, or removed from the active list.
    AdminReset = 6,
    /// A byte limit.
    NasRequest = 10,
    /// The router lost power: nobody was told.
    Reboot = 11,
}

/// What a session's timer is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    Interim,
    End(Cause),
}

impl Session {
    pub(super) fn new(
        id: String,
        user: &str,
        service: Service,
        mac: &str,
        address: Ipv4Addr,
        grants: Grants,
        now: Timestamp,
    ) -> Session {
        let nas_port = u32::from_str_radix(&id, 16).unwrap_or(0);
        Session {
            // A hotspot's port is its session id; PPP counts small numbers.
            nas_port: if service == Service::Hotspot {
                nas_port
            } else {
                nas_port & 0xf_ffff
            },
            id,
            user: user.to_owned(),
            service,
            mac: mac.to_owned(),
            address,
            started: now,
            grants,
            radius: true,
            counted: Usage::default(),
            counted_at: now,
            traffic: Traffic::default(),
        }
    }

    /// What went through by `now`.
    pub fn usage(&self, now: Timestamp) -> Usage {
        let millis = now.since(self.counted_at).as_millis() as u64;
        Usage {
            up: self.counted.up + self.traffic.up_bits_per_second / 8 * millis / 1000,
            down: self.counted.down + self.traffic.down_bits_per_second / 8 * millis / 1000,
        }
    }

    /// What streams through it.
    pub fn traffic(&self) -> Traffic {
        self.traffic
    }

    /// Lets bytes through at once.
    pub(super) fn add(&mut self, usage: Usage, now: Timestamp) {
        self.fold(now);
        self.counted.up += usage.up;
        self.counted.down += usage.down;
    }

    /// Lets bytes through steadily from here on.
    pub(super) fn flow(&mut self, traffic: Traffic, now: Timestamp) {
        self.fold(now);
        self.traffic = traffic;
    }

    /// Stops the stream at these totals.
    pub(super) fn freeze(&mut self, usage: Usage, now: Timestamp) {
        self.counted = usage;
        self.counted_at = now;
        self.traffic = Traffic::default();
    }

    fn fold(&mut self, now: Timestamp) {
        self.counted = self.usage(now);
        self.counted_at = now;
    }

    /// Takes the attributes of a CoA that RouterOS changes on a running session.
    pub(super) fn change(&mut self, change: Grants) {
        let grants = &mut self.grants;
        grants.rate_limit = change.rate_limit.or(grants.rate_limit.take());
        grants.session_timeout = change.session_timeout.or(grants.session_timeout);
        grants.idle_timeout = change.idle_timeout.or(grants.idle_timeout);
        grants.group = change.group.or(grants.group.take());
        grants.port_limit = change.port_limit.or(grants.port_limit);
        grants.recv_limit = change.recv_limit.or(grants.recv_limit);
        grants.xmit_limit = change.xmit_limit.or(grants.xmit_limit);
    }

    /// What happens next of itself, and when. `reported` is when the last record was made.
    pub(super) fn next(
        &self,
        reported: Timestamp,
        interim: Option<Duration>,
        now: Timestamp,
    ) -> Option<(Timestamp, Due)> {
        let granted = self.grants.interim.filter(|secs| *secs > 0);
        let interim = granted
            .map(|secs| Duration::from_secs(secs.into()))
            .or(interim);
        let timeout = self.grants.session_timeout.filter(|secs| *secs > 0);
        let timeout = timeout.map(|secs| self.started.plus(Duration::from_secs(secs.into())));
        [
            interim.map(|interim| (reported.plus(interim), Due::Interim)),
            timeout.map(|at| (at, Due::End(Cause::SessionTimeout))),
            self.limit_reached(now)
                .map(|at| (at, Due::End(Cause::NasRequest))),
        ]
        .into_iter()
        .flatten()
        .min_by_key(|(at, _)| *at)
    }

    fn limit_reached(&self, now: Timestamp) -> Option<Timestamp> {
        let usage = self.usage(now);
        let Traffic {
            up_bits_per_second: up,
            down_bits_per_second: down,
        } = self.traffic;
        let limits = [
            (self.grants.recv_limit, usage.up, up),
            (self.grants.xmit_limit, usage.down, down),
            (self.grants.total_limit, usage.up + usage.down, up + down),
        ];
        let reached = limits.into_iter().filter_map(|(limit, used, rate)| {
            let left = limit.filter(|limit| *limit > 0)?.saturating_sub(used);
            match (left, rate) {
                (0, _) => Some(now),
                (_, 0) => None,
                (left, rate) => Some(now.plus(Duration::from_millis(left * 8000 / rate + 1))),
            }
        });
        reached.min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_first_is_next() {
        let grants = Grants {
            interim: Some(60),
            session_timeout: Some(90),
            ..Grants::default()
        };
        let mut session = a_session(grants);

        assert_eq!(
            session.next(at(0), None, at(0)),
            Some((at(60), Due::Interim))
        );
        assert_eq!(
            session.next(at(60), None, at(60)),
            Some((at(90), Due::End(Cause::SessionTimeout)))
        );

        session.grants.total_limit = Some(1000);
        session.add(Usage { up: 400, down: 600 }, at(61));
        assert_eq!(
            session.next(at(60), None, at(61)),
            Some((at(61), Due::End(Cause::NasRequest)))
        );
    }

    fn a_session(grants: Grants) -> Session {
        let address = Ipv4Addr::new(10, 0, 0, 2);
        let mac = "AA:BB:CC:00:00:01";
        Session::new(
            "81100001".to_owned(),
            "demo001",
            Service::Pppoe,
            mac,
            address,
            grants,
            at(0),
        )
    }

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_secs(secs)
    }
}
