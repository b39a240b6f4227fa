//! What the agent tells of itself: to the service manager, and on its page.

use std::os::unix::net::UnixDatagram;
use std::sync::mpsc;

use super::*;
use crate::store::Job;
use crate::watchdog::{Hang, Supervisor, Watchdog, Watched};

const SHORT: Duration = Duration::from_millis(900);

/// L5: a sign of life follows a login through the socket and an answer of the accounting thread, and
/// nothing else: with either stuck there is none, and with both again there is.
#[tokio::test(flavor = "multi_thread")]
async fn the_service_manager_hears_only_of_an_agent_that_serves() {
    let running = Running::start(site()).await;
    let watched = running.agent.watched().clone();
    assert_eq!(watched.look(PATIENCE), Ok(()));
    assert_eq!(running.logins(), [], "the watchdog is nobody's customer");

    let manager = running.dir.path().join("notify");
    let heard = UnixDatagram::bind(&manager).unwrap();
    heard.set_read_timeout(Some(PATIENCE)).unwrap();
    let environment = [
        (
            "NOTIFY_SOCKET".to_owned(),
            manager.to_str().unwrap().to_owned(),
        ),
        ("WATCHDOG_USEC".to_owned(), SHORT.as_micros().to_string()),
    ];
    let supervisor = Supervisor::of(environment);
    assert!(supervisor.is_some());
    let watchdog = Watchdog::start(watched.clone(), supervisor, |_| {}).unwrap();
    let hears = || {
        let mut text = [0; 64];
        let length = heard.recv(&mut text).ok()?;
        Some(String::from_utf8_lossy(&text[..length]).into_owned())
    };
    assert_eq!(hears().as_deref(), Some("READY=1"));
    assert_eq!(hears().as_deref(), Some("WATCHDOG=1"));

    // The accounting thread is stuck in somebody's answer.
    let (release, stuck) = mpsc::channel::<()>();
    let (begun, is_stuck) = mpsc::channel();
    let mark = Job::Mark {
        name: "stuck".into(),
        value: 0,
        done: Box::new(move |_| {
            begun.send(()).unwrap();
            let _released = stuck.recv();
        }),
    };
    running.agent.overview().outbox.submit(mark).unwrap();
    is_stuck.recv().unwrap();
    assert_eq!(hang_after_login(&watched), Hang::Write);
    heard.set_nonblocking(true).unwrap();
    while hears().is_some() {}
    heard.set_nonblocking(false).unwrap();
    heard.set_read_timeout(Some(SHORT * 2)).unwrap();
    assert_eq!(hears(), None, "no sign of life while stuck");
    heard.set_read_timeout(Some(PATIENCE)).unwrap();
    release.send(()).unwrap();
    assert_eq!(hears().as_deref(), Some("WATCHDOG=1"));

    // Logins are stuck: somebody holds the register.
    let sessions = running.agent.overview().sessions.clone();
    let (begun, is_held) = mpsc::channel();
    let (release, held) = mpsc::channel::<()>();
    let holder = std::thread::spawn(move || {
        sessions.open(|_| true);
        let x = crate::sessions::Asker {
            customer: None,
            username: b"x",
        };
        sessions.admit(x, None, None, start(), |_| {
            begun.send(()).unwrap();
            let _released = held.recv();
            (None, ())
        });
    });
    is_held.recv().unwrap();
    assert_eq!(watched.look(SHORT), Err(Hang::Login));
    release.send(()).unwrap();
    holder.join().unwrap();
    assert_eq!(watched.look(PATIENCE), Ok(()));
    tokio::task::spawn_blocking(|| watchdog.stop())
        .await
        .unwrap();
    running.stop().await;
}

/// What hangs behind a login that is answered: on a machine that builds beside, not every one is in so short a time.
fn hang_after_login(watched: &Watched) -> Hang {
    loop {
        match watched.look(SHORT) {
            Err(Hang::Login) => {}
            Err(hang) => return hang,
            Ok(()) => panic!("nothing hangs"),
        }
    }
}

