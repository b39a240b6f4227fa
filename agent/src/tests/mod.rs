//! The agent from outside: real sockets, real files, no cloud. Its tests stand in the files beside this.
#![expect(clippy::unwrap_used, reason = "tests")]

mod accounting;
mod alive;
mod busy;
mod copies;
mod bind;
mod enforcing;
mod login;
mod many;
mod orders;
mod used;

use std::net::UdpSocket;
use std::time::Duration;

use easyisp_shared::entitlement::Standing;
use easyisp_shared::id::CommandId;
use easyisp_shared::net::Mac;
use easyisp_shared::time::Timestamp;
use easyisp_shared::wire::Lane;
use easyisp_shared::wire::Up;
use easyisp_shared::wire::down::{CommandV1, Order, SubscriberV1, Whom};
use easyisp_shared::wire::up::{AccountingStatus, CommandOutcome, LoginOutcome};
use secrecy::SecretString;

use uuid::Uuid;

use super::*;
use crate::radius::builder::Signature;
use crate::radius::client::{self, Login, Method};
use crate::radius::dictionary::{Code, attribute, mikrotik};
use crate::radius::{Packet, Secret};
use crate::site::description::{
    Description, PackageWords, RouterWords, SubscriberWords, customer_id,
};

const DEMO001: Method<'_> = Method::Pap {
    password: b"demo001",
};
const SILENCE: Duration = Duration::from_millis(300);
/// Whoever waits is woken by what he waits for; a machine that builds beside takes its time.
const PATIENCE: Duration = Duration::from_secs(120);

/// An agent with a client socket, a pretend router's CoA port and a clock that is moved by hand.
struct Running {
    agent: Agent,
    socket: UdpSocket,
    router: UdpSocket,
    secret: Secret,
    clock: Clock,
    dir: tempfile::TempDir,
    key: SealKey,
    words: Description,
}

/// The site of these tests; the router's CoA port is put in at the start.
fn site() -> Description {
    let package = |name: &str, devices| PackageWords {
        name: name.into(),
        up_kbps: 10_000,
        down_kbps: 20_000,
        devices,
        data_limit: None,
        time_limit_secs: None,
        fair_use: Vec::new(),
        schedule: Vec::new(),
    };
    let subscriber = |name: &str, package: &str, secs| SubscriberWords {
        username: name.into(),
        password: SecretString::from(name),
        package: package.into(),
        paid_until: start().plus(Duration::from_secs(secs)),
        connection: easyisp_shared::wire::down::Connection::Pppoe,
        standing: Standing::Active,
        macs: Vec::new(),
        static_ip: None,
        rate_override: None,
    };
    Description {
        packages: vec![package("basic", 5), package("one", 1)],
        routers: vec![RouterWords {
            name: "tower".into(),
            address: [127, 0, 0, 1].into(),
            source: "127.0.0.0/8".parse().unwrap(),
            secret: SecretString::from("demo-secret"),
            coa_port: 0,
            require_signature: false,
            api: None,
            moving: None,
        }],
        subscribers: vec![
            subscriber("demo001", "basic", 1000),
            subscriber("demo021", "basic", 0),
            subscriber("single", "one", 1000),
        ],
        ..Description::default()
    }
}

fn start() -> Timestamp {
    Timestamp::parse("2026-03-01T00:00:00Z").unwrap()
}

impl Running {
    async fn start(words: Description) -> Running {
        Running::start_in(tempfile::tempdir().unwrap(), words).await
    }

    async fn start_in(dir: tempfile::TempDir, mut words: Description) -> Running {
        let router = UdpSocket::bind("127.0.0.1:0").unwrap();
        words.routers[0].coa_port = router.local_addr().unwrap().port();
        let clock = Clock::test(start());
        let key = SealKey::new([3; 32]);
        let agent = given_agent(&dir, &clock, &key, &words).await;
        Running {
            agent,
            socket: UdpSocket::bind("127.0.0.1:0").unwrap(),
            router,
            secret: Secret::new(b"demo-secret"),
            clock,
            dir,
            key,
            words,
        }
    }

    async fn restart(self) -> Running {
        self.restart_after(Duration::ZERO).await
    }

    /// Starts again after a while.
    async fn restart_after(self, away: Duration) -> Running {
        self.restart_with(|clock| clock.advance(away)).await
    }

    /// Starts again, and something happened to the clock meanwhile.
    async fn restart_with(self, meanwhile: impl FnOnce(&Clock)) -> Running {
        self.agent.stop().await;
        meanwhile(&self.clock);
        let agent = given_agent(&self.dir, &self.clock, &self.key, &self.words).await;
        Running { agent, ..self }
    }

    async fn stop(self) {
        self.agent.stop().await;
    }

