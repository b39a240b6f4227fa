#![expect(clippy::unwrap_used, reason = "tests")]

use std::sync::mpsc;

use easyisp_shared::id::RouterId;
use easyisp_shared::ipv6::Prefixes;
use easyisp_shared::net::Mac;
use easyisp_shared::time::Timestamp;
use easyisp_shared::unlock::Grant;
use easyisp_shared::wire::DownRecord;
use rusqlite::Connection;

use super::*;
use crate::sessions::{Cause, Closed, LOST_REMEMBERED_FOR, Service, Session, SessionKey};
use crate::site::description::customer_id;
use crate::site::{Bind, Unlocked};

pub(crate) mod disk;
mod recalled;
mod salvaged;

#[test]
fn a_write_is_answered_after_commit_and_found_after_reopening() {
    let dir = tempfile::tempdir().unwrap();
    let store = given_store(dir.path());
    let id = store.outbox.id();

    assert_eq!(write(&store.outbox, b"one"), Committed::Yes);
    assert_eq!(write(&store.outbox, b"two"), Committed::Yes);
    close(store);

    let store = given_store(dir.path());
    let kept = store.reader.records(LANE, 0, 10, 1000).unwrap();
    assert_eq!(kept.iter().map(|kept| kept.seq).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(store.outbox.id(), id);
    assert_eq!(
        store.reader.sessions(at(0)).unwrap(),
        [session(b"one"), session(b"two")]
    );
    close(store);
}

/// A failed commit is never told as success, takes no sequence, and heals by itself.
#[test]
fn a_failed_commit_says_no_and_leaves_no_hole() {
    let dir = tempfile::tempdir().unwrap();
    let store = given_store(dir.path());
    let outside = Connection::open(dir.path().join("outbox.db")).unwrap();

    assert_eq!(write(&store.outbox, b"one"), Committed::Yes);
    outside
        .execute_batch(
            "create trigger broken before insert on records begin select raise(abort, 'disk'); end",
        )
        .unwrap();
    assert_eq!(write(&store.outbox, b"two"), Committed::No);
    assert!(store.outbox.stats().failing);
    outside.execute_batch("drop trigger broken").unwrap();
    assert_eq!(write(&store.outbox, b"three"), Committed::Yes);
    assert!(!store.outbox.stats().failing);

    let kept = store.reader.records(LANE, 0, 10, 1000).unwrap();
    assert_eq!(kept.iter().map(|kept| kept.seq).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(store.outbox.stats().failed, 1);
    close(store);
}

/// What one write says that cannot be written is no reason to lose those it is committed with.
#[test]
fn a_write_that_cannot_stand_takes_no_other_with_it() {
    let dir = tempfile::tempdir().unwrap();
    let store = given_store(dir.path());
    let outside = Connection::open(dir.path().join("outbox.db")).unwrap();
    outside
        .execute_batch(
            "create trigger picky before insert on records when new.body = cast('two' as blob)
                 begin select raise(abort, 'not this one'); end",
        )
        .unwrap();
    store.outbox.save_wear(); // so that they are one batch

    let fates = ["one", "two", "three"].map(|body| {
        let (done, fate) = mpsc::channel();
        let record = Record {
            lane: LANE,
            kind: 1,
            body: body.into(),
            at: at(50),
        };
        let write = Write {
            changes: vec![Change::Record(record)],
            urgency: Urgency::Kept,
            done: Box::new(move |committed| done.send(committed).unwrap()),
        };
        store.outbox.submit(Job::Write(write)).unwrap();
        fate
    });
    let fates = fates.map(|fate| fate.recv().unwrap());
    assert_eq!(fates, [Committed::Yes, Committed::No, Committed::Yes]);
    let kept = store.reader.records(LANE, 0, 10, 1000).unwrap();
    assert_eq!(kept.iter().map(|kept| kept.seq).collect::<Vec<_>>(), [1, 2]);
    close(store);
}

#[test]
fn acknowledged_records_stay_until_pruned_and_their_sequences_never_return() {
    let dir = tempfile::tempdir().unwrap();
    let store = given_store(dir.path());
    for body in [b"one", b"two"] {
        write(&store.outbox, body);
    }
    assert_eq!(store.reader.waiting(LANE).unwrap(), 2);

    let forget = |seqs| store.outbox.submit(Job::Forget { lane: LANE, seqs });
    forget(vec![1, 2]).unwrap(); // nobody has them yet
    write(&store.outbox, b"3rd");
    assert_eq!(store.reader.records(LANE, 0, 10, 1000).unwrap().len(), 3);

    acknowledge(&store.outbox, 999); // more than was ever written
    assert_eq!(store.reader.acknowledged(LANE).unwrap(), 3);
    assert_eq!(store.reader.records(LANE, 0, 10, 1000).unwrap().len(), 3);

    store
        .outbox
        .submit(Job::Prune {
            records_before: at(1000),
            sessions_before: at(1000),
        })
        .unwrap();
    write(&store.outbox, b"new");
    close(store);

    let store = given_store(dir.path());
    write(&store.outbox, b"5th");
    let kept = store.reader.records(LANE, 0, 10, 1000).unwrap();
    assert_eq!(kept.iter().map(|kept| kept.seq).collect::<Vec<_>>(), [4, 5]);
    close(store);
}

/// A card that was put back: what comes next would have sequences that the cloud has already.
#[test]
fn a_file_that_wrote_less_than_the_cloud_has_goes_on_under_another_name() {
    let dir = tempfile::tempdir().unwrap();
    let store = given_store(dir.path());
    let compare = |mark| {
        let (told, fate) = mpsc::channel();
        let done: Done = Box::new(move |fate| told.send(fate).unwrap());
        let marks = vec![(LANE, mark)];
        store.outbox.submit(Job::Compare { marks, done }).unwrap();
        assert_eq!(fate.recv().unwrap(), Committed::Yes);
        store.outbox.id()
    };
    let id = store.outbox.id();
    write(&store.outbox, b"one");
    write(&store.outbox, b"two");
    assert_eq!(
        (compare(0), compare(2)),
        (id, id),
        "the cloud has what was written"
    );
    let another = compare(3);
    assert_ne!(another, id);
    assert_eq!(compare(0), another, "once is enough");
    assert_eq!(store.reader.records(LANE, 0, 10, 1000).unwrap().len(), 2);
    close(store);
    let store = given_store(dir.path());
    assert_eq!(store.outbox.id(), another);
    close(store);
}

/// E6: two processes on one set of files would both be right and both be wrong.
#[test]
fn a_second_opening_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let store = given_store(dir.path());

    let second = Store::open(dir.path(), &Entropy::seeded(2), || {});
    assert!(matches!(second, Err(StoreError::InUse(_))));
    close(store);
    close(given_store(dir.path()));
}

/// E2: whatever a power cut or a worn card left of a file, the site serves again with what can be had: the
/// cache from its last good copy, with no cloud; the outbox with every report whose octets are still there,
/// and none that is not what was written.
#[test]
fn of_damaged_files_everything_that_is_still_there_is_saved() {
    let damages = [
        (flip as fn(&mut Vec<u8>), 60),
        (truncate, 4),
        (zero, 4),
        (behead, 4),
    ];
    for (damage, lost) in damages {
        for in_log in [false, true] {
            let dir = tempfile::tempdir().unwrap();
            let store = given_store(dir.path());
            for number in 0..300 {
                let record = Record {
                    lane: LANE,
                    kind: 1,
                    body: report(number),
                    at: at(50),
                };
                submit(&store.outbox, None, Some(record));
            }
            let before = store.outbox.id();
            let file = if in_log { "outbox.db-wal" } else { "outbox.db" };
            if !in_log {
                checkpoint(&dir.path().join("outbox.db"));
            }
            // As a power cut leaves them: nothing closes in order.
            let cut = tempfile::tempdir().unwrap();
            for name in ["outbox.db", "outbox.db-wal"] {
                std::fs::copy(dir.path().join(name), cut.path().join(name)).unwrap();
            }
            close(store);
            let dir = cut;
            let left = damaged(&dir.path().join(file), damage);

            let store = Store::open(dir.path(), &Entropy::seeded(2), || {}).unwrap();
            let kept = store.reader.records(LANE, 0, 1000, usize::MAX).unwrap();
            for kept in &kept {
                assert_eq!(
                    kept.record.body,
                    report(kept.seq as usize - 1),
                    "as written"
                );
            }
            let starts = (0..left.len()).filter(|at| left[*at..].starts_with(b"report "));
            let starts: Vec<usize> = starts.collect();
            let there = |number: &usize| {
                let octets = report(*number);
                starts.iter().any(|at| left[*at..].starts_with(&octets))
            };
            let there = (0..300).filter(there).count();
            // A report whose own octets are whole may have lost its head or its proof.
            assert!(kept.len() + lost >= there, "{} of {there}", kept.len());
            println!("{file}: {} of 300 reports saved, {there} there", kept.len());
            if in_log || !store.moved_aside.is_empty() {
                assert_ne!(store.outbox.id(), before, "another file has another name");
            }
            assert_eq!(write(&store.outbox, b"new"), Committed::Yes);
            close(store);
        }
    }
}

#[test]
fn a_damaged_cache_is_replaced_by_its_copy_or_begun_again() {
    for damage in [flip as fn(&mut Vec<u8>), truncate, zero, behead] {
        for has_copy in [false, true] {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("cache.db");
            let mut store = given_store(dir.path());
            let rows: Vec<DownRecord> = (0..200).map(|id| row(id, 1, Some(&[7; 200]))).collect();
            store.cache.apply(rows.clone(), 1).unwrap();
            if has_copy {
                copy::keep(&path).unwrap();
            }
            store
                .cache
                .apply(vec![row(201, 2, Some(b"later"))], 2)
                .unwrap();
            close(store);
            checkpoint(&path);
            damaged(&path, damage);

            let store = given_store(dir.path());
            assert_eq!(store.moved_aside, [dir.path().join("cache.db.damaged-1")]);
            match has_copy {
                true => {
                    assert_eq!(held(&store.cache), rows);
                    assert_eq!(
                        store.cache.position().cursor,
                        1,
                        "the link asks for the rest"
                    );
                }
                false => assert_eq!(held(&store.cache), []),
            }
            close(store);
        }
    }
}

/// A power cut that leaves nothing of the cache leaves its copy.
#[test]
fn a_lost_cache_is_its_copy() {
    for is_there in [true, false] {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("cache.db");
        let mut store = given_store(dir.path());
        let rows: Vec<DownRecord> = (0..20).map(|id| row(id, 1, Some(&[7; 200]))).collect();
        store.cache.apply(rows.clone(), 1).unwrap();
        copy::keep(&path).unwrap();
        close(store);
        match is_there {
            true => drop(File::create(&path).unwrap()),
            false => std::fs::remove_file(&path).unwrap(),
        }

        let store = given_store(dir.path());
        assert_eq!(held(&store.cache), rows);
        close(store);
    }
}

/// What a worn card made of a report is told to nobody: better missing than wrong.
#[test]
fn a_report_that_is_not_what_was_written_is_left_out() {
    let dir = tempfile::tempdir().unwrap();
    let store = given_store(dir.path());
    for body in [b"one", b"two"] {
        write(&store.outbox, body);
    }
    let outside = Connection::open(dir.path().join("outbox.db")).unwrap();
    outside
        .execute(
            "update records set body = cast('0ne' as blob) where seq = 1",
            [],
        )
        .unwrap();
    let kept = store.reader.records(LANE, 0, 10, 1000).unwrap();
    assert_eq!(kept.iter().map(|kept| kept.seq).collect::<Vec<_>>(), [2]);
    close(store);
}

/// E6: a copy is looked at after it was written: what went wrong with the file meanwhile takes the last good one from
/// nobody.
#[test]
fn a_file_that_goes_bad_does_not_take_the_copys_place() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("cache.db");
    let mut store = given_store(dir.path());
    let rows: Vec<DownRecord> = (0..200).map(|id| row(id, 1, Some(&[7; 200]))).collect();
    store.cache.apply(rows.clone(), 1).unwrap();
    copy::keep(&path).unwrap();
    store
        .cache
        .apply(vec![row(201, 2, Some(b"later"))], 2)
        .unwrap();
    let outside = Connection::open(&path).unwrap();
    outside
        .execute("update feed set body = x'00' where version = 1", [])
        .unwrap();
    drop(outside);

    let kept = copy::keep(&path);
    assert!(matches!(kept, Err(StoreError::Damaged(_))), "{kept:?}");
    close(store);
    let store = given_store(dir.path());
    assert_eq!(held(&store.cache), rows);
    close(store);
}

