//! A disk that is full.

use std::io::Write as _;
use std::process::{Command, Stdio};

use super::*;

/// E1: a full disk costs answers, never a wrong one: the reserve is given up first, then what the cloud has,
/// never what it has not; and it heals without a restart.
#[test]
fn a_full_disk_is_silence_until_there_is_room() {
    let Some(disk) =
        SmallDisk::mount("store::tests::disk::a_full_disk_is_silence_until_there_is_room")
    else {
        return;
    };
    let dir = disk.path().to_owned();
    let store = given_store(&dir);
    for _ in 0..HEARD {
        assert_eq!(write(&store.outbox, &[1; 4000]), Committed::Yes);
    }
    acknowledge(&store.outbox, HEARD);
    space::Reserve::new(&dir).keep();
    assert!(dir.join("reserve").exists());
    disk.fill();

    let mut written = 0;
    while dir.join("reserve").exists() {
        let room = write(&store.outbox, &[2; 4000]);
        assert_eq!(room, Committed::Yes, "the reserve made room");
        written += 1;
        assert!(written < 1000, "the disk never fills");
    }
    let kept = store.reader.records(LANE, 0, 10_000, usize::MAX).unwrap();
    let sequences: Vec<u64> = kept.iter().map(|kept| kept.seq).collect();
    let unheard: Vec<u64> = (HEARD + 1..=HEARD + written).collect();
    assert_eq!(sequences, unheard, "what the cloud has makes room");

    while write(&store.outbox, &[2; 4000]) == Committed::Yes {
        written += 1;
        assert!(written < 10_000, "the disk never fills");
    }
    disk.make_room();
    assert_eq!(write(&store.outbox, &[2; 4000]), Committed::Yes);
    let kept = store.reader.records(LANE, 0, 10_000, usize::MAX).unwrap();
    assert_eq!(kept.len() as u64, written + 1);
    close(store);
}

const HEARD: u64 = 50;

/// A file system of 8 MiB in memory.
pub(crate) struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    /// Mounts one. Who may not is sent into a namespace of his own, where `test` runs by itself: `None` once
    /// it has passed there.
    pub(crate) fn mount(test: &str) -> Option<SmallDisk> {
        let dir = tempfile::tempdir().unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=8m", "tmpfs"])
            .arg(dir.path())
            .stderr(Stdio::null())
            .status();
        if mounted.is_ok_and(|status| status.success()) {
            return Some(SmallDisk(dir));
        }
        assert!(
            std::env::var_os(INSIDE).is_none(),
            "a small disk can be mounted in a namespace"
        );
        let there = Command::new("unshare")
            .args(["--user", "--map-root-user", "--mount", "--"])
            .arg(std::env::current_exe().unwrap())
            .args(["--exact", test, "--nocapture"])
            .env(INSIDE, "1")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&there.stdout);
        assert!(
            there.status.success() && said.contains("1 passed"),
            "a full disk needs root, or namespaces of users: {said}{}",
            String::from_utf8_lossy(&there.stderr)
        );
        None
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    /// Leaves no room at all.
    pub(crate) fn fill(&self) {
        let mut file = File::create(self.0.path().join("ballast")).unwrap();
        while file.write_all(&[1; 4096]).is_ok() {}
    }

    pub(crate) fn make_room(&self) {
        std::fs::remove_file(self.0.path().join("ballast")).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg("-l").arg(self.0.path()).status();
        assert!(unmounted.is_ok_and(|status| status.success()));
    }
}

const INSIDE: &str = "EASYISP_TEST_IN_NAMESPACE";
