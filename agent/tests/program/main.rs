//! The program itself, as a service manager runs it: what it refuses, what it survives, how it is watched.
#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]

mod commands;
mod restart;

use std::collections::BTreeSet;
use std::io::Read;
use std::net::{SocketAddr, UdpSocket};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use easyisp_agent::radius::builder::Signature;
use easyisp_agent::radius::client::{self, Login, Method};
use easyisp_agent::radius::dictionary::attribute;
use easyisp_agent::radius::{Code, Secret};
use easyisp_agent::site::description::customer_id;
use easyisp_shared::entropy::Entropy;
use easyisp_shared::wire::DownKind;

/// E3: where the write-ahead log cannot be had, because somebody named a way to store files that has none in the
/// configuration, the program does not serve, and says what is wrong.
#[test]
fn a_store_that_would_lose_data_keeps_the_program_from_serving() {
    let folder = tempfile::tempdir().unwrap();
    let mut program = Program::new(folder.path(), "file:kept?vfs=unix-dotfile&rest=");
    let mut child = program.command.stderr(Stdio::piped()).spawn().unwrap();
    let (ended, said) = within(PATIENCE, &mut child);
    assert!(ended, "it serves without a log: {said}");
    assert!(
        said.contains("pragma journal_mode is delete, must be wal"),
        "{said}"
    );
}

/// A3: ten million damaged, nonsensical and random datagrams at both ports (fewer in the usual run): whoever asks
/// in between is answered, and the program's memory stays what it was.
#[test]
fn whatever_arrives_the_program_serves_and_does_not_grow() {
    let count: u64 = match std::env::var_os("EASYISP_TEST_FULL") {
        Some(_) => 10_000_000,
        None => 60_000,
    };
    let folder = tempfile::tempdir().unwrap();
    let program = Program::serving(folder.path());
    let entropy = Entropy::seeded(3);
    let sound = [program.login(1), program.report(2), program.status(3)];
    let pelting = UdpSocket::bind("127.0.0.1:0").unwrap();
    let mut warm = 0;
    for round in 0..count {
        let port = program.ports[round as usize % 2];
        let datagram = match entropy.below(3) {
            0 => damaged(&sound[entropy.below(3) as usize], &entropy),
            1 => program.nonsense(&entropy),
            _ => damaged(&entropy.bytes::<64>(), &entropy),
        };
        pelting.send_to(&datagram, port).unwrap();
        if round % 500 == 499 {
            assert!(program.logs_in(), "after {} datagrams", round + 1);
        }
        if round == count / 4 {
            warm = program.resident();
        }
    }
    let grown = program.resident().saturating_sub(warm);
    assert!(grown < 10 << 20, "{grown} bytes more than after a quarter");
}

/// A program that stands still as a whole says nothing to its service manager any more, which ends it and starts it
/// again: it serves again within half a minute.
#[test]
fn a_program_that_stands_still_is_started_again() {
    let folder = tempfile::tempdir().unwrap();
    let manager = folder.path().join("notify");
    let heard = UnixDatagram::bind(&manager).unwrap();
    let watched = |program: &mut Program| {
        let patience = WATCHED.as_micros().to_string();
        program
            .command
            .env("NOTIFY_SOCKET", &manager)
            .env("WATCHDOG_USEC", patience);
    };
    let mut program = Program::new(folder.path(), "data");
    watched(&mut program);
    program.start();
    let hears = |within: Duration| {
        let mut text = [0; 64];
        heard.set_read_timeout(Some(within)).unwrap();
        let length = heard.recv(&mut text).ok()?;
        Some(String::from_utf8_lossy(&text[..length]).into_owned())
    };
    assert_eq!(hears(PATIENCE).as_deref(), Some("READY=1"));
    assert_eq!(hears(PATIENCE).as_deref(), Some("WATCHDOG=1"));
    assert!(program.logs_in());

    let stood_still = Instant::now();
    program.signal("STOP");
    // What it said before it stood still.
    heard.set_nonblocking(true).unwrap();
    while hears(WATCHED).is_some() {}
    heard.set_nonblocking(false).unwrap();
    assert_eq!(
        hears(WATCHED),
        None,
        "a sign of life of one that stands still"
    );
    assert!(!program.logs_in());

    // What the unit says: WatchdogSec has passed, Restart=always.
    drop(program);
    let mut program = Program::new(folder.path(), "data");
    watched(&mut program);
    program.start();
    assert_eq!(hears(PATIENCE).as_deref(), Some("READY=1"));
    assert!(program.logs_in());
    assert!(stood_still.elapsed() < Duration::from_secs(30));
}

