//! Our SNMP before judges of other people's making: Net-SNMP's server in every version and with every
//! protocol, and real routers' recordings replayed by snmpsim.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use easyisp_agent::snmp::oid::Oid;
use easyisp_agent::snmp::pdu::Value;
use easyisp_agent::snmp::reading::Unit;
use easyisp_agent::snmp::session::User;
use easyisp_agent::snmp::usm::{Auth, Privacy};
use easyisp_agent::snmp::walk::{Part, Values};
use easyisp_agent::snmp::{Access, Exchange, Reading, Session, SnmpError, rates, reading};
use easyisp_shared::entropy::Entropy;
use easyisp_shared::time::Clock;
use easyisp_tests::net_snmp::{SnmpSim, Snmpd, snmp};
use easyisp_tests::router::senses::Link;
use easyisp_tests::router::session::Usage;
use easyisp_tests::router::snmp::Snmp;
use easyisp_tests::router::{Router, Settings, api};
use easyisp_tests::snmprec::{self, Recorded, Recording};
use easyisp_tests::world::{START, eventually};
use tokio_util::sync::CancellationToken;

fn exchange() -> Exchange {
    let here = IpAddr::V4(Ipv4Addr::LOCALHOST);
    Exchange::new(here, Entropy::system(), CancellationToken::new())
}

fn community(name: &str) -> Access {
    Access::Community(name.as_bytes().to_vec().into())
}

async fn read(
    exchange: &Exchange,
    address: SocketAddr,
    access: Access,
    parts: Vec<Part>,
) -> Result<Values, SnmpError> {
    let mut session = Session::new(Arc::new(access), 7);
    let walked = exchange.walk(&mut session, address, parts).await?;
    Ok(walked.values)
}

const USERS: [(&str, &str, &str); 13] = [
    ("plain", "", ""),
    ("md5", "MD5", ""),
    ("md5des", "MD5", "DES"),
    ("sha", "SHA", ""),
    ("shades", "SHA", "DES"),
    ("md5aes", "MD5", "AES"),
    ("shaaes", "SHA", "AES"),
    ("sha224aes", "SHA-224", "AES"),
    ("sha256aes", "SHA-256", "AES"),
    ("sha256des", "SHA-256", "DES"),
    ("sha384aes", "SHA-384", "AES"),
    ("sha512aes", "SHA-512", "AES"),
    ("sha512", "SHA-512", ""),
];

fn auth(word: &str) -> Option<Auth> {
    Some(match word {
        "MD5" => Auth::Md5,
        "SHA" => Auth::Sha1,
        "SHA-224" => Auth::Sha224,
        "SHA-256" => Auth::Sha256,
        "SHA-384" => Auth::Sha384,
        "SHA-512" => Auth::Sha512,
        _ => return None, // none
    })
}

fn user(name: &str, signs: &str, enciphers: &str, passwords: (&str, &str)) -> Access {
    let privacy = match enciphers {
        "DES" => Some(Privacy::Des),
        "AES" => Some(Privacy::Aes128),
        _ => None, // none
    };
    let auth = auth(signs).map(|auth| (auth, passwords.0.as_bytes()));
    let privacy = privacy.map(|privacy| (privacy, passwords.1.as_bytes()));
    Access::User(User::new(name.as_bytes(), auth, privacy))
}

const RIGHT: (&str, &str) = ("auth-password", "priv-password");

