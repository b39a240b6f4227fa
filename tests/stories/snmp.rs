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
use easyisp_tests::net_snmp::{SnmpSim, Snmpd, snmp};
use easyisp_tests::router::snmp::Snmp;
use easyisp_tests::router::{Router, Settings};
use easyisp_tests::world::eventually;
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

#[tokio::test(flavor = "multi_thread")]
async fn the_pretend_router_is_read_by_net_snmp_and_by_us_alike() -> Result<()> {
    let nowhere = SocketAddr::from(([127, 0, 0, 1], 9));
    let router = Router::start(Settings {
        snmp: Some(Snmp::new("demo")),
        ..Settings::new("a-long-shared-secret", nowhere, nowhere)
    })
    .await?;
    router.dial_locally("jane", "AA:BB:CC:00:00:01");
    let at = router.snmp().context("its SNMP")?;
    let names = snmp("snmpbulkwalk", at, "demo", ".1.3.6.1.2.1.31.1.1.1.1").await?;
    assert_eq!(names, ["ether1", "<pppoe-jane>"]);
    assert_eq!(
        snmp("snmpget", at, "demo", ".1.3.6.1.2.1.1.1.0").await?,
        ["RouterOS CHR"]
    );
    // One by one or many at once, it is the same.
    let one_by_one = snmp("snmpwalk", at, "demo", ".1.3.6.1.2.1.25").await?;
    assert_eq!(
        snmp("snmpbulkwalk", at, "demo", ".1.3.6.1.2.1.25").await?,
        one_by_one
    );
    ensure!(one_by_one.len() == 11, "{one_by_one:?}");

    let exchange = exchange();
    let read = read(&exchange, at, community("demo"), reading::everything()).await?;
    let read = reading::read(&read);
    let ours: Vec<&str> = read
        .interfaces
        .iter()
        .map(|port| port.name.as_str())
        .collect();
    assert_eq!(ours, names);
    assert_eq!((read.cpu_percent(), read.ppp_sessions), (Some(7), Some(1)));
    assert_eq!(read.memory.map(|room| room.total), Some(1 << 30));
    assert_eq!(
        read.sensor(Unit::Celsius).map(|sensor| sensor.milli),
        Some(47_000)
    );
    assert_eq!(read.system.board.as_deref(), Some("CHR"));

    // Who may read is what its configuration says.
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
        let silent = self::read(&exchange, at, community("demo"), uptime()).await;
        assert_eq!(silent, Err(SnmpError::Silent), "{name}={shut}");
        router.configure(|machine| machine.put_all(menu, name, open));
        let told = self::read(&exchange, at, community("demo"), uptime()).await;
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
    let mut values = BTreeMap::new();
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        let [name, kind, value] = line.splitn(3, '|').collect::<Vec<_>>()[..] else {
            anyhow::bail!("a broken line: {line}");
        };
        let name = Oid::parse(name).context("a name")?;
        let wanted = parts.iter().any(|part| match part {
            Part::Objects(names) => names.contains(&name),
            Part::Columns(roots) => roots.iter().any(|root| name.under(root.arcs()).is_some()),
        });
        if !wanted {
            continue;
        }
        let value = match kind {
            "2" => Value::Integer(value.parse()?),
            // snmpsim reads lines without the spaces at their end.
            "4" => Value::Octets(value.trim_end().as_bytes().to_vec()),
            "4x" => Value::Octets(hex::decode(value)?),
            "6" => Value::Name(Oid::parse(value).context("a name")?),
            "64" => Value::Address(value.parse()?),
            "65" => Value::Counter32(value.parse()?),
            "66" => Value::Gauge(value.parse()?),
            "67" => Value::Ticks(value.parse()?),
            "70" => Value::Counter64(value.parse()?),
            other => anyhow::bail!("type {other}"),
        };
        values.insert(name, value);
    }
    Ok(values)
}
