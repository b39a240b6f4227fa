//! Where seeds are lived through, one after the other.

use std::marker::PhantomData;
use std::time::Duration;

use anyhow::Result;
use easyisp_tests::kept::KeptDatabase;
use tokio::runtime::{Builder, Runtime};

use crate::Life;

/// A thread's runtime, and a database whose connections stay open.
///
/// Every life begins without rows, with a world, a cloud and a box of its own.
pub struct Stage<L> {
    runtime: Runtime,
    database: KeptDatabase,
    lives: u32,
    of: PhantomData<L>,
}

impl<L: Life> Stage<L> {
    /// One that nobody was on.
    pub fn set() -> Result<Stage<L>> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let database = runtime.block_on(L::database())?;
        Ok(Stage {
            runtime,
            database,
            lives: 0,
            of: PhantomData,
        })
    }

    /// Lives through a seed. When that fails, the stage is to be abandoned.
    pub fn attempt(&mut self, seed: u64, steps: usize, trace: &mut Vec<String>) -> Result<()> {
        let Stage {
            runtime,
            database,
            lives,
            of: _,
        } = self;
        *lives += 1;
        runtime.block_on(async {
            let mut life = L::begin(seed, database).await?;
            let outcome = life.run(steps).await;
            *trace = life.take_trace();
            let ended = life.end().await;
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

/// Lives in one database.
const LIVES: u32 = 100;
