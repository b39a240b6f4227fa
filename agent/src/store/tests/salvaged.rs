//! What else of a broken file is still read: how far lines were counted, and by whose clock first uses are dated.

use std::time::Duration;

use easyisp_shared::id::{CustomerId, PackageId, VoucherId};
use uuid::Uuid;

use super::*;
use crate::sessions::LineCounter;
use crate::site::Redemption;

/// The pages of the small facts are gone; what stands on others is carried over.
#[test]
fn how_far_lines_were_counted_and_what_is_dated_in_doubt_outlives_damage() {
    let dir = tempfile::tempdir().unwrap();
    let store = given_store(dir.path());
    let path = dir.path().join("outbox.db");
    let counter = LineCounter {
        router: RouterId(Uuid::from_u128(6)),
        queue: "*7".to_owned(),
        bytes_in: 1000,
        bytes_out: 20_000,
        at: at(70),
    };
    let school = CustomerId(Uuid::from_u128(9));
    let used = Redemption {
        voucher: VoucherId(Uuid::from_u128(1)),
        digest: [1; 32],
        package: PackageId(Uuid::from_u128(2)),
        bytes: None,
        from: at(50),
        until: at(3650),
        mac: None,
    };
    let written = change(
        &store.outbox,
        vec![
            Change::LineCounter(school, counter.clone()),
            Change::Redemption(Box::new(used.clone())),
            Change::Doubt(used.voucher),
        ],
    );
    assert_eq!(written, Committed::Yes);
    checkpoint(&path);
    let root = "select rootpage from sqlite_schema where name = 'marks'";
    let page: usize = Connection::open(&path)
        .unwrap()
        .query_row(root, [], |row| row.get(0))
        .unwrap();
    close(store);
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[(page - 1) * 4096..page * 4096].fill(0xA5);
    std::fs::write(&path, bytes).unwrap();

    let store = Store::open(dir.path(), &Entropy::seeded(2), || {}).unwrap();
    assert_eq!(store.moved_aside.len(), 1);
    assert_eq!(store.reader.line_counters().unwrap(), [(school, counter)]);
    // The cloud tells the time, and moves what is in doubt.
    let by = Duration::from_secs(86_400);
    let (done, redated) = std::sync::mpsc::channel();
    let job = Job::Redate {
        by,
        done: Box::new(move |outcome| done.send(outcome).unwrap()),
    };
    assert!(store.outbox.submit(job).is_ok());
    assert_eq!(redated.recv().unwrap(), Committed::Yes);
    let moved = store.reader.redemptions().unwrap();
    assert_eq!(moved[0].from, used.from.plus(by));
    close(store);
}