/// Killed at any instant while another snapshot of its site takes the place of the one it has, the program holds
/// the old one or the new one, whole, and serves it.
#[test]
fn killed_while_a_snapshot_is_applied_it_holds_the_old_or_the_new() {
    let rounds = match std::env::var_os("EASYISP_TEST_FULL") {
        Some(_) => 1000,
        None => 12,
    };
    let folder = tempfile::tempdir().unwrap();
    let sites = ["old", "new"].map(|name| (name, described(name, 1500)));
    let mut program = Program::new(folder.path(), "data");
    std::fs::write(folder.path().join("site.json"), &sites[0].1).unwrap();
    let cache = folder.path().join("data/cache.db");
    let log = folder.path().join("data/cache.db-wal");
    let began = Instant::now();
    program.start();
    while std::fs::metadata(&log).map_or(0, |log| log.len()) < 100_000 {
        assert!(began.elapsed() < 3 * PATIENCE, "nothing is applied");
    }
    let begins = began.elapsed();
    while !program.lets_in(b"old00000") {
        assert!(began.elapsed() < 3 * PATIENCE, "it does not serve");
    }
    let lasts = began.elapsed() - begins;
    program.end();

    let entropy = Entropy::system();
    let (mut amid, mut held) = (0, "old");
    let mut round = 0;
    // On a busy machine the moment is missed now and then: at most ten times as often.
    while round < rounds || amid == 0 && round < 10 * rounds {
        round += 1;
        let (name, site) = &sites[round % 2];
        std::fs::write(folder.path().join("site.json"), site).unwrap();
        program.start();
        // At any instant in every third round, soon after the snapshot is there in the others.
        let began = Instant::now();
        let instant = begins + Duration::from_micros(entropy.below(lasts.as_micros() as u64));
        let watched = rusqlite::Connection::open(&cache).unwrap();
        let is_there = || {
            let staged = "select exists (select 1 from staged)";
            watched
                .query_row(staged, [], |row| row.get::<_, bool>(0))
                .unwrap()
        };
        match round % 3 {
            0 => while began.elapsed() < instant {},
            nth => {
                while began.elapsed() < 4 * (begins + lasts) && !is_there() {}
                // At once, or a little later.
                let later = entropy.below(40_000) * (nth as u64 - 1);
                std::thread::sleep(Duration::from_micros(later));
            }
        }
        program.end();
        drop(watched);
        let (of_feed, staged) = cached(&cache);
        assert!(
            of_feed == ids(held) || of_feed == ids(name),
            "round {round}, killed after {instant:?}: {} rows of neither",
            of_feed.len()
        );
        amid += u32::from(staged > 0);
        held = if of_feed == ids(name) { *name } else { held };
    }
    println!("{round} kills, {amid} of them amid a snapshot");
    assert!(
        amid > 0,
        "no kill came between the snapshot and its taking over"
    );
    std::fs::write(folder.path().join("site.json"), &sites[1].1).unwrap();
    let began = Instant::now();
    program.start();
    while !program.lets_in(b"new01499") {
        assert!(began.elapsed() < 3 * PATIENCE, "it does not serve");
    }
    assert!(!program.lets_in(b"old00000"));
}