fn report(number: usize) -> Vec<u8> {
    format!("report {number:05} {}", "of what was used ".repeat(8)).into_bytes()
}

/// Damages a file; what is left of it.
fn damaged(path: &Path, damage: fn(&mut Vec<u8>)) -> Vec<u8> {
    let mut bytes = std::fs::read(path).unwrap();
    damage(&mut bytes);
    std::fs::write(path, &bytes).unwrap();
    bytes
}

fn checkpoint(path: &Path) {
    let outside = Connection::open(path).unwrap();
    outside
        .query_row("pragma wal_checkpoint(truncate)", [], |_| Ok(()))
        .unwrap();
}

#[expect(clippy::ptr_arg, reason = "one type for every kind of damage")]
fn flip(bytes: &mut Vec<u8>) {
    for at in (100..bytes.len()).step_by(1999) {
        bytes[at] ^= 0xFF;
    }
}

fn truncate(bytes: &mut Vec<u8>) {
    bytes.truncate(bytes.len() / 2 + 100);
}

/// Whole pages in the middle.
#[expect(clippy::ptr_arg, reason = "one type for every kind of damage")]
fn zero(bytes: &mut Vec<u8>) {
    let third = bytes.len() / 3;
    bytes[third..2 * third].fill(0);
}

/// The first page says where everything is.
#[expect(clippy::ptr_arg, reason = "one type for every kind of damage")]
fn behead(bytes: &mut Vec<u8>) {
    bytes[..4096].fill(0);
}