#[tokio::test(flavor = "multi_thread")]
async fn net_snmp_is_read_in_every_version_and_with_every_protocol() -> Result<()> {
    let server = Snmpd::start(&USERS).await?;
    let exchange = exchange();
    let at = server.address;
    let told = |name: &'static str| snmp("snmpbulkwalk", at, "public", name);
    let described = snmp("snmpget", at, "public", ".1.3.6.1.2.1.1.1.0").await?;
    let interfaces = told(".1.3.6.1.2.1.31.1.1.1.1").await?;
    let storages = told(".1.3.6.1.2.1.25.2.3.1.3").await?;
    let cores = told(".1.3.6.1.2.1.25.3.3.1.2").await?.len();
    ensure!(!interfaces.is_empty() && !storages.is_empty());

    let mut ways = vec![("v2c", community("public"))];
    for (name, signs, enciphers) in USERS {
        ways.push((name, user(name, signs, enciphers, RIGHT)));
    }
    for (way, access) in ways {
        let before = counters(at).await?;
        let values = read(&exchange, at, access, reading::everything()).await;
        let values = values.with_context(|| way.to_owned())?;
        let after = counters(at).await?;
        let read = reading::read(&values);
        are_between(&read, &before, &after).with_context(|| way.to_owned())?;
        assert_eq!(read.system.description, described[0], "{way}");
        assert_eq!(read.system.location, "shelf 7");
        let names: Vec<&str> = read
            .interfaces
            .iter()
            .map(|port| port.name.as_str())
            .collect();
        assert_eq!(names, interfaces, "{way}");
        let counted = read
            .interfaces
            .iter()
            .all(|port| port.input.is_some_and(|it| it.wide));
        assert!(counted, "{way}: 64-bit counters");
        let names: Vec<&str> = read.storages.iter().map(|one| one.name.as_str()).collect();
        assert_eq!(names, storages, "{way}");
        assert_eq!(read.cpu.len(), cores, "{way}");
        let memory = read.memory.context("its memory")?;
        assert!(
            memory.used > 0 && memory.used < memory.total,
            "{way}: {memory:?}"
        );
        assert!(read.uptime_secs().is_some());
    }
    server.stop().await
}

/// Each of our readings lies between two of Net-SNMP's client, and so does what went through from one to the other.
#[tokio::test(flavor = "multi_thread")]
async fn counters_are_those_that_net_snmp_reads() -> Result<()> {
    let server = Snmpd::start(&[]).await?;
    let (exchange, at) = (exchange(), server.address);
    let ours = async || {
        let values = read(&exchange, at, community("public"), reading::everything()).await?;
        anyhow::Ok(reading::read(&values))
    };
    let before = counters(at).await?;
    let first = ours().await?;
    let between = counters(at).await?;
    are_between(&first, &before, &between)?;
    // The server counts its interfaces again every few seconds, and loopback carries every question to it.
    let grown = eventually("loopback has carried more", async || {
        let now = counters(at).await?;
        let more = now.iter().zip(&between);
        let more = more.filter(|(now, before)| now.0 > before.0 && now.1 > before.1);
        Ok((more.count() > 0).then_some(now))
    })
    .await?;
    let second = ours().await?;
    let after = counters(at).await?;
    are_between(&second, &grown, &after)?;
    // As much goes through in this second, and no more.
    let through = rates::through(&first, &second, Duration::from_secs(1));
    assert_eq!(through.len(), after.len());
    for (port, through) in through.iter().enumerate() {
        let (input, output) = through.in_bps.zip(through.out_bps).context("its rates")?;
        let least = |of: fn(&(u64, u64)) -> u64| 8 * (of(&grown[port]) - of(&between[port]));
        let most = |of: fn(&(u64, u64)) -> u64| 8 * (of(&after[port]) - of(&before[port]));
        ensure!(
            (least(|it| it.0)..=most(|it| it.0)).contains(&input),
            "{through:?}"
        );
        ensure!(
            (least(|it| it.1)..=most(|it| it.1)).contains(&output),
            "{through:?}"
        );
    }
    server.stop().await
}

