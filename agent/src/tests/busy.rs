//! Logins while the disk is busy with something else, or full.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use easyisp_shared::wire::{FeedBatch, FeedMode};

use super::*;
use crate::store::tests::disk::SmallDisk;

/// A8 V13: no login waits for a writer. All of them are answered while somebody still holds the write lock of
/// both files and a snapshot of the whole site waits for one of them, with no cloud there; then while the
/// snapshot is taken over and the logs are checkpointed over and over. All but one of a hundred are answered within
/// 50 ms, or as soon as beside nobody on a machine that has other work.
#[tokio::test(flavor = "multi_thread")]
async fn logins_do_not_wait_for_the_disk() {
    let running = Running::start(site()).await;
    let beside_nobody = (0..LOGINS).map(|identifier| running.logs_in_beside(identifier));
    let beside_nobody = all_but_one_of_a_hundred(beside_nobody.collect());
    // Whoever waits for a writer waits for as long as the writer likes: ten times is no noise.
    let soon = match std::env::var_os("EASYISP_TEST_FULL") {
        Some(_) => AT_ONCE,
        None => AT_ONCE.max(10 * beside_nobody),
    };
    let outbox = running.outside();
    let cache = rusqlite::Connection::open(running.dir.path().join("cache.db")).unwrap();
    for file in [&outbox, &cache] {
        file.execute_batch("begin immediate").unwrap();
    }
    let report = running.accounting_datagram(1, "81000001", 0, 0, 9);
    assert!(running.send_accounting(&report, SILENCE).is_none());
    let feed = running.agent.served.feed.clone();
    let snapshot = running.snapshot(match std::env::var_os("EASYISP_TEST_FULL") {
        Some(_) => 50_000,
        None => 5000,
    });
    let applied = Arc::new(AtomicBool::new(false));
    let ends = applied.clone();
    let applying = tokio::spawn(async move {
        // A lock that is held for five seconds is given up on; the link then comes again.
        let position = loop {
            if let Ok(position) = feed.apply(snapshot.clone(), Uuid::nil()).await {
                break position;
            }
        };
        ends.store(true, Ordering::SeqCst);
        position
    });
    let beside_a_lock = (0..LOGINS).map(|identifier| running.logs_in_beside(identifier));
    let beside_a_lock = all_but_one_of_a_hundred(beside_a_lock.collect());
    assert!(!applied.load(Ordering::SeqCst), "it waits for the lock");
    for file in [&outbox, &cache] {
        file.execute_batch("rollback").unwrap();
    }
    assert!(
        beside_a_lock < soon,
        "{beside_a_lock:?} beside a lock, {beside_nobody:?} beside nobody"
    );

    let path = running.dir.path().to_owned();
    let over = Arc::new(AtomicBool::new(false));
    let ends = over.clone();
    let checkpoints = std::thread::spawn(move || {
        let mut rounds = 0;
        while !ends.load(Ordering::SeqCst) {
            for name in ["outbox.db", "cache.db"] {
                let outside = rusqlite::Connection::open(path.join(name)).unwrap();
                let truncate = "pragma wal_checkpoint(truncate)";
                outside.query_row(truncate, [], |_| Ok(())).unwrap();
                rounds += 1;
            }
        }
        rounds
    });
    let mut beside = Vec::new();
    while !applied.load(Ordering::SeqCst) {
        beside.push(running.logs_in_beside((beside.len() % 250) as u8));
    }
    // The last one may have been asked after it.
    beside.pop();
    over.store(true, Ordering::SeqCst);
    assert_eq!(applying.await.unwrap(), 2);
    let count = beside.len();
    assert!(count > 3, "{count} logins beside the snapshot");
    assert!(checkpoints.join().unwrap() > 0);
    let beside = all_but_one_of_a_hundred(beside);
    assert!(
        beside < soon,
        "{beside:?} beside a snapshot, {beside_nobody:?} beside nobody, {count} logins"
    );
    running.stop().await;
}

/// Accounting is silent while the disk is full, and logins go on; once there is room, both do.
#[tokio::test(flavor = "multi_thread")]
async fn logins_go_on_while_the_disk_is_full() {
    let Some(disk) = SmallDisk::mount("tests::busy::logins_go_on_while_the_disk_is_full") else {
        return;
    };
    let dir = tempfile::tempdir_in(disk.path()).unwrap();
    let running = Running::start_in(dir, site()).await;
    running.account(1, "81000000", 0, 0).unwrap();
    disk.fill();
    let failed = || running.agent.overview().outbox.stats().failed;
    let mut reports = 0;
    while failed() == 0 {
        reports += 1;
        running.account_within(1, &format!("81{reports:06}"), SILENCE);
        assert!(reports < 10_000, "the disk never fills");
    }

    let before = failed();
    let unwritten = running.accounting_datagram(1, "81999999", 0, 0, 9);
    assert!(running.send_accounting(&unwritten, SILENCE).is_none());
    assert!(failed() > before, "it was tried, and not acknowledged");
    for identifier in 0..20 {
        running.logs_in_beside(identifier);
    }
    let report = crate::doctor::fetch_status(running.agent.status())
        .await
        .unwrap();
    let report: crate::status::Report = serde_json::from_str(&report).unwrap();
    assert!(report.disk_used_percent >= Some(90), "{report}");

    disk.make_room();
    assert!(running.send_accounting(&unwritten, PATIENCE).is_some());
    running.stop().await;
    drop(disk);
}

/// What all but one of a hundred stayed below; of fewer than a hundred, all but the slowest.
fn all_but_one_of_a_hundred(mut took: Vec<Duration>) -> Duration {
    took.sort_unstable();
    let slow = took.len().div_ceil(100);
    took[took.len() - 1 - slow]
}

const LOGINS: u8 = 200;
const AT_ONCE: Duration = Duration::from_millis(50);
/// Half of what SQLite waits for a lock.
const BEFORE_A_LOCK: Duration = Duration::from_millis(2500);

impl Running {
    /// A login that is let in, sooner than anybody who waits for a lock gives up waiting (5 s); how long it took.
    fn logs_in_beside(&self, identifier: u8) -> Duration {
        let request = self.access_datagram(b"demo001", DEMO001, identifier);
        // What was late comes to another socket.
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(BEFORE_A_LOCK)).unwrap();
        let began = Instant::now();
        socket.send_to(&request, self.agent.radius_auth()).unwrap();
        let mut reply = [0; 4096];
        let length = socket.recv(&mut reply).expect("a login waits for nobody");
        let took = began.elapsed();
        let reply = client::read_answer(&reply[..length], &request, &self.secret).unwrap();
        assert_eq!(reply.code(), Some(Code::AccessAccept));
        took
    }

    fn account_within(&self, status: u8, id: &str, within: Duration) {
        let identifier: [u8; 1] = Entropy::system().bytes();
        let datagram = self.accounting_datagram(status, id, 0, 0, identifier[0]);
        self.send_accounting(&datagram, within);
    }

    /// The whole site once more, with so many customers besides.
    fn snapshot(&self, many: usize) -> FeedBatch {
        let mut words = site();
        words.routers[0].coa_port = self.router.local_addr().unwrap().port();
        let template = words.subscribers[0].clone();
        words
            .subscribers
            .extend((0..many).map(|number| SubscriberWords {
                username: format!("new{number:05}"),
                ..template.clone()
            }));
        FeedBatch {
            from: 0,
            to: 2,
            mode: FeedMode::SnapshotWhole,
            last: false,
            digests: Vec::new(),
            records: words.rows(&self.key, &Entropy::seeded(1), 2),
        }
    }
}