/// A file that breaks while it is used is begun again at the next start, also where that sees nothing of it.
#[test]
fn a_file_that_breaks_in_use_is_mended_by_the_next_start() {
    let dir = tempfile::tempdir().unwrap();
    let store = given_store(dir.path());
    assert_eq!(write(&store.outbox, b"one"), Committed::Yes);
    let (customer, mac) = (customer_id("demo001"), Mac::new([2, 0, 0, 0, 0, 1]));
    let bind = Bind {
        customer,
        mac,
        instead_of: None,
        at: at(5),
    };
    let unlocked = Unlocked {
        grant: Grant {
            customer,
            hour: 7,
            hours: 1,
            serial: 0,
        },
        until: at(3600),
    };
    let facts = vec![
        Change::Bind(bind),
        Change::Unlock(unlocked),
        Change::Device(customer, mac, at(5)),
    ];
    assert_eq!(change(&store.outbox, facts), Committed::Yes);
    let outside = Connection::open(dir.path().join("outbox.db")).unwrap();
    outside
        .execute_batch(
            "pragma writable_schema = on;
             create temp table whole as select sql from sqlite_schema where name = 'records';
             update sqlite_schema set sql = 'create nonsense' where name = 'records';
             pragma schema_version = 4711;",
        )
        .unwrap();
    assert_eq!(write(&store.outbox, b"two"), Committed::No);
    assert!(store.outbox.stats().damaged);
    outside
        .execute_batch(
            "update sqlite_schema set sql = (select sql from whole) where name = 'records';
             pragma schema_version = 4712;",
        )
        .unwrap();
    drop(outside);
    close(store);

    let store = given_store(dir.path());
    assert_eq!(store.moved_aside, [dir.path().join("outbox.db.damaged-1")]);
    assert_eq!(store.reader.records(LANE, 0, 10, 1000).unwrap().len(), 1);
    assert_eq!(store.reader.binds().unwrap(), [bind]);
    assert_eq!(
        store.reader.unlocks().unwrap(),
        [unlocked],
        "no code is used twice"
    );
    assert_eq!(store.reader.devices().unwrap(), [(customer, mac, at(5))]);
    assert_eq!(write(&store.outbox, b"two"), Committed::Yes);
    assert!(!store.outbox.stats().damaged);
    close(store);
    let store = given_store(dir.path());
    assert_eq!(store.moved_aside, [] as [PathBuf; 0]);
    close(store);
}