    /// Hands the agent a changed site as the link would.
    async fn apply(&self, words: &Description, version: u64) {
        let mut rows = words.rows(&self.key, &Entropy::seeded(1), version);
        for row in &mut rows {
            // The pretend router's port is not in the words.
            if row.kind == easyisp_shared::wire::DownKind::Router.code() {
                row.version = 0;
            }
        }
        self.apply_rows(rows, version).await;
    }

    async fn apply_rows(&self, records: Vec<DownRecord>, version: u64) {
        let batch = easyisp_shared::wire::FeedBatch {
            from: version - 1,
            to: version,
            mode: easyisp_shared::wire::FeedMode::Changes,
            last: false,
            digests: Vec::new(),
            records,
        };
        self.agent
            .served
            .feed
            .apply(batch, Uuid::nil())
            .await
            .unwrap();
    }

    /// Hands the agent another name for `demo001`.
    async fn rename(&self, words: &Description, name: &[u8], version: u64) {
        let change = |told: &mut SubscriberV1| told.username = name.to_vec();
        self.change_first(words, change, version).await;
    }

    /// Tells the agent what `demo001` used.
    async fn tell_used(&self, bytes: u64, version: u64) {
        let change = |told: &mut SubscriberV1| told.used.bytes = bytes;
        self.change_first(&self.words, change, version).await;
    }

    async fn change_first(
        &self,
        words: &Description,
        change: impl Fn(&mut SubscriberV1),
        version: u64,
    ) {
        let mut rows = words.rows(&self.key, &Entropy::seeded(1), version);
        rows.retain(|row| row.id == customer_id("demo001").0);
        for row in &mut rows {
            let body = row.body.as_deref().unwrap_or_default();
            let decoded = easyisp_shared::wire::Down::decode(row.kind, body);
            let Ok(easyisp_shared::wire::Down::Subscriber(mut told)) = decoded else {
                panic!("a subscriber");
            };
            change(&mut told);
            row.body = Some(easyisp_shared::wire::Down::Subscriber(told).encode());
        }
        self.apply_rows(rows, version).await;
    }

    /// Hands the agent a command to disconnect `demo001`, good for an hour from `issued`.
    async fn command(&self, number: u128, issued: Timestamp, version: u64) {
        let command = CommandId(Uuid::from_u128(number));
        let down = easyisp_shared::wire::Down::Command(CommandV1 {
            command,
            order: Order::Disconnect(Whom::Username(b"demo001".to_vec())),
            issued,
            expires: issued.plus(Duration::from_secs(3600)),
        });
        let row = DownRecord {
            kind: down.kind().code(),
            id: command.0,
            version,
            body: Some(down.encode()),
        };
        self.apply_rows(vec![row], version).await;
    }

