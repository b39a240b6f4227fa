//! Each thing that is looked at is made to fail, and its remedy is read.
#![expect(clippy::unwrap_used, reason = "tests")]

use easyisp_shared::entropy::Entropy;
use easyisp_shared::wire::enroll::EnrolledV1;
use serde_json::{Value, json};
use uuid::Uuid;

use super::*;
use crate::store::Store;
use crate::sync::Draft;

#[tokio::test]
async fn a_taken_port_is_told_with_how_to_find_who_has_it() -> io::Result<()> {
    let udp = UdpSocket::bind("127.0.0.1:0")?;
    let tcp = std::net::TcpListener::bind("127.0.0.1:0")?;
    let mut config = Config {
        data_dir: "/proc/nowhere".into(),
        ..Config::default()
    };
    config.radius.auth = udp.local_addr()?;
    config.radius.radsec = Some(tcp.local_addr()?);
    // Nobody is there, whatever else runs on this machine.
    let free = std::net::TcpListener::bind("127.0.0.1:0")?;
    config.status.listen = free.local_addr()?;
    drop(free);
    let clock = Clock::test(Timestamp::from_secs(1_800_000_000));
    let findings = examine(&config, &clock).await;
    for (what, remedy) in [
        ("[radius] auth", "ss -lunp"),
        ("[radius] radsec", "ss -ltnp"),
        ("room", "data_dir"),
        ("disk", "writable"),
        ("identity", "enroll"),
        ("agent", "easyisp-agent run"),
    ] {
        let told = findings.iter().find(|finding| finding.what == what);
        let told = told.and_then(|finding| finding.remedy.as_deref());
        assert!(
            told.is_some_and(|told| told.contains(remedy)),
            "{what}: {findings:?}"
        );
    }
    Ok(())
}

#[test]
fn a_disk_that_fills_up_is_told_before_it_is_full() {
    assert_eq!(room(79).remedy, None);
    assert!(room(80).remedy.is_some());
    assert_eq!(space(Path::new("/proc/nowhere")).what, "room");
}

/// A router whose secret was mended is not named for what it sent before that.
#[test]
fn a_wrong_secret_is_one_that_was_shown_last() -> serde_json::Result<()> {
    for (shows_another, sound) in [(true, false), (false, true)] {
        let router = serde_json::json!({"id": uuid::Uuid::nil(), "name": "Tower", "source": "10.0.0.1/32",
            "lastSeen": Timestamp::from_secs(1_800_000_000), "signs": true, "mismatches": 7,
            "showsAnotherSecret": shows_another});
        let report = serde_json::json!({"version": "0", "now": Timestamp::from_secs(1_800_000_060),
            "clockTrusted": true, "clockOffsetMillis": 0, "link": "up", "linkUp": true, "subscribers": 1,
            "sessions": 0, "waiting": {}, "routers": [router], "unknownSources": [], "counters": {},
            "warnings": []});
        let finding = routers(&serde_json::from_value(report)?);
        assert_eq!(finding.remedy.is_none(), sound, "{finding:?}");
    }
    Ok(())
}

#[test]
fn every_failure_has_a_remedy_and_an_unwritable_folder_is_one() {
    let finding = disk(Path::new("/proc/nowhere"));
    assert!(finding.remedy.is_some(), "{finding:?}");
    let finding = is_enrolled(&Err(IdentityError::NotEnrolled));
    assert!(
        finding
            .remedy
            .is_some_and(|remedy| remedy.contains("enroll"))
    );
}

/// Each thing that can be wrong with a box: it alone is told, with what was found and what to do about it, of a box for
/// itself and of one of many sites.
#[tokio::test]
async fn each_thing_that_is_wrong_is_told_with_its_remedy() {
    for case in CASES {
        let dir = tempfile::tempdir().unwrap();
        let folder = hosted::folder(dir.path(), "north");
        given_box(&folder, 20);
        (case.files)(&folder);
        let mut told = told();
        (case.told)(&mut told);
        let report: Report = serde_json::from_value(told.clone()).unwrap();

        let mut found = of_files(&folder, Some(&report), now());
        found.extend(of_agent(&report, now()).await);
        found.extend(report.unknown_sources.iter().map(asking));
        case.is_found(&found, "");

        told["name"] = "north".into();
        told["shedDatagrams"] = 0.into();
        let many = json!({"version": "0", "sites": [told], "leftOut": [], "unknownDatagrams": 0,
            "unknownSources": report.unknown_sources});
        let config = Config {
            data_dir: dir.path().to_owned(),
            ..Config::default()
        };
        let many = serde_json::from_value(many).unwrap();
        let found = examine_many(&config, &many, now()).await;
        // How full the disk of this machine is is its own matter.
        let found: Vec<Finding> = found.into_iter().filter(|it| it.what != "room").collect();
        case.is_found(&found, "north: ");
    }
}