/// A file that would lose data quietly is refused, by name.
#[test]
fn a_weakened_pragma_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("outbox.db");
    let connection = open::open(&path, Durability::Normal, OUTBOX).unwrap();
    let refused = open::assert_pragmas(&connection, &path, Durability::Full);
    assert!(matches!(
        refused,
        Err(StoreError::Pragma {
            name: "synchronous",
            ..
        })
    ));
    connection.pragma_update(None, "busy_timeout", 1).unwrap();
    let refused = open::assert_pragmas(&connection, &path, Durability::Normal);
    assert!(matches!(
        refused,
        Err(StoreError::Pragma {
            name: "busy_timeout",
            ..
        })
    ));
    // What cannot have a log at all stands for every file that runs otherwise than it must.
    let nowhere = Path::new(":memory:");
    let opened = open::open(nowhere, Durability::Full, OUTBOX).map(|_| ());
    for refused in [opened, open::inspect(nowhere).map(|_| ())] {
        assert!(matches!(
            refused,
            Err(StoreError::Pragma {
                name: "journal_mode",
                ..
            })
        ));
    }
}

/// E5: SQLite before 3.51.3 could lose commits when it reset its log: with such a one linked no file is
/// touched, neither to serve nor to look.
#[test]
fn an_sqlite_with_the_log_reset_bug_opens_nothing() {
    assert!(rusqlite::version_number() >= 3_051_003);
    let dir = tempfile::tempdir().unwrap();
    let started = Store::open_by(3_051_002, dir.path(), &Entropy::seeded(1), || {});
    assert!(matches!(started, Err(StoreError::OldSqlite(_))));
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);

    close(Store::open_by(3_051_003, dir.path(), &Entropy::seeded(1), || {}).unwrap());
    let path = dir.path().join("outbox.db");
    let looked = inspect_by(3_051_002, &path);
    assert!(matches!(looked, Err(StoreError::OldSqlite(_))));
    assert!(inspect(&path).unwrap().is_some());
}