/// A site of so many customers, each named `name` and a number, whose password is `a`.
fn described(name: &str, many: usize) -> String {
    let customer = |number: usize| {
        format!(
            r#"{{"username": "{name}{number:05}", "password": "a", "package": "basic",
                "paid_until": "2099-06-01T00:00:00Z"}}"#
        )
    };
    let customers: Vec<String> = (0..many).map(customer).collect();
    let (before, _) = SITE.split_once(r#""subscribers""#).unwrap();
    format!(r#"{before}"subscribers": [{}]}}"#, customers.join(","))
}

fn ids(name: &str) -> BTreeSet<Vec<u8>> {
    let id = |number: usize| {
        customer_id(&format!("{name}{number:05}"))
            .0
            .as_bytes()
            .to_vec()
    };
    (0..1500).map(id).collect()
}

/// Whom the cache holds, and how many rows wait in it.
fn cached(path: &Path) -> (BTreeSet<Vec<u8>>, u32) {
    let outside = rusqlite::Connection::open(path).unwrap();
    let mut held = outside
        .prepare("select id from feed where kind = ?1")
        .unwrap();
    let held = held
        .query_map([DownKind::Subscriber.code()], |row| row.get(0))
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap();
    let staged = "select count(*) from staged";
    (
        held,
        outside.query_row(staged, [], |row| row.get(0)).unwrap(),
    )
}

const PATIENCE: Duration = Duration::from_secs(20);
/// As `WatchdogSec`, in a hurry.
const WATCHED: Duration = Duration::from_secs(3);

/// The program beside a site that is described by hand.
struct Program {
    command: Command,
    child: Option<Child>,
    ports: [SocketAddr; 2],
    secret: Secret,
    socket: UdpSocket,
}

impl Program {
    /// With its files in `data` below `folder`; not started.
    fn new(folder: &Path, data: &str) -> Program {
        let free = || UdpSocket::bind("127.0.0.1:0").unwrap();
        let held = [free(), free()];
        let ports = [0, 1].map(|place: usize| held[place].local_addr().unwrap());
        let status = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let status = status.local_addr().unwrap();
        std::fs::write(folder.join("site.json"), SITE).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_easyisp-agent"));
        command
            .args(["run", "--site", "site.json"])
            .current_dir(folder)
            .env_clear()
            .env("EASYISP_DATA_DIR", data)
            .env("EASYISP_RADIUS_AUTH", ports[0].to_string())
            .env("EASYISP_RADIUS_ACCT", ports[1].to_string())
            .env("EASYISP_STATUS_LISTEN", status.to_string())
            .env("EASYISP_PORTAL_LISTEN", "127.0.0.1:0")
            .env("EASYISP_PEERS_LISTEN", "127.0.0.1:0")
            .env("EASYISP_WIZARD_LISTEN", "127.0.0.1:0")
            .env("EASYISP_LOG_FILTER", "error")
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        Program {
            command,
            child: None,
            ports,
            secret: Secret::new(b"demo-secret"),
            socket: free(),
        }
    }

    fn serving(folder: &Path) -> Program {
        let mut program = Program::new(folder, "data");
        program.start();
        let began = Instant::now();
        while !program.logs_in() {
            assert!(began.elapsed() < PATIENCE, "it does not serve");
        }
        program
    }

    fn start(&mut self) {
        self.child = Some(self.command.spawn().unwrap());
    }

    /// SIGKILL.
    fn end(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    fn signal(&self, which: &str) {
        let id = self.child.as_ref().unwrap().id().to_string();
        let sent = Command::new("kill").args(["-s", which, &id]).status();
        assert!(sent.is_ok_and(|status| status.success()));
    }

    /// Resident bytes.
    fn resident(&self) -> u64 {
        let id = self.child.as_ref().unwrap().id();
        let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap();
        let line = status
            .lines()
            .find(|line| line.starts_with("VmRSS:"))
            .unwrap();
        let kilobytes = line.split_whitespace().nth(1).unwrap();
        kilobytes.parse::<u64>().unwrap() << 10
    }

    /// Whether a subscriber is let in, as a router asks: five times at most.
    fn logs_in(&self) -> bool {
        self.lets_in(b"a")
    }

    fn lets_in(&self, name: &[u8]) -> bool {
        let request = self.login_of(name, Entropy::system().bytes::<1>()[0]);
        self.socket
            .set_read_timeout(Some(Duration::from_millis(600)))
            .unwrap();
        let mut answer = [0; 4096];
        (0..5).any(|_| {
            if self.socket.send_to(&request, self.ports[0]).is_err() {
                return false;
            }
            let Ok(length) = self.socket.recv(&mut answer) else {
                return false;
            };
            let read = client::read_answer(&answer[..length], &request, &self.secret);
            read.is_ok_and(|answer| answer.code() == Some(Code::AccessAccept))
        })
    }

    fn login(&self, identifier: u8) -> Vec<u8> {
        self.login_of(b"a", identifier)
    }

    fn login_of(&self, user_name: &[u8], identifier: u8) -> Vec<u8> {
        let login = Login {
            user_name,
            method: Method::Pap { password: b"a" },
            extra: &[],
            signature: Signature::MessageAuthenticator,
        };
        let authenticator = Entropy::system().bytes();
        client::access_request(&login, identifier, &authenticator, &self.secret).unwrap()
    }

    fn report(&self, identifier: u8) -> Vec<u8> {
        let attributes: [(u8, &[u8]); 3] = [
            (attribute::ACCT_STATUS_TYPE, &[0, 0, 0, 1]),
            (attribute::USER_NAME, b"a"),
            (attribute::ACCT_SESSION_ID, b"80100014"),
        ];
        client::accounting_request(&attributes, identifier, &self.secret).unwrap()
    }

    fn status(&self, identifier: u8) -> Vec<u8> {
        client::status_server(identifier, &[9; 16], &self.secret)
    }

    /// A login whose sender knows the secret, of any attributes.
    fn nonsense(&self, entropy: &Entropy) -> Vec<u8> {
        let octets: [u8; 64] = entropy.bytes();
        let mut extra: Vec<(u8, &[u8])> = Vec::new();
        let mut rest = octets.as_slice();
        while let [kind, length, tail @ ..] = rest {
            let (value, after) = tail.split_at(usize::from(*length).min(tail.len()) / 4);
            if *kind != attribute::MESSAGE_AUTHENTICATOR {
                extra.push((*kind, value));
            }
            rest = after;
        }
        let login = Login {
            user_name: &octets[..8],
            method: Method::None,
            extra: &extra,
            signature: Signature::MessageAuthenticator,
        };
        let (identifier, authenticator) = (octets[0], entropy.bytes());
        client::access_request(&login, identifier, &authenticator, &self.secret).unwrap()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.end();
    }
}

fn damaged(datagram: &[u8], entropy: &Entropy) -> Vec<u8> {
    let mut datagram = datagram.to_vec();
    for _ in 0..=entropy.below(3) {
        let at = entropy.below(datagram.len() as u64) as usize;
        datagram[at] = entropy.bytes::<1>()[0];
    }
    datagram.truncate(entropy.below(datagram.len() as u64 + 1) as usize);
    datagram
}

/// Waits for a program's end; whether it came, and what was said. Ends it otherwise.
fn within(patience: Duration, child: &mut Child) -> (bool, String) {
    let began = Instant::now();
    let mut ended = false;
    while !ended && began.elapsed() < patience {
        ended = child.try_wait().unwrap().is_some();
        std::thread::sleep(Duration::from_millis(20));
    }
    if !ended {
        child.kill().unwrap();
        child.wait().unwrap();
    }
    let mut said = String::new();
    let pipe = child.stderr.take().unwrap();
    pipe.take(1 << 16).read_to_string(&mut said).unwrap();
    (ended, said)
}

const SITE: &str = r#"{
  "packages": [{"name": "basic", "up_kbps": 10000, "down_kbps": 20000, "devices": 5}],
  "routers": [{"name": "tower", "address": "127.0.0.1", "source": "127.0.0.0/8", "secret": "demo-secret",
    "coa_port": 3799}],
  "subscribers": [
    {"username": "a", "password": "a", "package": "basic", "paid_until": "2099-06-01T00:00:00Z"}]
}"#;
