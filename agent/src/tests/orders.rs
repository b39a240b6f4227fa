//! A router that knows the old secret, that moved, or that takes no signature: who is online there is cut all
//! the same.

use std::net::IpAddr;

use easyisp_shared::wire::down::secret_place;
use easyisp_shared::wire::{Down, DownKind, FeedBatch, FeedMode};
use md5::{Digest, Md5};

use super::*;
use crate::radius::builder::Builder;

const MOVED: [u8; 4] = [127, 0, 9, 8];
const OLD: &[u8] = b"demo-secret";
const NEW: &[u8] = b"another-secret";

/// While a secret is changed, a router that still knows the old one is asked under it at once.
#[tokio::test(flavor = "multi_thread")]
async fn a_router_with_the_old_secret_is_asked_under_the_old_secret() {
    let running = given_rotation("127.0.0.0/8").await;
    running.log_in(b"demo001", DEMO001, 1).unwrap();
    running.account(1, "81000001", 0, 0).unwrap();

    running.clock.advance(Duration::from_secs(1001));
    let order = hear(&running.router, PATIENCE);
    assert!(order.is_under(OLD));
    assert_eq!(order.code(), Some(Code::DisconnectRequest));
    running.stop().await;
}

/// The same router set back by hand after it showed the new one: silence under the new, then the old.
#[tokio::test(flavor = "multi_thread")]
async fn the_other_secret_is_tried_when_the_shown_one_meets_silence() {
    let mut running = given_rotation("127.0.0.0/8").await;
    running.secret = Secret::new(NEW);
    running.log_in(b"demo001", DEMO001, 1).unwrap();
    running.account(1, "81000001", 0, 0).unwrap();

    running.clock.advance(Duration::from_secs(1001));
    let first = hear(&running.router, PATIENCE);
    assert!(first.is_under(NEW));
    let second = hear(&running.router, PATIENCE);
    assert!(second.is_under(OLD));
    second.answer(&running.router, OLD, Code::DisconnectAck, None);
    running.secret = Secret::new(OLD);
    running.account(2, "81000001", 0, 0).unwrap();
    running.stop().await;
}