/// ifHCInOctets and ifHCOutOctets of every interface, as Net-SNMP's client reads them.
async fn counters(at: SocketAddr) -> Result<Vec<(u64, u64)>> {
    let column = async |column: u32| {
        let name = format!(".1.3.6.1.2.1.31.1.1.1.{column}");
        let told = snmp("snmpbulkwalk", at, "public", &name).await?;
        let told: Result<Vec<u64>, _> = told.iter().map(|octets| octets.parse()).collect();
        anyhow::Ok(told?)
    };
    let (input, output) = (column(6).await?, column(10).await?);
    ensure!(!input.is_empty() && input.len() == output.len());
    Ok(input.into_iter().zip(output).collect())
}

fn are_between(read: &Reading, before: &[(u64, u64)], after: &[(u64, u64)]) -> Result<()> {
    let all = read.interfaces.len();
    ensure!(all == before.len() && all == after.len(), "{read:?}");
    for (port, (before, after)) in read.interfaces.iter().zip(before.iter().zip(after)) {
        let counted = port.input.zip(port.output).context("its counters")?;
        let (input, output) = (counted.0.octets, counted.1.octets);
        ensure!(
            (before.0..=after.0).contains(&input) && (before.1..=after.1).contains(&output),
            "{}: {before:?}, {input} {output}, {after:?}",
            port.name
        );
    }
    Ok(())
}

