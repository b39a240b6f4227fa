//! Many sites in one process: shared sockets, everything else apart.

use easyisp_shared::wire::enroll::EnrolledV1;
use easyisp_shared::wire::{FeedBatch, FeedMode};

use super::*;
use crate::hosted::{Hosted, folder};
use crate::sync::Draft;

struct Many {
    hosted: Hosted,
    _dir: tempfile::TempDir,
}

/// One router of a hosted site: where it speaks from, and its secret.
struct Beside<'a> {
    site: &'a str,
    source: &'a str,
    secret: &'a str,
    /// The password of `jane`, whom every site knows.
    password: &'a str,
}

impl Many {
    async fn start(sites: &[Beside<'_>]) -> Many {
        let dir = tempfile::tempdir().unwrap();
        for (number, beside) in sites.iter().enumerate() {
            enrol(&dir, beside.site, number);
        }
        let mut config = Config {
            data_dir: dir.path().to_owned(),
            ..Config::default()
        };
        config.radius.auth = ([127, 0, 0, 1], 0).into();
        config.radius.acct = ([127, 0, 0, 1], 0).into();
        config.status.listen = ([127, 0, 0, 1], 0).into();
        let clock = Clock::test(start());
        let hosted = Hosted::start(config, clock, Entropy::system())
            .await
            .unwrap();
        for (number, beside) in sites.iter().enumerate() {
            let mut words = site();
            words.routers[0].source = beside.source.parse().unwrap();
            words.routers[0].secret = SecretString::from(beside.secret);
            words.routers[0].coa_port = 1;
            words.subscribers[0].username = "jane".into();
            words.subscribers[0].password = SecretString::from(beside.password);
            let records = words.rows(&key(number), &Entropy::seeded(1), 1);
            let batch = FeedBatch {
                from: 0,
                to: 1,
                mode: FeedMode::SnapshotWhole,
                last: true,
                digests: Vec::new(),
                records,
            };
            let feed = hosted.feed(beside.site).unwrap();
            feed.apply(batch, Uuid::nil()).await.unwrap();
        }
        Many { hosted, _dir: dir }
    }

    /// Asks from `source`; the answer's code.
    fn asks(&self, source: &str, secret: &str, password: &str) -> Option<Code> {
        self.asks_within(PATIENCE, source, secret, password)
    }

    fn is_silent_to(&self, source: &str, secret: &str, password: &str) -> bool {
        let answer = self.asks_within(SILENCE, source, secret, password);
        answer.is_none()
    }

    fn asks_within(
        &self,
        within: Duration,
        source: &str,
        secret: &str,
        password: &str,
    ) -> Option<Code> {
        let socket = UdpSocket::bind((source, 0)).unwrap();
        let login = Login {
            user_name: b"jane",
            method: Method::Pap {
                password: password.as_bytes(),
            },
            extra: &[],
            signature: Signature::MessageAuthenticator,
        };
        let secret = Secret::new(secret.as_bytes());
        let authenticator: [u8; 16] = Entropy::system().bytes();
        let request = client::access_request(&login, 1, &authenticator, &secret).unwrap();
        socket.set_read_timeout(Some(within)).unwrap();
        socket.send_to(&request, self.hosted.radius_auth()).unwrap();
        let mut buffer = [0; 4096];
        let (length, _) = socket.recv_from(&mut buffer).ok()?;
        client::read_answer(&buffer[..length], &request, &secret)
            .unwrap()
            .code()
    }
}

fn key(number: usize) -> SealKey {
    SealKey::new([u8::try_from(number).unwrap() + 1; 32])
}

fn enrol(dir: &tempfile::TempDir, name: &str, number: usize) {
    let home = folder(dir.path(), name);
    std::fs::create_dir_all(&home).unwrap();
    let draft = Draft::begin(&home.join("identity")).unwrap();
    let enrolled = EnrolledV1 {
        agent: Uuid::from_u128(1).into(),
        site: Uuid::from_u128(2).into(),
        tenant: Uuid::from_u128(3).into(),
        chain: vec![vec![0x30, 0]],
        authorities: vec![vec![0x30, 0]],
        site_key: *key(number).expose(),
        site_name: name.into(),
        cloud_name: "test".into(),
        now: start(),
        replaced: None,
    };
    draft.finish("127.0.0.1:1", &enrolled, None).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_address_finds_its_site_and_nobody_elses() {
    let north = Beside {
        site: "north",
        source: "127.0.1.1/32",
        secret: "one",
        password: "n",
    };
    let south = Beside {
        site: "south",
        source: "127.0.2.0/24",
        secret: "two",
        password: "s",
    };
    let many = Many::start(&[north, south]).await;

    assert_eq!(many.asks("127.0.1.1", "one", "n"), Some(Code::AccessAccept));
    assert_eq!(many.asks("127.0.1.1", "one", "s"), Some(Code::AccessReject));
    assert_eq!(many.asks("127.0.2.9", "two", "s"), Some(Code::AccessAccept));
    assert!(
        many.is_silent_to("127.0.2.9", "one", "n"),
        "another site's secret"
    );
    assert_eq!(many.hosted.unknown_datagrams(), 0);
    assert!(
        many.is_silent_to("127.0.3.1", "one", "n"),
        "nobody's router"
    );
    assert_eq!(many.hosted.unknown_datagrams(), 1);
    let online = |name| many.hosted.overview(name).unwrap().counters.all()["accepted"];
    assert_eq!((online("north"), online("south")), (1, 1));
    assert_eq!(many.hosted.watched().look(PATIENCE), Ok(()));
    many.hosted.stop().await;
}

/// Two tenants' routers behind one tunnel address: the secret says whose it is.
#[tokio::test(flavor = "multi_thread")]
async fn of_two_sites_behind_one_address_the_signature_decides() {
    let north = Beside {
        site: "north",
        source: "127.0.4.1/32",
        secret: "one",
        password: "n",
    };
    let south = Beside {
        site: "south",
        source: "127.0.4.1/32",
        secret: "two",
        password: "s",
    };
    let many = Many::start(&[north, south]).await;

    assert_eq!(many.asks("127.0.4.1", "one", "n"), Some(Code::AccessAccept));
    assert_eq!(many.asks("127.0.4.1", "two", "s"), Some(Code::AccessAccept));
    assert!(many.is_silent_to("127.0.4.1", "three", "s"));
    many.hosted.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_site_that_cannot_be_opened_is_told_and_the_others_serve() {
    let north = Beside {
        site: "north",
        source: "127.0.5.1/32",
        secret: "one",
        password: "n",
    };
    let many = Many::start(&[north]).await;
    many.hosted.stop().await;
    let dir = many._dir;
    std::fs::create_dir_all(folder(dir.path(), "broken")).unwrap();
    let mut config = Config {
        data_dir: dir.path().to_owned(),
        ..Config::default()
    };
    config.radius.auth = ([127, 0, 0, 1], 0).into();
    config.radius.acct = ([127, 0, 0, 1], 0).into();
    config.status.listen = ([127, 0, 0, 1], 0).into();
    let hosted = Hosted::start(config.clone(), Clock::test(start()), Entropy::system())
        .await
        .unwrap();
    let state = crate::doctor::fetch_status(hosted.status()).await.unwrap();
    let state: crate::status::SharedReport = serde_json::from_str(&state).unwrap();
    assert_eq!(state.left_out.len(), 1);
    assert_eq!(
        (state.sites.len(), state.sites[0].report.subscribers),
        (1, 3)
    );
    let many = Many { hosted, _dir: dir };
    assert_eq!(many.asks("127.0.5.1", "one", "n"), Some(Code::AccessAccept));

    // What `doctor` says beside it: who is left out, who asks and is nobody's, and of each site what is its own.
    assert!(many.is_silent_to("127.0.6.1", "one", "n"));
    config.status.listen = many.hosted.status();
    let found = crate::doctor::examine(&config, &Clock::test(start())).await;
    let wrong = found.iter().filter(|it| it.remedy.is_some());
    let wrong = wrong.filter(|it| it.what != "room");
    let wrong: Vec<(&str, &str)> = wrong.map(|it| (it.what, it.found.as_str())).collect();
    let [left_out, unknown, certificate, link] = wrong[..] else {
        panic!("{wrong:?}");
    };
    assert_eq!(left_out.0, "site");
    assert!(
        left_out.1.starts_with("broken is not served: "),
        "{left_out:?}"
    );
    assert_eq!(
        unknown,
        (
            "unknown router",
            "a router at 127.0.6.1 is asking (1 requests) and gets no answer"
        )
    );
    assert_eq!(certificate, ("certificate", "north: there is none"));
    assert_eq!(link.0, "link");
    assert!(link.1.starts_with("north: down since "), "{link:?}");
    many.hosted.stop().await;
}
