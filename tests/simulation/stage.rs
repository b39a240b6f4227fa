//! Where seeds are lived through, one after the other.

use std::time::Duration;

use anyhow::Result;
use easyisp_tests::kept::KeptDatabase;
use tokio::runtime::{Builder, Runtime};

use crate::turmoil::Turmoil;

/// A thread's runtime, and a database whose connections stay open.
///
/// Every life begins without rows, with a world, a cloud and a box of its own.
pub struct Stage {
    runtime: Runtime,
    database: KeptDatabase,
    lives: u32,
}

impl Stage {
    /// One that nobody was on.
    pub fn set() -> Result<Stage> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let database = runtime.block_on(KeptDatabase::open(CONNECTIONS))?;
        Ok(Stage {
            runtime,
            database,
            lives: 0,
        })
    }

    /// Lives through a seed. When that fails, the stage is to be abandoned.
    pub fn attempt(&mut self, seed: u64, steps: usize, trace: &mut Vec<String>) -> Result<()> {
        let Stage {
            runtime,
            database,
            lives,
        } = self;
        *lives += 1;
        runtime.block_on(async {
            let mut turmoil = Turmoil::begin(seed, database).await?;
            let outcome = turmoil.run(steps).await;
            *trace = std::mem::take(&mut turmoil.trace);
            let ended = turmoil.end().await;
            outcome?;
            ended?;
            database.empty().await
        })
    }

    /// Whether removed rows slow it down by now.
    pub fn is_worn(&self) -> bool {
        self.lives >= LIVES
    }

    /// Cuts off whatever still runs on it.
    pub fn abandon(self) {
        let Stage {
            runtime, database, ..
        } = self;
        runtime.shutdown_timeout(Duration::from_secs(5));
        drop(database);
    }

    /// Closes the database.
    pub fn end(self) -> Result<()> {
        self.runtime.block_on(self.database.close())?;
        self.runtime.shutdown_timeout(Duration::from_secs(5));
        Ok(())
    }
}

/// Each plans its statements for itself.
const CONNECTIONS: u32 = 4;
/// Lives in one database.
const LIVES: u32 = 100;