/// What Net-SNMP's server says where RouterOS has objects of its own: of 6 in single objects, of 7 in a table.
#[tokio::test(flavor = "multi_thread")]
async fn a_routers_own_objects_are_read_of_net_snmp() -> Result<()> {
    const OF_BOTH: &str = "sysDescr RouterOS RB750Gr3
sysObjectID .1.3.6.1.4.1.14988.1
override .1.3.6.1.4.1.14988.1.1.4.3.0 integer 5
override .1.3.6.1.4.1.14988.1.1.6.1.0 uinteger 17
override .1.3.6.1.4.1.14988.1.1.7.3.0 octet_str \"HEX0000DEMO\"
override .1.3.6.1.4.1.14988.1.1.7.4.0 octet_str \"6.49.10\"
override .1.3.6.1.4.1.9.9.150.1.1.1.0 uinteger 42
createUser shaaes SHA auth-password AES priv-password
rouser shaaes priv
";
    let six = "override .1.3.6.1.4.1.14988.1.1.4.4.0 octet_str \"6.49.10\"
override .1.3.6.1.4.1.14988.1.1.3.8.0 integer 239
override .1.3.6.1.4.1.14988.1.1.3.10.0 integer 470
";
    let mut seven = "override .1.3.6.1.4.1.14988.1.1.4.4.0 octet_str \"7.18.2\"
override .1.3.6.1.4.1.14988.1.1.7.9.0 octet_str \"hEX\"
"
    .to_owned();
    for (row, name, value, unit) in [(13, "voltage", 239, 3), (14, "temperature", 47, 1)] {
        let at = "override .1.3.6.1.4.1.14988.1.1.3.100.1";
        seven.push_str(&format!(
            "{at}.2.{row} octet_str \"{name}\"\n{at}.3.{row} uinteger {value}\n{at}.4.{row} integer {unit}\n"
        ));
    }
    let exchange = exchange();
    // 6 names its board in what it says of itself alone.
    for (words, version, board) in [
        (six, "6.49.10", "RB750Gr3"),
        (seven.as_str(), "7.18.2", "hEX"),
    ] {
        let server = Snmpd::start_as(&format!("{OF_BOTH}{words}")).await?;
        for access in [community("public"), user("shaaes", "SHA", "AES", RIGHT)] {
            let values = read(&exchange, server.address, access, reading::everything()).await?;
            let read = reading::read(&values);
            let system = &read.system;
            assert_eq!(system.description, "RouterOS RB750Gr3");
            assert_eq!(system.version.as_deref(), Some(version));
            assert_eq!(system.board.as_deref(), Some(board), "{version}");
            assert_eq!(system.serial.as_deref(), Some("HEX0000DEMO"));
            assert_eq!(system.firmware.as_deref(), Some("6.49.10"));
            assert_eq!(system.licence_level, Some(5));
            assert_eq!((read.ppp_sessions, read.dhcp_leases), (Some(42), Some(17)));
            let milli = |unit| read.sensor(unit).map(|sensor| sensor.milli);
            let health = (milli(Unit::Volt), milli(Unit::Celsius));
            assert_eq!(health, (Some(23_900), Some(47_000)), "{version}");
            assert_eq!(read.sensors.len(), 2, "{version}: {:?}", read.sensors);
        }
        server.stop().await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_word_is_told_from_silence() -> Result<()> {
    let server = Snmpd::start(&USERS).await?;
    let exchange = exchange();
    let at = server.address;
    let uptime = || vec![Part::Objects(vec![Oid::new(&[1, 3, 6, 1, 2, 1, 1, 3, 0])])];
    let wrong = [
        (user("nobody", "SHA", "AES", RIGHT), SnmpError::UnknownUser),
        (
            user("shaaes", "SHA", "AES", ("wrong-password", RIGHT.1)),
            SnmpError::WrongAuth,
        ),
        (user("shaaes", "MD5", "AES", RIGHT), SnmpError::WrongAuth),
        (
            user("shaaes", "SHA", "AES", (RIGHT.0, "wrong-password")),
            SnmpError::WrongPrivacy,
        ),
        (user("sha", "SHA", "AES", RIGHT), SnmpError::Level),
    ];
    for (access, why) in wrong {
        let told = read(&exchange, at, access, uptime()).await;
        assert_eq!(told, Err(why.clone()), "{why}");
    }
    // A community that is not known is not answered, by SNMP's own rules.
    let silent = read(&exchange, at, community("wrong"), uptime()).await;
    assert_eq!(silent, Err(SnmpError::Silent));

    // Another engine under the same address, and a clock that began anew: learned without a word to anybody.
    let mut session = Session::new(Arc::new(user("shaaes", "SHA", "AES", RIGHT)), 7);
    exchange.walk(&mut session, at, uptime()).await?;
    server.stop().await?;
    let server = Snmpd::start_on(at, &USERS).await?;
    let walked = exchange.walk(&mut session, at, uptime()).await?;
    assert_eq!(walked.values.len(), 1);
    server.stop().await
}

/// Both faces of the pretend router are what was recorded, with what it is now laid over.
#[tokio::test(flavor = "multi_thread")]
async fn the_pretend_router_is_read_by_net_snmp_and_by_us_alike() -> Result<()> {
    let six = Face {
        snmp: Snmp::of(api::Face::Six, "demo"),
        board: "RB1100AHx4",
        version: "6.49.10",
        ports: &["ether1", "bridge"],
        load: 13,
        sensors: &[
            ("voltage", Unit::Volt, 24_100),
            ("temperature", Unit::Celsius, 38_000),
            ("cpu-temperature", Unit::Celsius, 51_000),
            ("current", Unit::Ampere, 310),
            ("fan1-speed", Unit::Rpm, 4_320_000),
        ],
        through: (5_000_000_000, 7_000_000_000),
        thermometer: ".1.3.6.1.4.1.14988.1.1.3.10.0",
        hot: "815",
    };
    let seven = Face {
        snmp: Snmp::new("demo"),
        board: "RB5009UG+S+",
        version: "7.20.4",
        ports: &["ether1", "sfp-sfpplus1"],
        load: 3,
        sensors: &[
            ("voltage", Unit::Volt, 23_900),
            ("cpu-temperature", Unit::Celsius, 47_000),
            ("board-temperature1", Unit::Celsius, 36_500),
            ("poe-out-consumption", Unit::Watt, 12_300),
            ("fan-state", Unit::Status, 0),
        ],
        through: (1_000, 2_000),
        thermometer: ".1.3.6.1.4.1.14988.1.1.3.100.1.3.14",
        hot: "81",
    };
    for face in [six, seven] {
        face.is_read_alike().await.context(face.version)?;
    }
    Ok(())
}

/// A face of the pretend router, and what is read of it.
struct Face {
    snmp: Snmp,
    board: &'static str,
    version: &'static str,
    ports: &'static [&'static str],
    load: u32,
    sensors: &'static [(&'static str, Unit, i64)],
    /// What had gone through its uplink.
    through: (u64, u64),
    thermometer: &'static str,
    /// 81.5 degrees as it tells them.
    hot: &'static str,
}