/// A thing that is wrong.
struct Case {
    /// What is told of; empty where nothing is wrong.
    what: &'static str,
    found: &'static str,
    remedy: &'static str,
    files: fn(&Path),
    told: fn(&mut Value),
}

impl Case {
    fn is_found(&self, all: &[Finding], site: &str) {
        let wrong: Vec<&Finding> = all.iter().filter(|it| it.remedy.is_some()).collect();
        if self.what.is_empty() {
            assert!(wrong.is_empty(), "{wrong:?}");
            return;
        }
        let [one] = wrong[..] else {
            panic!("{} ({}) alone: {wrong:?}", self.what, self.found);
        };
        assert_eq!(one.what, self.what, "{one:?}");
        // Who asks and is nobody's router is no site's matter.
        let site = if self.what == "unknown router" {
            ""
        } else {
            site
        };
        assert!(one.found.starts_with(site), "{one:?}");
        assert!(one.found.contains(self.found), "{one:?}");
        let remedy = one.remedy.as_deref().unwrap();
        assert!(remedy.contains(self.remedy), "{one:?}");
    }
}

const CASES: &[Case] = &[
    Case {
        what: "",
        found: "",
        remedy: "",
        files: |_| {},
        told: |_| {},
    },
    Case {
        what: "certificate",
        found: "should have been renewed at",
        remedy: "let the link to the cloud come up",
        files: |folder| {
            std::fs::remove_dir_all(folder.join("identity")).unwrap();
            given_identity(folder, 10);
        },
        told: |_| {},
    },
    Case {
        what: "certificate",
        found: "there is none",
        remedy: "enrol this box",
        files: |folder| {
            let nothing = "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n";
            std::fs::write(folder.join("identity/agent.pem"), nothing).unwrap();
        },
        told: |_| {},
    },
    Case {
        what: "outbox.db",
        found: "",
        remedy: "moves a damaged file aside",
        files: |folder| {
            let path = folder.join("outbox.db");
            let mut octets = std::fs::read(&path).unwrap();
            octets[100..].fill(0xA5);
            std::fs::write(&path, octets).unwrap();
        },
        told: |_| {},
    },
    Case {
        what: "eap-ca.pem",
        found: "is damaged",
        remedy: "put a copy of eap-ca.pem and eap-ca.key back",
        files: |folder| std::fs::write(folder.join("eap-ca.pem"), "worn").unwrap(),
        told: |_| {},
    },
    Case {
        what: "eap-ca.pem",
        found: "eap-ca.key",
        remedy: "put a copy of eap-ca.pem and eap-ca.key back",
        files: |folder| std::fs::remove_file(folder.join("eap-ca.key")).unwrap(),
        told: |_| {},
    },
    Case {
        what: "eap-ca.pem",
        found: "eap-ca.pem",
        remedy: "put a copy of eap-ca.pem and eap-ca.key back",
        files: |folder| std::fs::remove_file(folder.join("eap-ca.pem")).unwrap(),
        told: |_| {},
    },
    Case {
        what: "clock",
        found: "-1001 ms beside the cloud's",
        remedy: "timedatectl",
        files: |_| {},
        told: |told| told["clockOffsetMillis"] = (-1001).into(),
    },
    Case {
        what: "clock",
        found: "cannot be trusted",
        remedy: "timedatectl",
        files: |_| {},
        told: |told| {
            told["clockOffsetMillis"] = Value::Null;
            told["clockTrusted"] = false.into();
        },
    },
    Case {
        what: "link",
        found: "down since yesterday",
        remedy: "TCP to it or to 443",
        files: |_| {},
        told: |told| {
            told["linkUp"] = false.into();
            told["link"] = "down since yesterday: it does not answer".into();
        },
    },
    Case {
        what: "routers",
        found: "nothing heard of Tower",
        remedy: "run the router's configuration script",
        files: |_| {},
        // It is there: loopback refuses what nobody listens to.
        told: |told| told["routers"][0]["lastSeen"] = Value::Null,
    },
    Case {
        what: "routers",
        found: "this site has none",
        remedy: "run the router's configuration script",
        files: |_| {},
        told: |told| told["routers"] = json!([]),
    },
    Case {
        what: "routers",
        found: "another RADIUS secret on Tower",
        remedy: "set the secret the console shows",
        files: |_| {},
        told: |told| told["routers"][0]["showsAnotherSecret"] = true.into(),
    },
    Case {
        what: "router",
        found: "Tower does not answer at 255.255.255.255",
        remedy: "check its power, cable and address",
        files: |_| {},
        told: |told| {
            told["routers"][0]["address"] = "255.255.255.255".into();
            told["routers"][0]["lastSeen"] = json!(now().minus(2 * LATELY));
        },
    },
    Case {
        what: "wear",
        found: "1001 MB a day",
        remedy: "save_wear = true",
        files: |_| {},
        told: |told| told["writtenMbPerDay"] = 1001.into(),
    },
    Case {
        what: "wear",
        found: "1001 MB a day",
        remedy: "raise the interim interval",
        files: |_| {},
        told: |told| {
            told["writtenMbPerDay"] = 1001.into();
            told["gathersMillis"] = 250.into();
        },
    },
    Case {
        what: "unknown router",
        found: "a router at 10.9.9.9 is asking (3 requests)",
        remedy: "add it in the console",
        files: |_| {},
        told: |told| told["unknownSources"] = json!([["10.9.9.9", 3]]),
    },
];