/// D5: what was wanted later holds, in whatever order it arrives and however often.
#[test]
fn older_versions_and_repeats_change_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = given_store(dir.path());
    let newer = row(1, 5, Some(b"newer"));

    assert_eq!(store.cache.apply(vec![newer.clone()], 5).unwrap().len(), 1);
    let stale = vec![newer.clone(), row(1, 4, Some(b"older")), row(1, 5, None)];
    assert_eq!(store.cache.apply(stale, 5).unwrap(), []);
    assert_eq!(held(&store.cache), [newer]);
    assert_eq!(store.cache.position().cursor, 5);

    assert_eq!(
        store.cache.apply(vec![row(1, 6, None)], 6).unwrap().len(),
        1
    );
    assert_eq!(held(&store.cache), []);
    close(store);
}

/// D4: what a snapshot does not name is gone; what it repeats is not touched.
#[test]
fn a_snapshot_replaces_and_reports_only_differences() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = given_store(dir.path());
    let same = row(1, 1, Some(b"same"));
    let first = vec![
        same.clone(),
        row(2, 1, Some(b"old")),
        row(3, 1, Some(b"gone")),
    ];
    store.cache.apply(first, 1).unwrap();

    store
        .cache
        .stage(Snapshot::First, &[row(9, 9, Some(b"abandoned"))])
        .unwrap();
    store
        .cache
        .stage(Snapshot::First, std::slice::from_ref(&same))
        .unwrap();
    store
        .cache
        .stage(Snapshot::More, &[row(2, 2, Some(b"new"))])
        .unwrap();
    let to = CachePosition {
        epoch: uuid::Uuid::from_u128(7),
        cursor: 2,
    };
    let changed = store.cache.replace(to).unwrap();

    assert_eq!(changed, [row(3, 1, None), row(2, 2, Some(b"new"))]);
    assert_eq!(held(&store.cache), [same, row(2, 2, Some(b"new"))]);
    let digest = store.cache.digest(1);
    close(store);

    let mut store = given_store(dir.path());
    assert_eq!(
        (store.cache.position(), store.cache.digest(1)),
        (to, digest)
    );
    store.cache.apply(vec![row(4, 3, Some(b"x"))], 3).unwrap();
    assert_ne!(store.cache.digest(1), digest);
    store.cache.apply(vec![row(4, 4, None)], 4).unwrap();
    assert_eq!(store.cache.digest(1), digest);
    close(store);
}