/// A router on DHCP, LTE or a satellite link moved: it logs customers in under the old secret, and they are cut
/// where it is, after a restart too. A password goes there only once somebody there proved the secret.
#[tokio::test(flavor = "multi_thread")]
async fn a_router_that_moved_is_asked_where_it_is() {
    let running = given_rotation("127.0.0.1/32").await;
    let coa = running.router.local_addr().unwrap().port();
    let there = UdpSocket::bind(SocketAddr::from((MOVED, coa))).unwrap();
    let client = UdpSocket::bind(SocketAddr::from((MOVED, 0))).unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    let ask = |datagram: &[u8], to| {
        client.send_to(datagram, to).unwrap();
        let mut buffer = [0; 4096];
        let (length, _) = client.recv_from(&mut buffer).unwrap();
        client::read_answer(&buffer[..length], datagram, &running.secret).unwrap();
        Packet::parse(&buffer[..length]).unwrap().code()
    };
    // Whoever asks without a signature may be anybody.
    let unsigned = Login {
        user_name: b"demo001",
        method: DEMO001,
        extra: &[],
        signature: Signature::None,
    };
    let unsigned = client::access_request(&unsigned, 7, &[7; 16], &running.secret).unwrap();
    client
        .send_to(&unsigned, running.agent.radius_auth())
        .unwrap();
    client.set_read_timeout(Some(SILENCE)).unwrap();
    assert!(client.recv_from(&mut [0; 4096]).is_err());
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    let site = running.agent.overview().site.clone();
    assert!(site.routers().remove(0).found_at().is_none());

    let login = running.access_datagram(b"demo001", DEMO001, 1);
    let accepted = ask(&login, running.agent.radius_auth());
    assert_eq!(accepted, Some(Code::AccessAccept));
    let begun = running.accounting_datagram(1, "81000001", 0, 0, 2);
    ask(&begun, running.agent.radius_acct());

    let router = running.agent.overview().site.routers().remove(0);
    let moved = IpAddr::from(MOVED);
    assert_eq!(router.found_at().map(|place| place.address), Some(moved));
    assert_ne!(router.proved_place(), moved);
    let mut probe = hear(&there, PATIENCE);
    while !probe.is_under(OLD) {
        probe = hear(&there, PATIENCE); // it knows the old one
    }
    assert_eq!(
        probe.first(attribute::USER_NAME),
        b"easyisp-connection-test"
    );
    probe.answer(&there, OLD, Code::DisconnectNak, Some(503));
    let proved = async {
        while router.proved_place() != moved {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, proved).await.unwrap();
    let told = router.condition(running.clock.now()).unwrap();
    assert_eq!(told.moved, Some((moved, start())));

    let running = running.restart().await;
    let router = running.agent.overview().site.routers().remove(0);
    assert_eq!(router.coa_address(), (MOVED, coa).into());
    assert_eq!(router.proved_place(), router.address, "to be proved anew");
    let probe = hear(&there, PATIENCE);
    probe.answer(&there, NEW, Code::DisconnectNak, Some(503));
    running.clock.advance(Duration::from_secs(1001));
    let order = hear(&there, PATIENCE);
    assert_eq!(order.first(attribute::USER_NAME), b"demo001");

    // From home again: what it was elsewhere is forgotten, over a restart too.
    let home = running.agent.overview().site.clone();
    let mut running = running;
    running.secret = Secret::new(NEW);
    running.log_in(b"demo001", DEMO001, 3).unwrap();
    assert!(home.routers().remove(0).found_at().is_none());
    running.flush();
    let running = running.restart().await;
    let router = running.agent.overview().site.routers().remove(0);
    assert!(router.found_at().is_none());
    running.stop().await;
}

/// A Message-Authenticator is left out where it was seen to be refused, by a word or by silence, and there alone.
#[tokio::test(flavor = "multi_thread")]
async fn an_order_goes_without_signature_where_that_is_refused() {
    for silent in [false, true] {
        let running = Running::start(site()).await;
        running.log_in(b"demo001", DEMO001, 1).unwrap();
        running.account(1, "81000001", 0, 0).unwrap();
        running.command(7, start(), 2).await;

        let plain = loop {
            let order = hear(&running.router, PATIENCE);
            match order.is_signed() {
                true if silent => {}
                true => order.answer(&running.router, OLD, Code::DisconnectNak, Some(401)),
                false => break order,
            }
        };
        plain.answer(&running.router, OLD, Code::DisconnectAck, None);
        running.account(2, "81000001", 1, 0).unwrap();
        let done = CommandOutcome::Done { sessions: 1 };
        assert_eq!(running.results(1).await, [done]);

        running.account(1, "81000002", 0, 0).unwrap();
        running.command(8, start(), 3).await;
        let remembered = hear(&running.router, PATIENCE);
        assert!(!remembered.is_signed());
        running.stop().await;
    }
}

/// Where a signed order was answered, a refusal is a refusal.
#[tokio::test(flavor = "multi_thread")]
async fn a_router_that_takes_signed_orders_gets_no_others() {
    let running = Running::start(site()).await;
    running.log_in(b"demo001", DEMO001, 1).unwrap();
    running.account(1, "81000001", 0, 0).unwrap();
    running.command(7, start(), 2).await;
    let order = hear(&running.router, PATIENCE);
    order.answer(&running.router, OLD, Code::DisconnectAck, None);
    running.account(2, "81000001", 1, 0).unwrap();
    running.results(1).await;

    running.account(1, "81000002", 0, 0).unwrap();
    running.command(8, start(), 3).await;
    let order = hear(&running.router, PATIENCE);
    assert!(order.is_signed());
    order.answer(&running.router, OLD, Code::DisconnectNak, Some(401));
    assert!(running.router_hears(SILENCE).is_none());
    running.stop().await;
}

/// From 7.15 on every request is signed: one that is not is not from that router.
#[tokio::test(flavor = "multi_thread")]
async fn a_known_build_must_sign_from_the_first_request_on() {
    let running = Running::start(site()).await;
    let router = running.agent.overview().site.routers().remove(0);
    router.note_build("7.14.3 (stable)");
    let unsigned =
        |identifier, within| running.log_in_signed(DEMO001, Signature::None, identifier, within);
    assert!(unsigned(1, PATIENCE).is_some());
    router.note_build("7.18.2 (stable)");
    assert!(unsigned(2, SILENCE).is_none());
    let told = router.condition(running.clock.now()).unwrap();
    assert_eq!(told.refused_since, Some(start()));
    running.stop().await;
}

/// A site whose router gets another secret; it still takes the old one.
async fn given_rotation(source: &str) -> Running {
    let mut words = site();
    words.routers[0].source = source.parse().unwrap();
    words.routers[0].secret = SecretString::from(str::from_utf8(NEW).unwrap());
    let running = Running::start(words).await;
    let rows = running.words.rows(&running.key, &Entropy::seeded(1), 2);
    let is_router = |row: &DownRecord| row.kind == DownKind::Router.code();
    let mut row = rows.into_iter().find(is_router).unwrap();
    let told = Down::decode(row.kind, row.body.as_ref().unwrap());
    let Ok(Down::Router(mut told)) = told else {
        panic!("a router's row holds a router");
    };
    let place = secret_place(DownKind::Router, row.id, "previous");
    told.previous_secret = Some(running.key.seal(&place, OLD, &Entropy::seeded(4)));
    row.body = Some(Down::Router(told).encode());
    let batch = FeedBatch {
        from: 1,
        to: 2,
        mode: FeedMode::Changes,
        last: false,
        digests: Vec::new(),
        records: vec![row],
    };
    let feed = &running.agent.served.feed;
    feed.apply(batch, Uuid::nil()).await.unwrap();
    running
}

/// A datagram at a router's CoA port.
struct Heard {
    octets: Vec<u8>,
    from: SocketAddr,
}

fn hear(router: &UdpSocket, within: Duration) -> Heard {
    router.set_read_timeout(Some(within)).unwrap();
    let mut buffer = [0; 4096];
    let (length, from) = router.recv_from(&mut buffer).unwrap();
    Heard {
        octets: buffer[..length].to_vec(),
        from,
    }
}

impl Heard {
    fn packet(&self) -> Packet<'_> {
        Packet::parse(&self.octets).unwrap()
    }

    fn code(&self) -> Option<Code> {
        self.packet().code()
    }

    fn first(&self, kind: u8) -> &[u8] {
        self.packet().first(kind).unwrap_or_default()
    }

    fn is_signed(&self) -> bool {
        !self.first(attribute::MESSAGE_AUTHENTICATOR).is_empty()
    }

    /// RFC 5176 §3.3: the digest with zeros in the authenticator's place.
    fn is_under(&self, secret: &[u8]) -> bool {
        let digest: [u8; 16] = Md5::new()
            .chain_update(&self.octets[..4])
            .chain_update([0; 16])
            .chain_update(&self.octets[20..])
            .chain_update(secret)
            .finalize()
            .into();
        digest == self.octets[4..20]
    }

    fn answer(&self, router: &UdpSocket, secret: &[u8], code: Code, cause: Option<u32>) {
        let packet = self.packet();
        let signature = Signature::MessageAuthenticator;
        let mut answer = Builder::new(Vec::new(), code, packet.identifier(), signature);
        if let Some(cause) = cause {
            answer.push_number(attribute::ERROR_CAUSE, cause).unwrap();
        }
        let answer = answer.sign_answer(packet.authenticator(), &Secret::new(secret));
        router.send_to(&answer, self.from).unwrap();
    }
}