/// A disk that refuses is no hang: a restart would lose the logins that go on from memory.
#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_refuses_is_not_answered_with_a_restart() {
    let running = Running::start(site()).await;
    running.break_disk(
        "create trigger broken before insert on marks begin select raise(abort, 'disk'); end",
    );
    assert_eq!(running.agent.watched().look(PATIENCE), Ok(()));
    running.break_disk("drop trigger broken");
    running.stop().await;
}

/// A damaged file refuses for ever: only a start mends it.
#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_file_is_answered_with_a_restart() {
    let running = Running::start(site()).await;
    running.break_disk(
        "pragma writable_schema = on;
         update sqlite_schema set sql = 'create nonsense' where name = 'marks';
         pragma schema_version = 4711;",
    );
    assert_eq!(running.agent.watched().look(PATIENCE), Err(Hang::Damaged));
    running.stop().await;
}

/// A box for oneself says nothing on the network of the machine that it runs on.
#[tokio::test(flavor = "multi_thread")]
async fn a_box_on_loopback_has_no_neighbours() {
    let running = Running::start(site()).await;
    assert_eq!(running.agent.neighbours(), None);
    running.stop().await;
}

/// The unit gives up on a silent agent early enough that it serves again within 30 seconds.
#[test]
fn the_unit_watches() {
    let unit = include_str!("../../../packaging/systemd/easyisp-agent.service");
    for line in [
        "Type=notify",
        "WatchdogSec=20",
        "Restart=always",
        "RestartSec=3",
    ] {
        assert!(unit.lines().any(|held| held == line), "{line}");
    }
}