/// A process of many sites tells which it does not serve, and why.
#[tokio::test]
async fn a_site_that_is_left_out_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let config = Config {
        data_dir: dir.path().to_owned(),
        ..Config::default()
    };
    let many = json!({"version": "0", "sites": [], "leftOut": [["south", "it is not enrolled"]],
        "unknownDatagrams": 0, "unknownSources": []});
    let found = examine_many(&config, &serde_json::from_value(many).unwrap(), now()).await;
    let told = found.iter().find(|it| it.what == "site").unwrap();
    assert_eq!(told.found, "south is not served: it is not enrolled");
    let remedy = told.remedy.as_deref().unwrap_or_default();
    assert!(remedy.contains("enrol it anew"), "{told:?}");
}

/// While no agent runs, the clock is asked what an agent would make of it: it may be from before this program was made,
/// or from before it ran here last, or from so long after that as no box is off.
#[test]
fn a_clock_that_no_agent_would_trust_is_told_without_one() {
    let dir = tempfile::tempdir().unwrap();
    let asked = |at: Timestamp| {
        let found = time_alone(dir.path(), at);
        assert_eq!(found.what, "clock");
        match found.remedy {
            None => true,
            Some(remedy) => {
                assert!(remedy.contains("timedatectl"), "{remedy}");
                assert!(found.found.contains("cannot be trusted"), "{}", found.found);
                false
            }
        }
    };
    let day = Duration::from_secs(86_400);
    assert!(asked(now()));
    assert!(!asked(Timestamp::from_secs(60)), "1970");

    given_outbox(dir.path());
    assert!(asked(now()), "no agent wrote down what time it was");
    let outside = rusqlite::Connection::open(dir.path().join("outbox.db")).unwrap();
    outside
        .execute(
            "insert into marks (name, value) values ('clock', ?1)",
            [now().micros()],
        )
        .unwrap();
    drop(outside);
    assert!(asked(now().plus(day)));
    assert!(!asked(now().minus(day)), "it was later already");
    assert!(!asked(now().plus(200 * day)), "no box is off for so long");
    assert!(
        time_alone(dir.path(), now())
            .found
            .contains(&now().to_string())
    );
}