#[test]
fn a_full_queue_sheds_logs_first_then_interims() {
    let queue = group::Queue::new();
    let job = |urgency| {
        Job::Write(Write {
            changes: Vec::new(),
            urgency,
            done: Box::new(|_| {}),
        })
    };
    let taken = |urgency| {
        let taken = std::iter::from_fn(|| queue.push(job(urgency)).ok());
        taken.count()
    };
    let each = [Urgency::Log, Urgency::Interim, Urgency::Kept].map(taken);
    assert_eq!(each, [1024, 2048, 1024]);
}

#[test]
fn a_session_survives_with_every_field() {
    let dir = tempfile::tempdir().unwrap();
    let store = given_store(dir.path());
    let full = Session {
        customer: Some(uuid::Uuid::from_u128(7).into()),
        mac: Some(easyisp_shared::net::Mac::new([1, 2, 3, 4, 5, 6])),
        framed_ip: Some([10, 0, 0, 7].into()),
        prefixes: ["2001:db8:1::/64", "2001:db8:900::/56"]
            .iter()
            .filter_map(|net| net.parse().ok())
            .collect(),
        bytes_in: 17 << 40,
        closed: Some(Closed {
            at: at(90),
            cause: Cause::Lost,
        }),
        ..session(b"full")
    };
    submit(&store.outbox, Some(full.clone()), None);

    assert_eq!(
        store.reader.sessions(at(90)).unwrap(),
        std::slice::from_ref(&full)
    );
    let given_up = store.reader.sessions(at(91)).unwrap();
    assert_eq!(given_up, std::slice::from_ref(&full));
    let days_later = at(91).plus(LOST_REMEMBERED_FOR);
    assert_eq!(store.reader.sessions(days_later).unwrap(), []);
    for (before, stays) in [(at(91), true), (days_later, false)] {
        let prune = Job::Prune {
            records_before: at(0),
            sessions_before: before,
        };
        store.outbox.submit(prune).unwrap();
        write(&store.outbox, b"other");
        let known = store.reader.sessions(at(91)).unwrap();
        assert_eq!(known.contains(&full), stays);
    }
    close(store);
}