/// Systemd gives up for good after five failed starts within ten seconds, where it is not told otherwise: in a unit's first
/// section, and no faster than a memory card bears.
#[test]
fn no_unit_gives_up() {
    for unit in [
        include_str!("../../../packaging/systemd/easyisp-agent.service"),
        include_str!("../../../packaging/systemd/easyisp-agent-hosted.service"),
        include_str!("../../../packaging/systemd/easyisp-cloud.service"),
    ] {
        let (first, rest) = unit.split_once("[Service]").unwrap();
        assert!(
            first.lines().any(|held| held == "StartLimitIntervalSec=0"),
            "{unit}"
        );
        assert!(rest.lines().any(|held| held == "Restart=always"), "{unit}");
        let pause = rest
            .lines()
            .find_map(|line| line.strip_prefix("RestartSec="));
        assert!(pause.unwrap().parse::<u8>().unwrap() >= 2, "{unit}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_says_who_asks_and_is_no_router() {
    let mut words = site();
    words.routers[0].source = "127.0.0.0/28".parse().unwrap();
    let running = Running::start(words).await;
    let stranger = UdpSocket::bind("127.0.9.9:0").unwrap();
    let request = running.access_datagram(b"demo001", DEMO001, 1);
    stranger
        .send_to(&request, running.agent.radius_auth())
        .unwrap();
    let answered = running.log_in(b"demo001", DEMO001, 2);
    assert!(answered.is_some());

    let address = running.agent.status();
    let state = crate::doctor::fetch_status(address).await.unwrap();
    let state: crate::status::Report = serde_json::from_str(&state).unwrap();
    assert_eq!(state.unknown_sources, [([127, 0, 9, 9].into(), 1)]);
    assert!(state.durability.is_some_and(|found| found.contains("wal")));
    let page = crate::doctor::fetch(address, "/").await.unwrap();
    assert!(
        page.contains("A router at 127.0.9.9 is asking (once)"),
        "{page}"
    );
    assert!(
        page.contains("tower") && page.contains("width=device-width"),
        "{page}"
    );

    // What `doctor` says beside it.
    let mut config = Config {
        data_dir: running.dir.path().to_owned(),
        ..Config::default()
    };
    config.status.listen = address;
    let wrong = async || -> Vec<String> {
        let found = crate::doctor::examine(&config, &running.clock).await;
        let wrong = found.into_iter().filter(|it| it.remedy.is_some());
        wrong
            .filter(|it| it.what != "room")
            .map(|it| format!("{}: {}", it.what, it.found))
            .collect()
    };
    let told = wrong().await;
    let [identity, certificate, link, unknown] = &told[..] else {
        panic!("{told:?}");
    };
    for (told, part) in [
        (identity, "identity: "),
        (certificate, "certificate: there is none"),
        (link, "link: none: this site is described by hand"),
        (
            unknown,
            "unknown router: a router at 127.0.9.9 is asking (1 requests)",
        ),
    ] {
        assert!(told.contains(part), "{part}: {told}");
    }
    std::fs::write(running.dir.path().join("eap-ca.pem"), "worn").unwrap();
    let told = wrong().await;
    assert_eq!(told.len(), 5, "{told:?}");
    assert!(told.iter().any(|it| it.starts_with("eap-ca.pem: ")));
    running.stop().await;
}

/// A power cut asks nobody to write down what time it is: that was done each minute, and a box whose clock begins
/// anew goes on from there. Who was over stays over.
#[tokio::test(flavor = "multi_thread")]
async fn what_time_it_was_outlives_a_power_cut() {
    let running = Running::start(site()).await;
    running.clock.advance(Duration::from_secs(2000));
    let late = running.clock.now();
    let reader = running.agent.overview().reader.clone();
    let written = async {
        loop {
            let mark = reader.mark(crate::housekeeping::CLOCK_MARK).unwrap();
            match mark.map(Timestamp::from_micros).filter(|at| *at >= late) {
                Some(at) => return at,
                // It may have begun to wait only after that time had passed.
                None => running.clock.advance(Duration::from_secs(60)),
            }
            // A minute of housekeeping is some twenty writes.
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let cut_at = tokio::time::timeout(PATIENCE, written).await.unwrap();

    // As a power cut leaves the files: nothing closes in order.
    let dir = tempfile::tempdir().unwrap();
    for file in std::fs::read_dir(running.dir.path()).unwrap() {
        let file = file.unwrap();
        std::fs::copy(file.path(), dir.path().join(file.file_name())).unwrap();
    }
    let restarted = Running::start_in(dir, site()).await;
    assert_eq!(restarted.clock.now(), start());
    assert!(restarted.agent.overview().clock.now() >= cut_at);
    let over = restarted.log_in(b"demo001", DEMO001, 1).unwrap();
    let over = Packet::parse(&over).unwrap().code();
    assert_eq!(over, Some(Code::AccessReject));
    restarted.stop().await;
    running.stop().await;
}

/// A clock that jumps while the program is started again is not followed: the machine was on, and counted. Nobody
/// is over by that, nor later by the time that did pass.
#[tokio::test(flavor = "multi_thread")]
async fn a_jump_between_two_starts_of_one_boot_ends_nobody() {
    let running = Running::start(site()).await;
    let jumped = Duration::from_secs(100 * 86_400);
    let running = running.restart_with(|clock| {
        clock.advance(Duration::from_secs(600));
        clock.set(start().plus(jumped));
    });
    let running = running.await;
    let clock = running.agent.overview().clock.clone();
    assert_eq!(clock.now(), start().plus(Duration::from_secs(600)));
    assert!(!clock.trusted());
    let answer = |identifier| {
        let reply = running.log_in(b"demo001", DEMO001, identifier).unwrap();
        Packet::parse(&reply).unwrap().code()
    };
    assert_eq!(answer(1), Some(Code::AccessAccept));
    running.clock.advance(Duration::from_secs(401));
    assert_eq!(answer(2), Some(Code::AccessReject));
    running.stop().await;
}