/// Every port that an agent would listen on, taken by somebody else while none runs.
#[tokio::test]
async fn every_port_that_somebody_else_has_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let udp = [(); 4].map(|()| UdpSocket::bind("127.0.0.1:0").unwrap());
    let tcp = [(); 4].map(|()| std::net::TcpListener::bind("127.0.0.1:0").unwrap());
    let at = |place: usize| tcp[place].local_addr().unwrap();
    let mut config = Config {
        data_dir: dir.path().to_owned(),
        ..Config::default()
    };
    config.radius.auth = udp[0].local_addr().unwrap();
    config.radius.acct = udp[1].local_addr().unwrap();
    config.neighbours.listen = udp[2].local_addr().unwrap();
    config.syslog.listen = udp[3].local_addr().unwrap();
    config.status.listen = at(0);
    config.radius.radsec = Some(at(1));
    config.peers.listen = at(2);
    config.wizard.listen = at(3);
    // Who has the port of the status page is no agent.
    let [status, rest @ ..] = tcp;
    std::thread::spawn(move || status.incoming().for_each(drop));

    let clock = Clock::test(now());
    let wrong = |found: &[Finding]| -> Vec<(&'static str, bool)> {
        let wrong = found.iter().filter(|it| it.what.starts_with('['));
        let told = wrong.filter_map(|it| Some((it.what, it.remedy.as_ref()?.contains("ss -l"))));
        told.collect()
    };
    let found = examine(&config, &clock).await;
    let all = [
        "[radius] auth",
        "[radius] acct",
        "[status] listen",
        "[radius] radsec",
        "[peers] listen",
        "[wizard] listen",
        "[neighbours] listen",
        "[syslog] listen",
    ];
    assert_eq!(wrong(&found), all.map(|what| (what, true)), "{found:?}");

    // A process of many sites listens at three of them.
    for site in ["north", "south"] {
        given_box(&hosted::folder(dir.path(), site), 20);
    }
    std::fs::write(
        hosted::folder(dir.path(), "south").join("eap-ca.pem"),
        "worn",
    )
    .unwrap();
    let found = examine(&config, &clock).await;
    let three = ["[radius] auth", "[radius] acct", "[status] listen"];
    assert_eq!(wrong(&found), three.map(|what| (what, true)), "{found:?}");
    let site = |what: &'static str| {
        let of_sites = found.iter().filter(move |it| it.what == what);
        of_sites.map(|it| (it.found.split(':').next().unwrap(), it.remedy.is_some()))
    };
    let authorities: Vec<_> = site("eap-ca.pem").collect();
    assert_eq!(authorities, [("north", false), ("south", true)]);
    for what in ["identity", "certificate", "outbox.db", "clock"] {
        let told: Vec<_> = site(what).collect();
        assert_eq!(told, [("north", false), ("south", false)], "{what}");
    }
    let agent = found.iter().find(|it| it.what == "agent").unwrap();
    let remedy = agent.remedy.as_deref().unwrap_or_default();
    assert!(remedy.contains("run --hosted"), "{agent:?}");

    // With nobody there, each is free.
    drop((udp, rest));
    std::fs::remove_dir_all(dir.path().join("sites")).unwrap();
    let found = examine(&config, &clock).await;
    assert_eq!(wrong(&found), [("[status] listen", true)], "{found:?}");
}

/// A box that is well: enrolled, its certificate good for so many days more, its files whole.
fn given_box(folder: &Path, days: i64) {
    std::fs::create_dir_all(folder).unwrap();
    given_identity(folder, days);
    given_outbox(folder);
    access::Authority::open(folder, now(), &Entropy::seeded(4)).unwrap();
}

/// A certificate is good for 30 days and renewed half-way.
fn given_identity(folder: &Path, days_left: i64) {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::default();
    let at = |days: i64| {
        let secs = now().secs() + days * 86_400;
        rcgen::date_time_ymd(1970, 1, 1) + Duration::from_secs(u64::try_from(secs).unwrap())
    };
    (params.not_before, params.not_after) = (at(days_left - 30), at(days_left));
    let leaf = params.self_signed(&key).unwrap().der().to_vec();
    let enrolled = EnrolledV1 {
        agent: Uuid::from_u128(1).into(),
        site: Uuid::from_u128(2).into(),
        tenant: Uuid::from_u128(3).into(),
        chain: vec![leaf.clone()],
        authorities: vec![leaf],
        site_key: [5; 32],
        site_name: "Hill".into(),
        cloud_name: "test".into(),
        now: now(),
        replaced: None,
    };
    let draft = Draft::begin(&folder.join("identity")).unwrap();
    draft.finish("127.0.0.1:1", &enrolled, None).unwrap();
}

fn given_outbox(folder: &Path) {
    let store = Store::open(folder, &Entropy::seeded(1), || {}).unwrap();
    let (_, _, cache, guard) = store.split();
    drop(cache);
    guard.close();
}

/// What an agent tells with which nothing is wrong.
fn told() -> Value {
    let router = json!({"id": Uuid::nil(), "name": "Tower", "source": "127.0.0.1/32", "address": "127.0.0.1",
        "lastSeen": now().minus(Duration::from_secs(60)), "signs": true, "mismatches": 0,
        "showsAnotherSecret": false});
    json!({"version": "0", "now": now(), "clockTrusted": true, "clockOffsetMillis": 1000, "link": "up", "linkUp": true,
        "subscribers": 1, "sessions": 0, "waiting": {}, "routers": [router], "unknownSources": [], "counters": {},
        "warnings": [], "writtenMbPerDay": 1000})
}

fn now() -> Timestamp {
    Timestamp::from_secs(1_800_000_000)
}