/// A session that is to end may come back while it is given up only; with the session that is forgotten too.
#[test]
fn a_cut_is_owed_until_the_stop() {
    let dir = tempfile::tempdir().unwrap();
    let store = given_store(dir.path());
    let ended = |cause| Some(Closed { at: at(90), cause });
    let all: [(&[u8], Option<Closed>); 3] = [
        (b"open", None),
        (b"lost", ended(Cause::Lost)),
        (b"over", ended(Cause::Router(1))),
    ];
    for (name, closed) in all {
        let session = Session {
            closed,
            ..session(name)
        };
        let owed = Change::OwedCut(session.key.clone());
        submit(&store.outbox, Some(session), None);
        assert_eq!(change(&store.outbox, vec![owed]), Committed::Yes);
    }
    let owed = || {
        let keys = store.reader.owed_cuts().unwrap().into_iter();
        let mut names: Vec<Vec<u8>> = keys.map(|key| key.acct_session_id.into_vec()).collect();
        names.sort();
        names
    };
    assert_eq!(owed(), [b"lost".to_vec(), b"open".to_vec()]);
    let rows = || {
        let count = "select count(*) from owed_cuts";
        let file = Connection::open(dir.path().join("outbox.db")).unwrap();
        file.query_row(count, [], |row| row.get::<_, u64>(0))
            .unwrap()
    };
    let days_later = at(91).plus(LOST_REMEMBERED_FOR);
    // What is owed goes with the next round.
    for (before, left) in [(at(91), 3), (days_later, 2), (days_later, 1)] {
        let prune = Job::Prune {
            records_before: at(0),
            sessions_before: before,
        };
        store.outbox.submit(prune).unwrap();
        write(&store.outbox, b"other");
        assert_eq!(rows(), left);
    }
    assert_eq!(owed(), [b"open".to_vec()]);
    close(store);
}

const LANE: u8 = 1;

fn given_store(dir: &Path) -> Store {
    Store::open(dir, &Entropy::seeded(1), || {}).unwrap()
}

fn close(store: Store) {
    let (_, _, _, guard) = store.split();
    guard.close();
}

fn at(secs: i64) -> Timestamp {
    Timestamp::from_secs(secs)
}

fn write(outbox: &Outbox, body: &[u8]) -> Committed {
    let record = Record {
        lane: LANE,
        kind: 1,
        body: body.to_vec(),
        at: at(50),
    };
    submit(outbox, Some(session(body)), Some(record))
}

fn submit(outbox: &Outbox, session: Option<Session>, record: Option<Record>) -> Committed {
    let session = session.map(|session| Change::Session(Box::new(session)));
    let changes = session.into_iter().chain(record.map(Change::Record));
    change(outbox, changes.collect())
}

fn change(outbox: &Outbox, changes: Vec<Change>) -> Committed {
    let (done, answer) = mpsc::channel();
    let done: Done = Box::new(move |committed| done.send(committed).unwrap());
    let write = Write {
        changes,
        urgency: Urgency::Kept,
        done,
    };
    outbox.submit(Job::Write(write)).unwrap();
    answer.recv().unwrap()
}

fn acknowledge(outbox: &Outbox, seq: u64) {
    let (done, answer) = mpsc::channel();
    let done: Done = Box::new(move |committed| done.send(committed).unwrap());
    outbox
        .submit(Job::Acknowledge {
            lane: LANE,
            seq,
            done,
        })
        .unwrap();
    assert_eq!(answer.recv().unwrap(), Committed::Yes);
}

fn session(name: &[u8]) -> Session {
    Session {
        key: SessionKey {
            router: RouterId(uuid::Uuid::from_u128(1)),
            acct_session_id: name.into(),
            class: b"cookie".as_slice().into(),
        },
        customer: None,
        username: name.into(),
        service: Service::Ppp,
        mac: None,
        framed_ip: None,
        prefixes: Prefixes::default(),
        port: b"ether1".as_slice().into(),
        started_at: at(10),
        seen_at: at(20),
        secs: 10,
        bytes_in: 1,
        bytes_out: 2,
        bytes_free: 0,
        grant: None,
        closed: None,
    }
}

fn row(id: u8, version: u64, body: Option<&[u8]>) -> DownRecord {
    DownRecord {
        kind: 1,
        id: uuid::Uuid::from_u128(id.into()),
        version,
        body: body.map(<[u8]>::to_vec),
    }
}

fn held(cache: &Cache) -> Vec<DownRecord> {
    let mut rows = Vec::new();
    cache.for_each(|row| rows.push(row)).unwrap();
    rows
}
