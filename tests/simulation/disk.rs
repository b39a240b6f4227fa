//! The box's disk, to which nothing can be written for a while.
//!
//! Triggers in the box's own files refuse what it writes: its commits fail as they do on a full or broken disk,
//! and what was written before can be read. What real disks do is proved with real ones (E1, E7, B1).

use std::path::Path;

use anyhow::Result;
use rusqlite::Connection;

/// Whether what the box writes arrives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Disk {
    /// It does.
    #[default]
    Sound,
    /// It does not.
    Faulty,
}

impl Disk {
    /// Makes the files in a folder behave so.
    pub fn apply(self, folder: &Path) -> Result<()> {
        let (outbox, cache) = match self {
            Disk::Sound => (OUTBOX_HEALS, CACHE_HEALS),
            Disk::Faulty => (OUTBOX_FAILS, CACHE_FAILS),
        };
        for (file, change) in [("outbox.db", outbox), ("cache.db", cache)] {
            let file = Connection::open(folder.join(file))?;
            file.execute_batch(change)?;
        }
        Ok(())
    }
}

/// Every job that somebody waits for writes into one of these.
const OUTBOX_FAILS: &str = "
    create trigger if not exists no_record before insert on records
        begin select raise(abort, 'the disk takes nothing'); end;
    create trigger if not exists no_forgetting before delete on records
        begin select raise(abort, 'the disk takes nothing'); end;
    create trigger if not exists no_lane before insert on lanes
        begin select raise(abort, 'the disk takes nothing'); end;
    create trigger if not exists no_lane_moves before update on lanes
        begin select raise(abort, 'the disk takes nothing'); end;
    create trigger if not exists no_mark before insert on marks
        begin select raise(abort, 'the disk takes nothing'); end;
";
const OUTBOX_HEALS: &str = "
    drop trigger if exists no_record;
    drop trigger if exists no_forgetting;
    drop trigger if exists no_lane;
    drop trigger if exists no_lane_moves;
    drop trigger if exists no_mark;
";
const CACHE_FAILS: &str = "
    create trigger if not exists no_staging before insert on staged
        begin select raise(abort, 'the disk takes nothing'); end;
    create trigger if not exists no_mark before insert on marks
        begin select raise(abort, 'the disk takes nothing'); end;
";
const CACHE_HEALS: &str = "
    drop trigger if exists no_staging;
    drop trigger if exists no_mark;
";
