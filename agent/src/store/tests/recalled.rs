//! First uses of vouchers in a file that broke.

use easyisp_shared::id::{PackageId, VoucherId};
use easyisp_shared::wire::Up;
use easyisp_shared::wire::up::RedemptionV1;
use uuid::Uuid;

use super::*;
use crate::radius::login_log::record;
use crate::site::{Recalled, Redemption};

/// V5: the page of first uses is gone, or the log's piece with them. What the cloud is to hear of them, or has heard,
/// says that they were made.
#[test]
fn a_first_use_that_is_lost_is_known_by_its_record() {
    for (in_log, acknowledged) in [(false, false), (false, true), (true, false)] {
        let dir = tempfile::tempdir().unwrap();
        let store = given_store(dir.path());
        let path = dir.path().join("outbox.db");
        checkpoint(&path);
        assert_eq!(change(&store.outbox, vec![spent()]), Committed::Yes);
        let told = record(&told(), used().from);
        assert_eq!(
            change(&store.outbox, vec![Change::Record(told)]),
            Committed::Yes
        );
        if acknowledged {
            acknowledge(&store.outbox, 1);
        }
        if !in_log {
            checkpoint(&path);
        }
        // As a power cut leaves them: nothing closes in order.
        let cut = tempfile::tempdir().unwrap();
        for name in ["outbox.db", "outbox.db-wal"] {
            std::fs::copy(dir.path().join(name), cut.path().join(name)).unwrap();
        }
        let page = root_of_uses(&path);
        close(store);
        let dir = cut;
        let path = dir.path().join("outbox.db");
        match in_log {
            true => {
                let log = dir.path().join("outbox.db-wal");
                let mut bytes = std::fs::read(&log).unwrap();
                bytes[32 + 24 + 100] ^= 0xFF; // the first page of the log
                std::fs::write(&log, bytes).unwrap();
            }
            false => {
                let mut bytes = std::fs::read(&path).unwrap();
                bytes[(page - 1) * 4096..page * 4096].fill(0xA5);
                std::fs::write(&path, bytes).unwrap();
            }
        }

        for _ in 0..2 {
            let store = Store::open(dir.path(), &Entropy::seeded(2), || {}).unwrap();
            assert_eq!(store.reader.redemptions().unwrap(), []);
            let recalled = store.reader.recalled().unwrap();
            let expected = Recalled {
                voucher: used().voucher,
                from: used().from,
                mac: used().mac,
            };
            assert_eq!(
                recalled,
                [expected],
                "in_log {in_log}, acknowledged {acknowledged}"
            );
            close(store);
        }
    }
}

fn used() -> Redemption {
    Redemption {
        voucher: VoucherId(Uuid::from_u128(1)),
        digest: [1; 32],
        package: PackageId(Uuid::from_u128(2)),
        bytes: None,
        from: at(50),
        until: at(3650),
        mac: Some(Mac::new([2, 0, 0, 0, 0, 1])),
    }
}

fn spent() -> Change {
    Change::Redemption(Box::new(used()))
}

fn told() -> Up {
    Up::Redemption(RedemptionV1 {
        voucher: used().voucher,
        at: used().from,
        router: RouterId(Uuid::from_u128(6)),
        mac: used().mac,
    })
}

fn root_of_uses(path: &Path) -> usize {
    let outside = Connection::open(path).unwrap();
    let root = "select rootpage from sqlite_schema where name = 'redemptions'";
    outside.query_row(root, [], |row| row.get(0)).unwrap()
}
