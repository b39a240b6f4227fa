//! CoA and Disconnect towards a router: one exchange from first datagram to outcome (RFC 5176).

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::builder::{Builder, DoesNotFit, Signature};
use super::dictionary::{Code, ErrorCause, attribute, mikrotik};
use super::packet::{Authenticator, Packet};
use super::secret::Secret;
use super::verify::check_answer;

/// Which session is meant. Hotspot needs the address and the name; PPP the name, and the session
/// where one name has several. NAS-* attributes stay out: a router whose own view differs refuses.
#[derive(Debug, Clone, Copy, Default)]
pub struct Target<'a> {
    /// User-Name, as the router sent it.
    pub user_name: Option<&'a [u8]>,
    /// Acct-Session-Id, as the router sent it.
    pub session_id: Option<&'a [u8]>,
    /// Framed-IP-Address.
    pub framed_address: Option<Ipv4Addr>,
    /// Calling-Station-Id.
    pub calling_station: Option<&'a [u8]>,
}

/// What the router is asked to do.
#[derive(Debug, Clone, Copy)]
pub enum Order<'a> {
    /// End the session.
    Disconnect,
    /// Change the session while it runs.
    Change(Change<'a>),
}

/// What RouterOS changes on a running session; addresses, pools and routes it does not.
#[derive(Debug, Clone, Copy, Default)]
pub struct Change<'a> {
    /// Mikrotik-Rate-Limit.
    pub rate_limit: Option<&'a str>,
    /// Session-Timeout, seconds from login on a hotspot.
    pub session_timeout_secs: Option<u32>,
    /// Mikrotik-Group.
    pub group: Option<&'a str>,
    /// Mikrotik-Address-List.
    pub address_list: Option<&'a str>,
}

/// How an exchange is sent.
#[derive(Debug, Clone, Copy)]
pub struct Envelope {
    /// The router's CoA port.
    pub router: SocketAddr,
    /// Not in use with this router by another exchange.
    pub identifier: u8,
    /// With Message-Authenticator, unless this router was seen to refuse it.
    pub signature: Signature,
    /// Event-Timestamp, seconds since 1970: only where the router's clock is known to be right,
    /// for a router silently drops what looks stale.
    pub event_unix: Option<u32>,
}

/// How an exchange ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The router says it did it. Verify: some say so and did nothing.
    Acked,
    /// The router refused, and perhaps said why.
    Nak(Option<ErrorCause>),
    /// Nothing authentic came in 30 seconds.
    NoAnswer,
}

/// What the driver does when [`Exchange::poll_timeout`] has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Send [`Exchange::datagram`] again, unchanged.
    Resend,
    /// It is over.
    Finished(Outcome),
}

/// Why a datagram is not this exchange's answer; it is ignored and counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Ignored {
    /// From another address or port.
    WrongSource,
    /// No RADIUS packet.
    Malformed,
    /// Another identifier: a late answer to an earlier exchange.
    WrongIdentifier,
    /// A code that answers something else.
    WrongCode,
    /// An authenticator that only somebody without the secret would send.
    Forged,
}

/// One request under way. The driver sends [`datagram`](Exchange::datagram) once at the start.
#[derive(Debug)]
pub struct Exchange {
    router: SocketAddr,
    secret: Arc<Secret>,
    request: Vec<u8>,
    acks: (Code, Code),
    resend_at: Instant,
    wait: Duration,
    ends_at: Instant,
    ignored: u32,
}

// RFC 5080 §2.2.1: first wait, longest wait, patience. Each wait varies by a tenth.
const FIRST_WAIT: Duration = Duration::from_secs(2);
const LONGEST_WAIT: Duration = Duration::from_secs(16);
const PATIENCE: Duration = Duration::from_secs(30);

impl Exchange {
    /// Writes the request. `jitter` is a random octet.
    pub fn start(
        envelope: Envelope,
        target: Target<'_>,
        order: Order<'_>,
        secret: Arc<Secret>,
        jitter: u8,
        now: Instant,
    ) -> Result<Exchange, DoesNotFit> {
        let (code, acks) = match order {
            Order::Disconnect => (
                Code::DisconnectRequest,
                (Code::DisconnectAck, Code::DisconnectNak),
            ),
            Order::Change(_) => (Code::CoaRequest, (Code::CoaAck, Code::CoaNak)),
        };
        let mut request = Builder::new(Vec::new(), code, envelope.identifier, envelope.signature);
        target.push(&mut request)?;
        if let Order::Change(change) = order {
            change.push(&mut request)?;
        }
        if let Some(unix) = envelope.event_unix {
            request.push_number(attribute::EVENT_TIMESTAMP, unix)?;
        }
        let wait = vary(FIRST_WAIT, jitter);
        Ok(Exchange {
            router: envelope.router,
            request: request.sign_request(&secret),
            secret,
            acks,
            resend_at: now + wait,
            wait,
            ends_at: now + PATIENCE,
            ignored: 0,
        })
    }

