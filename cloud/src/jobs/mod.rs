//! When things run: claims due work by a lease, hands it to the feature that knows it, tries again later.
//!
//! What a job does stands in its feature; here is only when. Features put work in with [`crate::due`];
//! `lib.rs` says which function does which kind.

mod http;
mod rules;
mod runner;
mod store;

use std::collections::BTreeMap;
use std::sync::Arc;

use easyisp_shared::id::TenantId;
use easyisp_shared::time::{Clock, Timestamp};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::api::{Access, Routes, routes};
use crate::db::{BoxFuture, Database, Tx};
use crate::permission::Permission::{
    CustomersCreate, PackagesAddHotspot, PackagesAddPppoe, SettingsGeneral,
};

/// The routes of `/api/jobs`: also for who sends files in and waits for them.
pub fn routes() -> Routes {
    const LOOK: Access = Access::Any(&[
        SettingsGeneral,
        CustomersCreate,
        PackagesAddPppoe,
        PackagesAddHotspot,
    ]);

    Routes::new()
        .route(LOOK, routes!(http::list))
        .route(LOOK, routes!(http::get))
}

/// Work that was claimed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Job {
    /// Whose work it is.
    pub tenant: TenantId,
    /// What it is about.
    pub subject: Uuid,
    /// How often it has failed since it last went well.
    pub attempts: u32,
    kind: &'static str,
    fence: i64,
}

impl Job {
    /// Fails the transaction when the lease was lost: a holder that slept past it must not commit.
    ///
    /// Locks the job's row, so nobody claims it before this transaction ends. Call it last: whoever changes
    /// a thing locks the thing and makes work due after, and the other way round would be a deadlock.
    pub async fn hold(&self, tx: &mut Tx) -> sqlx::Result<()> {
        if store::is_held(tx, self).await? {
            return Ok(());
        }
        Err(sqlx::Error::Protocol(format!(
            "the lease on {} was lost",
            self.kind
        )))
    }
}

/// What became of a job.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// There is nothing more to do.
    Done,
    /// Due again at this time.
    Again(Timestamp),
}

/// Does the jobs of one kind. An error is written beside the job and the job tried again, later each time.
pub type Handler =
    Arc<dyn Fn(Job, Timestamp) -> BoxFuture<'static, anyhow::Result<Outcome>> + Send + Sync>;

/// Which function does which kind of work.
#[derive(Clone, Default)]
pub struct Jobs {
    handlers: BTreeMap<&'static str, Handler>,
    at_once: Option<usize>,
}

impl Jobs {
    /// Adds the handler of `kind`.
    #[must_use]
    pub fn with<F, Fut>(mut self, kind: &'static str, handler: F) -> Jobs
    where
        F: Fn(Job, Timestamp) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = anyhow::Result<Outcome>> + Send + 'static,
    {
        let handler: Handler = Arc::new(move |job, now| Box::pin(handler(job, now)));
        self.handlers.insert(kind, handler);
        self
    }

    /// Has so many under way at once, in place of 16.
    #[must_use]
    pub fn at_once(mut self, most: usize) -> Jobs {
        self.at_once = Some(most);
        self
    }

    /// Runs due work until `stop` is cancelled; what is under way then is finished first.
    pub async fn run(self, db: Database, clock: Clock, stop: CancellationToken) {
        runner::run(self, db, clock, stop).await;
    }
}