impl Face {
    async fn is_read_alike(&self) -> Result<()> {
        let nowhere = SocketAddr::from(([127, 0, 0, 1], 9));
        let settings = Settings {
            identity: "hill-7".to_owned(),
            snmp: Some(self.snmp.clone()),
            ..Settings::new("a-long-shared-secret", nowhere, nowhere)
        };
        let clock = Clock::test(START);
        let router = Router::start_on(settings, clock.clone(), Entropy::system()).await?;
        clock.advance(Duration::from_secs(90));
        let jane = router.dial_locally("jane", "AA:BB:CC:00:00:01");
        jane.transfer(Usage { up: 7, down: 11 });
        router.log_in_locally("joe", "AA:BB:CC:00:00:02");
        let at = router.snmp().context("its SNMP")?;
        let walk = async |name| snmp("snmpbulkwalk", at, "demo", name).await;

        // Nothing of the router lives in these: they are the recording's, one by one or many at once.
        let recorded = &self.snmp.recording;
        for root in [
            ".1.3.6.1.2.1.25",
            ".1.3.6.1.4.1.14988.1.1.3",
            ".1.3.6.1.4.1.14988.1.1.4",
            ".1.3.6.1.4.1.14988.1.1.7",
        ] {
            let root_name = snmprec::name(root)?;
            let expected: Vec<String> = recorded
                .under(&root_name)
                .map(|(_, object)| in_words(object))
                .collect();
            ensure!(!expected.is_empty(), "{root}");
            assert_eq!(walk(root).await?, expected, "{root}");
            assert_eq!(snmp("snmpwalk", at, "demo", root).await?, expected);
        }
        let names = walk(".1.3.6.1.2.1.31.1.1.1.1").await?;
        let expected: Vec<&str> = self.ports.iter().copied().chain(["<pppoe-jane>"]).collect();
        assert_eq!(names, expected);

        let read = Judge {
            at,
            exchange: exchange(),
        };
        let told = read.ours().await?;
        let system = &told.system;
        assert_eq!(system.board.as_deref(), Some(self.board));
        assert_eq!(system.version.as_deref(), Some(self.version));
        assert_eq!(system.name, "hill-7");
        for (ours, name) in [
            (Some(&system.description), ".1.3.6.1.2.1.1.1.0"),
            (Some(&system.name), ".1.3.6.1.2.1.1.5.0"),
            (system.version.as_ref(), ".1.3.6.1.4.1.14988.1.1.4.4.0"),
            (system.serial.as_ref(), ".1.3.6.1.4.1.14988.1.1.7.3.0"),
        ] {
            assert_eq!(ours, Some(&read.theirs(name).await?), "{name}");
        }
        assert_eq!(told.uptime_secs(), Some(90));
        let ours: Vec<&str> = told.interfaces.iter().map(|port| &*port.name).collect();
        assert_eq!(ours, names);
        assert_eq!(
            (told.ppp_sessions, told.hotspot_sessions),
            (Some(1), Some(1))
        );
        assert_eq!(
            read.theirs(".1.3.6.1.4.1.14988.1.1.5.1.1.5.1").await?,
            "10.64.0.3"
        );
        let sensors: Vec<(&str, Unit, i64)> = told
            .sensors
            .iter()
            .map(|sensor| (&*sensor.name, sensor.unit, sensor.milli))
            .collect();
        assert_eq!(sensors, self.sensors);
        assert_eq!(told.cpu_percent(), Some(self.load));
        let (input, output) = (self.through.0 + 11, self.through.1 + 7);
        read.uplink_passed(input, output).await?;

        // What was sent stays counted once its line is gone, until the power goes.
        jane.hang_up().await;
        ensure!(jane.session().is_none());
        read.uplink_passed(input, output).await?;
        router.reboot();
        read.uplink_passed(0, 0).await?;

        router.with_senses(|senses| {
            senses.load = Some(97);
            senses.decidegrees = Some(815);
            senses.decivolts = Some(108);
        });
        router.link("ether1", Link::Down);
        let told = read.ours().await?;
        assert_eq!(told.cpu_percent(), Some(97));
        assert_eq!(told.sensor(Unit::Volt).map(|it| it.milli), Some(10_800));
        let hot = i64::from(self.hot.parse::<u32>()?);
        let hot = if hot < 200 { hot * 1_000 } else { hot * 100 };
        assert_eq!(told.sensor(Unit::Celsius).map(|it| it.milli), Some(hot));
        assert_eq!(read.theirs(self.thermometer).await?, self.hot);
        let port = |told: &reading::Reading| {
            let port = &told.interfaces[0];
            (port.enabled, port.status, port.speed_bps.unwrap_or(0) > 0)
        };
        assert_eq!(port(&told), (Some(true), Some(2), false));
        assert_eq!(read.theirs(".1.3.6.1.2.1.2.2.1.8.1").await?, "2");
        router.link("ether1", Link::Off);
        assert_eq!(port(&read.ours().await?), (Some(false), Some(2), false));
        router.link("ether1", Link::Up);
        assert_eq!(port(&read.ours().await?), (Some(true), Some(1), true));
        router.stop().await;
        Ok(())
    }
}