    /// Waits until the router's word that a session now ends at `end` has arrived.
    async fn granted_until(&self, name: &[u8], end: Timestamp) {
        let sessions = self.agent.overview().sessions.clone();
        let look = async {
            let has = |online: &crate::sessions::Online| {
                online.session.grant.and_then(|grant| grant.end) == Some(end)
            };
            while !sessions.open_by_name(name).iter().any(has) {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, look).await.unwrap();
    }

    /// The results of commands, once there are `count` of them.
    async fn results(&self, count: usize) -> Vec<CommandOutcome> {
        let look = async {
            loop {
                let found = self.told(Lane::Results, |up| match up {
                    Up::CommandResult(told) => Some(told.outcome),
                    Up::Accounting(_)
                    | Up::Login(_)
                    | Up::Heartbeat(_)
                    | Up::Redemption(_)
                    | Up::Device(_)
                    | Up::Bind(_)
                    | Up::Router(_)
                    | Up::Moving(_)
                    | Up::LocalSecrets(_)
                    | Up::Keepers(_)
                    | Up::Metrics(_)
                    | Up::Lines(_)
                    | Up::Unlock(_)
                    | Up::BroughtUp(_)
                    | Up::Logs(_)
                    | Up::Configuration(_) => None,
                });
                if found.len() >= count {
                    return found;
                }
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, look).await.unwrap()
    }

    fn account_with_class(&self, status: u8, id: &str, class: &[u8]) {
        let attributes: [(u8, &[u8]); 5] = [
            (attribute::ACCT_STATUS_TYPE, &[0, 0, 0, status]),
            (attribute::USER_NAME, b"demo001"),
            (attribute::CALLING_STATION_ID, b"AA:BB:CC:00:00:01"),
            (attribute::ACCT_SESSION_ID, id.as_bytes()),
            (attribute::CLASS, class),
        ];
        let request = client::accounting_request(&attributes, 77, &self.secret).unwrap();
        self.send_accounting(&request, PATIENCE).unwrap();
    }

    fn log_in(&self, name: &[u8], method: Method<'_>, identifier: u8) -> Option<Vec<u8>> {
        self.send_access(&self.access_datagram(name, method, identifier), PATIENCE)
    }

    fn log_in_signed(
        &self,
        method: Method<'_>,
        signature: Signature,
        identifier: u8,
        within: Duration,
    ) -> Option<Vec<u8>> {
        let login = Login {
            user_name: b"demo001",
            method,
            extra: &[],
            signature,
        };
        let request =
            client::access_request(&login, identifier, &[identifier; 16], &self.secret).unwrap();
        self.send_access(&request, within)
    }

    fn access_datagram(&self, name: &[u8], method: Method<'_>, identifier: u8) -> Vec<u8> {
        let login = Login {
            user_name: name,
            method,
            extra: &[
                (attribute::SERVICE_TYPE, &[0, 0, 0, 2]),
                (attribute::CALLING_STATION_ID, b"AA:BB:CC:00:00:01"),
            ],
            signature: Signature::MessageAuthenticator,
        };
        let authenticator: [u8; 16] = Entropy::system().bytes();
        client::access_request(&login, identifier, &authenticator, &self.secret).unwrap()
    }

    fn account(&self, status: u8, id: &str, secs: u32, bytes: u32) -> Option<Vec<u8>> {
        let identifier: [u8; 1] = Entropy::system().bytes();
        let datagram = self.accounting_datagram(status, id, secs, bytes, identifier[0]);
        self.send_accounting(&datagram, PATIENCE)
    }

    fn accounting_datagram(
        &self,
        status: u8,
        id: &str,
        secs: u32,
        bytes: u32,
        identifier: u8,
    ) -> Vec<u8> {
        let attributes: [(u8, &[u8]); 6] = [
            (attribute::ACCT_STATUS_TYPE, &[0, 0, 0, status]),
            (attribute::USER_NAME, b"demo001"),
            (attribute::CALLING_STATION_ID, b"AA:BB:CC:00:00:01"),
            (attribute::ACCT_SESSION_ID, id.as_bytes()),
            (attribute::ACCT_SESSION_TIME, &secs.to_be_bytes()),
            (attribute::ACCT_INPUT_OCTETS, &bytes.to_be_bytes()),
        ];
        client::accounting_request(&attributes, identifier, &self.secret).unwrap()
    }

    fn send_access(&self, request: &[u8], within: Duration) -> Option<Vec<u8>> {
        let reply = self.send(request, self.agent.radius_auth(), within)?;
        client::read_answer(&reply, request, &self.secret).unwrap();
        Some(reply)
    }

    fn send_accounting(&self, request: &[u8], within: Duration) -> Option<Vec<u8>> {
        let reply = self.send(request, self.agent.radius_acct(), within)?;
        client::read_answer(&reply, request, &self.secret).unwrap();
        Some(reply)
    }

    fn send(&self, request: &[u8], to: SocketAddr, within: Duration) -> Option<Vec<u8>> {
        self.socket.set_read_timeout(Some(within)).unwrap();
        self.socket.send_to(request, to).unwrap();
        let mut buffer = [0; 4096];
        let (length, _) = self.socket.recv_from(&mut buffer).ok()?;
        Some(buffer[..length].to_vec())
    }

    /// Reads answers until there are none.
    fn drain(&self) {
        self.socket.set_read_timeout(Some(SILENCE)).unwrap();
        let mut buffer = [0; 4096];
        while self.socket.recv_from(&mut buffer).is_ok() {}
    }

    /// What the pretend router is asked, without an answer.
    fn router_hears(&self, within: Duration) -> Option<(Option<Code>, Vec<u8>)> {
        self.router.set_read_timeout(Some(within)).unwrap();
        let mut buffer = [0; 4096];
        let (length, _) = self.router.recv_from(&mut buffer).ok()?;
        let packet = client::read_order(&buffer[..length], &self.secret).unwrap();
        assert_signed(&packet);
        let session = packet.first(attribute::ACCT_SESSION_ID).unwrap_or_default();
        Some((packet.code(), session.to_vec()))
    }

    /// What the pretend router is asked; it answers with an ACK.
    fn router_answers(&self, within: Duration) -> Option<Code> {
        self.router_says((Code::CoaAck, Code::DisconnectAck), None, within)
    }

    /// The same, and it does not do so.
    fn router_refuses(&self) -> Option<Code> {
        self.router_says((Code::CoaNak, Code::DisconnectNak), None, PATIENCE)
    }

    /// The same, for it has no such session.
    fn router_has_none(&self) -> Option<Code> {
        let naks = (Code::CoaNak, Code::DisconnectNak);
        self.router_says(naks, Some(503), PATIENCE)
    }

    fn router_says(
        &self,
        (to_coa, to_disconnect): (Code, Code),
        cause: Option<u32>,
        within: Duration,
    ) -> Option<Code> {
        self.router.set_read_timeout(Some(within)).unwrap();
        let mut buffer = [0; 4096];
        let (length, source) = self.router.recv_from(&mut buffer).ok()?;
        let packet = client::read_order(&buffer[..length], &self.secret).unwrap();
        assert_signed(&packet);
        let (code, ack) = match packet.code() {
            Some(Code::CoaRequest) => (Code::CoaRequest, to_coa),
            Some(Code::DisconnectRequest) => (Code::DisconnectRequest, to_disconnect),
            other => panic!("a router is not asked {other:?}"),
        };
        let mut answer = crate::radius::builder::Builder::new(
            Vec::new(),
            ack,
            packet.identifier(),
            Signature::MessageAuthenticator,
        );
        if let Some(cause) = cause {
            answer.push_number(attribute::ERROR_CAUSE, cause).unwrap();
        }
        let answer = answer.sign_answer(packet.authenticator(), &self.secret);
        self.router.send_to(&answer, source).unwrap();
        Some(code)
    }

    fn outside(&self) -> rusqlite::Connection {
        rusqlite::Connection::open(self.dir.path().join("outbox.db")).unwrap()
    }

    fn break_disk(&self, sql: &str) {
        let outside = self.outside();
        outside.busy_timeout(Duration::from_secs(5)).unwrap();
        outside.execute_batch(sql).unwrap();
    }

    fn accounting(&self) -> Vec<AccountingStatus> {
        self.told(Lane::Accounting, |up| match up {
            Up::Accounting(told) => Some(told.status),
            Up::Login(_)
            | Up::CommandResult(_)
            | Up::Heartbeat(_)
            | Up::Redemption(_)
            | Up::Device(_)
            | Up::Bind(_)
            | Up::Router(_)
            | Up::Moving(_)
            | Up::LocalSecrets(_)
            | Up::Keepers(_)
            | Up::Metrics(_)
            | Up::Lines(_)
            | Up::Unlock(_)
            | Up::BroughtUp(_)
            | Up::Logs(_)
            | Up::Configuration(_) => None,
        })
    }

    fn logins(&self) -> Vec<LoginOutcome> {
        self.told(Lane::Results, |up| match up {
            Up::Login(told) => Some(told.outcome),
            Up::Accounting(_)
            | Up::CommandResult(_)
            | Up::Heartbeat(_)
            | Up::Redemption(_)
            | Up::Device(_)
            | Up::Bind(_)
            | Up::Router(_)
            | Up::Moving(_)
            | Up::LocalSecrets(_)
            | Up::Keepers(_)
            | Up::Metrics(_)
            | Up::Lines(_)
            | Up::Unlock(_)
            | Up::BroughtUp(_)
            | Up::Logs(_)
            | Up::Configuration(_) => None,
        })
    }

    /// Waits until everything handed to the accounting thread so far is committed or refused.
    fn flush(&self) {
        let (done, committed) = std::sync::mpsc::channel();
        let mark = crate::store::Job::Mark {
            name: "flush".into(),
            value: 0,
            done: Box::new(move |_| done.send(()).unwrap()),
        };
        self.agent.overview().outbox.submit(mark).unwrap();
        committed.recv().unwrap();
    }

    fn told<T>(&self, lane: Lane, pick: impl Fn(Up) -> Option<T>) -> Vec<T> {
        self.flush();
        let reader = &self.agent.overview().reader;
        let kept = reader.records(lane.code(), 0, 1000, 1 << 20).unwrap();
        kept.into_iter()
            .filter_map(|kept| pick(Up::decode(kept.record.kind, &kept.record.body).unwrap()))
            .collect()
    }
}

async fn given_agent(
    dir: &tempfile::TempDir,
    clock: &Clock,
    key: &SealKey,
    words: &Description,
) -> Agent {
    let mut config = Config {
        data_dir: dir.path().to_owned(),
        ..Config::default()
    };
    config.radius.auth = ([127, 0, 0, 1], 0).into();
    config.radius.acct = ([127, 0, 0, 1], 0).into();
    config.status.listen = ([127, 0, 0, 1], 0).into();
    config.site.ranges.push("127.0.9.8/32".parse().unwrap());
    let options = AgentOptions {
        config,
        clock: clock.clone(),
        entropy: Entropy::system(),
        source: Source::Described {
            rows: words.rows(key, &Entropy::seeded(1), 1),
            key: key.clone(),
        },
    };
    Agent::start(options).await.unwrap()
}

/// A router of `require-message-auth=yes` drops an order without it.
fn assert_signed(order: &Packet<'_>) {
    let first = order.attributes().next().unwrap();
    assert_eq!(first.kind, attribute::MESSAGE_AUTHENTICATOR);
}

fn number(packet: &Packet<'_>, kind: u8) -> u32 {
    let value = packet.first(kind).unwrap();
    u32::from_be_bytes(value.try_into().unwrap())
}