    /// The octets to send, the same each time: a router knows a copy by its identifier.
    pub fn datagram(&self) -> &[u8] {
        &self.request
    }

    /// Where to send them.
    pub fn router(&self) -> SocketAddr {
        self.router
    }

    /// How many datagrams were ignored so far.
    pub fn ignored(&self) -> u32 {
        self.ignored
    }

    /// Judges a datagram. Only the router's own answer to this request ends the exchange.
    pub fn on_reply(&mut self, source: SocketAddr, datagram: &[u8]) -> Result<Outcome, Ignored> {
        self.judge(source, datagram)
            .inspect_err(|_| self.ignored = self.ignored.saturating_add(1))
    }

    fn judge(&self, source: SocketAddr, datagram: &[u8]) -> Result<Outcome, Ignored> {
        if source != self.router {
            return Err(Ignored::WrongSource);
        }
        let answer = Packet::parse(datagram).map_err(|_| Ignored::Malformed)?;
        if answer.identifier() != self.request[1] {
            return Err(Ignored::WrongIdentifier);
        }
        let (ack, nak) = self.acks;
        let code = answer.code();
        if code != Some(ack) && code != Some(nak) {
            return Err(Ignored::WrongCode);
        }
        check_answer(&answer, self.authenticator(), &self.secret).map_err(|_| Ignored::Forged)?;
        if code == Some(ack) {
            return Ok(Outcome::Acked);
        }
        let cause = answer
            .attributes()
            .find(|attribute| attribute.kind == attribute::ERROR_CAUSE)
            .and_then(|attribute| attribute.number());
        Ok(Outcome::Nak(cause.map(ErrorCause::from)))
    }

    /// When to call [`on_timeout`](Exchange::on_timeout).
    pub fn poll_timeout(&self) -> Instant {
        self.resend_at.min(self.ends_at)
    }

    /// What to do at `now`; `None` before the time has come. `jitter` is a random octet.
    pub fn on_timeout(&mut self, jitter: u8, now: Instant) -> Option<Action> {
        if now >= self.ends_at {
            return Some(Action::Finished(Outcome::NoAnswer));
        }
        if now < self.resend_at {
            return None;
        }
        self.wait = vary((self.wait * 2).min(LONGEST_WAIT), jitter);
        self.resend_at = match now + self.wait {
            at if at + FIRST_WAIT <= self.ends_at => at,
            _ => self.ends_at, // a copy so late could not be answered in time
        };
        Some(Action::Resend)
    }

    fn authenticator(&self) -> &Authenticator {
        self.request[4..]
            .first_chunk()
            .expect("a built packet has a header")
    }
}

impl Target<'_> {
    fn push(&self, request: &mut Builder) -> Result<(), DoesNotFit> {
        let texts = [
            (attribute::USER_NAME, self.user_name),
            (attribute::ACCT_SESSION_ID, self.session_id),
            (attribute::CALLING_STATION_ID, self.calling_station),
        ];
        for (kind, text) in texts {
            if let Some(text) = text {
                request.push(kind, text)?;
            }
        }
        match self.framed_address {
            Some(address) => request.push_address(attribute::FRAMED_IP_ADDRESS, address),
            None => Ok(()),
        }
    }
}

impl Change<'_> {
    fn push(&self, request: &mut Builder) -> Result<(), DoesNotFit> {
        let texts = [
            (mikrotik::RATE_LIMIT, self.rate_limit),
            (mikrotik::GROUP, self.group),
            (mikrotik::ADDRESS_LIST, self.address_list),
        ];
        for (kind, text) in texts {
            if let Some(text) = text {
                request.push_vendor(mikrotik::VENDOR, kind, text.as_bytes())?;
            }
        }
        match self.session_timeout_secs {
            Some(secs) => request.push_number(attribute::SESSION_TIMEOUT, secs),
            None => Ok(()),
        }
    }
}