/// Net-SNMP's client and ours before one router.
struct Judge {
    at: SocketAddr,
    exchange: Exchange,
}

impl Judge {
    async fn ours(&self) -> Result<reading::Reading> {
        let values = read(
            &self.exchange,
            self.at,
            community("demo"),
            reading::everything(),
        );
        Ok(reading::read(&values.await?))
    }

    async fn theirs(&self, name: &str) -> Result<String> {
        let told = snmp("snmpget", self.at, "demo", name).await?;
        told.into_iter().next().with_context(|| name.to_owned())
    }

    /// So much went through the uplink, as both read it.
    async fn uplink_passed(&self, input: u64, output: u64) -> Result<()> {
        let told = self.ours().await?;
        let port = &told.interfaces[0];
        let counted = [port.input, port.output].map(|it| it.map(|it| (it.octets, it.wide)));
        assert_eq!(counted, [Some((input, true)), Some((output, true))]);
        for (column, octets) in [(6, input), (10, output)] {
            let name = format!(".1.3.6.1.2.1.31.1.1.1.{column}.1");
            assert_eq!(self.theirs(&name).await?, octets.to_string());
        }
        Ok(())
    }
}

/// An object as Net-SNMP shows it.
fn in_words(object: &Recorded) -> String {
    match object {
        Recorded::Integer(number) => number.to_string(),
        Recorded::Octets(octets) => String::from_utf8_lossy(octets).into_owned(),
        Recorded::Name(name) => name.iter().map(|arc| format!(".{arc}")).collect(),
        Recorded::Address(address) => address.to_string(),
        Recorded::Counter32(number) | Recorded::Gauge(number) | Recorded::Ticks(number) => {
            number.to_string()
        }
        Recorded::Counter64(number) => number.to_string(),
    }
}

/// Who may read the pretend router is what its configuration says.
#[tokio::test(flavor = "multi_thread")]
async fn the_pretend_router_is_read_by_whom_it_lets() -> Result<()> {
    let nowhere = SocketAddr::from(([127, 0, 0, 1], 9));
    let router = Router::start(Settings {
        snmp: Some(Snmp::new("demo")),
        ..Settings::new("a-long-shared-secret", nowhere, nowhere)
    })
    .await?;
    let (at, exchange) = (router.snmp().context("its SNMP")?, exchange());
    let uptime = || vec![Part::Objects(vec![Oid::new(&[1, 3, 6, 1, 2, 1, 1, 3, 0])])];
    for (menu, name, shut, open) in [
        (
            "/snmp community",
            "addresses",
            "192.0.2.9/32",
            "127.0.0.1/32",
        ),
        ("/snmp community", "security", "private", "none"),
        ("/snmp", "enabled", "no", "yes"),
    ] {
        router.configure(|machine| machine.put_all(menu, name, shut));
        let silent = read(&exchange, at, community("demo"), uptime()).await;
        assert_eq!(silent, Err(SnmpError::Silent), "{name}={shut}");
        router.configure(|machine| machine.put_all(menu, name, open));
        let told = read(&exchange, at, community("demo"), uptime()).await;
        ensure!(told.is_ok(), "{name}={open}: {told:?}");
    }
    router.stop().await;
    Ok(())
}

/// Recordings: our own, and the real ones where they lie beside the tree.
fn recordings() -> Result<Vec<PathBuf>> {
    let tree = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    for folder in [
        tree.join("vectors/snmp"),
        tree.join("../../shared/data/snmp"),
    ] {
        let Ok(entries) = std::fs::read_dir(&folder) else {
            println!(
                "skipped: {} is not there (recordings under the GPL)",
                folder.display()
            );
            continue;
        };
        for entry in entries {
            let path = entry?.path();
            if path.extension().is_some_and(|kind| kind == "snmprec") {
                found.push(path);
            }
        }
    }
    ensure!(found.len() >= 3, "our own recordings: {found:?}");
    Ok(found)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replayed_router_is_read_value_for_value() -> Result<()> {
    let recordings = recordings()?;
    let replay = SnmpSim::start(&recordings).await?;
    let exchange = exchange();
    for recording in recordings {
        let name = recording
            .file_stem()
            .context("a name")?
            .to_string_lossy()
            .into_owned();
        let parts = [reading::everything(), reading::narrow_counters()].concat();
        let expected = asked(&std::fs::read_to_string(&recording)?, &parts)?;
        let began = Instant::now();
        let values = read(&exchange, replay.address, community(&name), parts).await;
        let values = values.with_context(|| name.clone())?;
        println!("{name}: {} values in {:?}", values.len(), began.elapsed());
        for (object, value) in &expected {
            assert_eq!(values.get(object), Some(value), "{name}: {object}");
        }
        assert_eq!(values.len(), expected.len(), "{name}: more than there is");
        let read = reading::read(&values);
        ensure!(!read.interfaces.is_empty() && !read.system.description.is_empty());
    }
    Ok(())
}

/// What of a recording is asked for.
fn asked(text: &str, parts: &[Part]) -> Result<BTreeMap<Oid, Value>> {
    let wanted = |name: &Oid| {
        parts.iter().any(|part| match part {
            Part::Objects(names) => names.contains(name),
            Part::Columns(roots) => roots.iter().any(|root| name.under(root.arcs()).is_some()),
        })
    };
    let objects = Recording::read(text)?.0.into_iter();
    let named = objects.map(|(name, object)| (Oid::new(&name), object));
    let asked = named.filter(|(name, _)| wanted(name));
    let value = |object| match object {
        Recorded::Integer(number) => Value::Integer(number.into()),
        Recorded::Octets(octets) => Value::Octets(octets),
        Recorded::Name(name) => Value::Name(Oid::new(&name)),
        Recorded::Address(address) => Value::Address(address),
        Recorded::Counter32(number) => Value::Counter32(number),
        Recorded::Gauge(number) => Value::Gauge(number),
        Recorded::Ticks(number) => Value::Ticks(number),
        Recorded::Counter64(number) => Value::Counter64(number),
    };
    Ok(asked.map(|(name, object)| (name, value(object))).collect())
}