/// `wait` more or less a tenth: 0 is a tenth less, 255 a tenth more.
fn vary(wait: Duration, jitter: u8) -> Duration {
    wait * (900 + u32::from(jitter) * 200 / 255) / 1000
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn a_disconnect_says_who_and_is_signed() {
        let exchange = given_exchange(Order::Disconnect);
        let request = Packet::parse(exchange.datagram()).unwrap();
        assert_eq!(request.code(), Some(Code::DisconnectRequest));
        assert_eq!(request.identifier(), 9);
        let kinds: Vec<u8> = request
            .attributes()
            .map(|attribute| attribute.kind)
            .collect();
        assert_eq!(kinds, [80, 1, 44, 8]);

        let mut zeroed = exchange.datagram().to_vec();
        zeroed[4..20].fill(0);
        let digest = secret().md5_suffixed(&[&zeroed]);
        assert_eq!(request.authenticator(), &digest);
        zeroed[22..38].fill(0);
        let mac = secret().hmac(&[&zeroed]);
        assert_eq!(request.first(80), Some(&mac[..]));
    }

    #[test]
    fn the_routers_answer_ends_the_exchange() {
        let mut exchange = given_exchange(Order::Disconnect);
        let ack = answer(&exchange, Code::DisconnectAck, 9, &secret(), None);
        assert_eq!(exchange.on_reply(router(), &ack), Ok(Outcome::Acked));
        let nak = answer(&exchange, Code::DisconnectNak, 9, &secret(), Some(503));
        assert_eq!(
            exchange.on_reply(router(), &nak),
            Ok(Outcome::Nak(Some(ErrorCause::SessionNotFound)))
        );
        let silent_nak = answer(&exchange, Code::DisconnectNak, 9, &secret(), None);
        assert_eq!(
            exchange.on_reply(router(), &silent_nak),
            Ok(Outcome::Nak(None))
        );
    }

    /// Fault A11: what is not this router's answer to this request changes nothing but a count.
    #[test]
    fn forged_and_unrelated_answers_are_ignored() {
        let change = Change {
            rate_limit: Some("2M/10M"),
            ..Change::default()
        };
        let mut exchange = given_exchange(Order::Change(change));
        let ack = answer(&exchange, Code::CoaAck, 9, &secret(), None);
        let other_port = SocketAddr::from(([10, 0, 0, 1], 1700));
        let other_id = answer(&exchange, Code::CoaAck, 8, &secret(), None);
        let other_code = answer(&exchange, Code::DisconnectAck, 9, &secret(), None);
        let forged = answer(&exchange, Code::CoaAck, 9, &Secret::new(b"guess"), None);
        let mut changed = ack.clone();
        changed[5] ^= 1;

        for (source, datagram, reason) in [
            (other_port, &ack, Ignored::WrongSource),
            (router(), &other_id, Ignored::WrongIdentifier),
            (router(), &other_code, Ignored::WrongCode),
            (router(), &forged, Ignored::Forged),
            (router(), &changed, Ignored::Forged),
            (router(), &vec![44, 9], Ignored::Malformed),
        ] {
            assert_eq!(exchange.on_reply(source, datagram), Err(reason));
        }
        assert_eq!(exchange.ignored(), 6);
        assert_eq!(exchange.on_reply(router(), &ack), Ok(Outcome::Acked));
    }

    #[test]
    fn a_silent_router_is_asked_at_growing_intervals_for_half_a_minute() {
        let start = Instant::now();
        let middle = 127; // no variation to speak of
        let mut exchange = given_exchange_at(Order::Disconnect, middle, start);
        let mut sent = Vec::new();
        let outcome = loop {
            let now = exchange.poll_timeout();
            match exchange.on_timeout(middle, now).unwrap() {
                Action::Resend => sent.push((now - start).as_secs_f32().round()),
                Action::Finished(outcome) => break outcome,
            }
        };
        assert_eq!(sent, [2.0, 6.0, 14.0]);
        assert_eq!(outcome, Outcome::NoAnswer);
        assert_eq!(exchange.poll_timeout() - start, PATIENCE);
    }

    #[test]
    fn nothing_is_sent_before_its_time_and_waits_vary_by_a_tenth() {
        let start = Instant::now();
        let mut exchange = given_exchange_at(Order::Disconnect, 0, start);
        assert_eq!(exchange.on_timeout(0, start), None);
        assert_eq!(exchange.poll_timeout() - start, Duration::from_millis(1800));
        assert_eq!(vary(FIRST_WAIT, 255), Duration::from_millis(2200));
    }

    fn given_exchange(order: Order<'_>) -> Exchange {
        given_exchange_at(order, 127, Instant::now())
    }

    fn given_exchange_at(order: Order<'_>, jitter: u8, now: Instant) -> Exchange {
        let envelope = Envelope {
            router: router(),
            identifier: 9,
            signature: Signature::MessageAuthenticator,
            event_unix: None,
        };
        let target = Target {
            user_name: Some(b"demo001"),
            session_id: Some(b"80100014"),
            framed_address: Some(Ipv4Addr::new(10, 5, 0, 7)),
            calling_station: None,
        };
        Exchange::start(envelope, target, order, Arc::new(secret()), jitter, now).unwrap()
    }

    fn answer(
        exchange: &Exchange,
        code: Code,
        identifier: u8,
        secret: &Secret,
        cause: Option<u32>,
    ) -> Vec<u8> {
        let mut answer = Builder::new(Vec::new(), code, identifier, Signature::None);
        if let Some(cause) = cause {
            answer.push_number(attribute::ERROR_CAUSE, cause).unwrap();
        }
        answer.sign_answer(exchange.authenticator(), secret)
    }

    fn router() -> SocketAddr {
        SocketAddr::from(([10, 0, 0, 1], 3799))
    }

    fn secret() -> Secret {
        Secret::new(b"demo-secret")
    }
}
