//! Has a configuration begun and waits for its end: as long as a request may, and no longer. What was begun goes on,
//! whoever still waits for it, and leaves no router claimed.

use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::super::plan::{Stage, Tested};
use super::super::rules::Chosen;
use super::super::{run, store};
use super::configure::Configured;
use super::hands::Hands;
use super::last;
use crate::error::ApiError;
use crate::routers::{self, running};

/// How long an answer may be waited for.
#[derive(Clone, Copy)]
pub struct Until {
    begun: Instant,
    longest: Duration,
}

impl Until {
    /// Below the time limit of a request that began then.
    pub fn the_limit(begun: Instant) -> Until {
        Until {
            begun,
            longest: LONGEST,
        }
    }

    /// The same, or sooner where somebody says so.
    pub fn asked(begun: Instant, seconds: Option<u64>) -> Result<Until, ApiError> {
        let longest = match seconds {
            None => LONGEST,
            Some(seconds) if seconds <= LONGEST.as_secs() => Duration::from_secs(seconds),
            Some(_) => {
                let most = LONGEST.as_secs();
                return Err(ApiError::field(
                    "waitSeconds",
                    format!("must be 0 to {most}"),
                ));
            }
        };
        Ok(Until { begun, longest })
    }

    fn is_over(self) -> bool {
        self.begun.elapsed() >= self.longest
    }

    fn left(self) -> Duration {
        self.longest.saturating_sub(self.begun.elapsed())
    }
}

/// What is being done to a router.
enum Doing {
    /// Nothing.
    Nothing,
    /// It is asked what stands there.
    Beginning,
    /// It is configured, by this choice; `None` where it is a part alone: its wireless, or a version put back.
    Configuring(Option<Box<Chosen>>),
}

impl Hands {
    /// Claims the router, has it begun, and waits for the end. Where the time is over first the answer says that it goes
    /// on; what keeps it from beginning after that stands in its status.
    pub async fn through<F>(
        &self,
        until: Until,
        begin: impl FnOnce(Hands) -> F + Send + 'static,
    ) -> Result<Configured, ApiError>
    where
        F: Future<Output = Result<(), ApiError>> + Send + 'static,
    {
        let hands = self.clone();
        let (tell, told) = oneshot::channel();
        // Its own task: a request that is given up neither ends it nor leaves the router claimed.
        tokio::spawn(async move {
            let begun = hands.begun(begin).await;
            let Err(Err(why)) = tell.send(begun) else {
                return;
            };
            if let Err(cause) = hands.note_unheard(&why).await {
                tracing::error!(cause = %cause.message(), "What kept a router from its configuration was not noted");
            }
        });
        match tokio::time::timeout(until.left(), told).await {
            Ok(begun) => begun.map_err(ApiError::internal)??,
            Err(_) => return Ok(Configured::begins()),
        }
        self.wait(until).await
    }

    /// The same, unless it is under way already: then the same choice is waited for, asked by `is_same` of what is being
    /// configured. Errors: 409 `WIZARD_RUNNING` where it is another one.
    pub async fn through_once<F>(
        &self,
        until: Until,
        is_same: impl Fn(&Chosen) -> bool,
        begin: impl FnOnce(Hands) -> F + Clone + Send + 'static,
    ) -> Result<Configured, ApiError>
    where
        F: Future<Output = Result<(), ApiError>> + Send + 'static,
    {
        loop {
            match self.doing().await? {
                Doing::Configuring(chosen) if chosen.as_deref().is_some_and(&is_same) => {
                    return self.wait(until).await;
                }
                Doing::Configuring(_) => return Err(running()),
                Doing::Beginning if until.is_over() => return Ok(Configured::begins()),
                Doing::Beginning => tokio::time::sleep(LOOK).await,
                Doing::Nothing => match self.through(until, begin.clone()).await {
                    // Somebody was faster by a moment.
                    Err(ApiError::Conflict { code, .. }) if code == RUNNING => {}
                    came => return came,
                },
            }
        }
    }

    async fn begun<F>(&self, begin: impl FnOnce(Hands) -> F) -> Result<(), ApiError>
    where
        F: Future<Output = Result<(), ApiError>>,
    {
        self.claim().await?;
        let begun = begin(self.clone()).await;
        if begun.is_err() {
            let mut tx = self.db.begin(self.operator.tenant).await?;
            routers::release(&mut tx, self.router, &self.writer).await?;
            tx.commit().await?;
        }
        begun
    }

    async fn doing(&self) -> Result<Doing, ApiError> {
        let mut tx = self.db.begin(self.operator.tenant).await?;
        let site = routers::site_of(&mut tx, self.router).await?;
        site.ok_or(ApiError::NotFound("router"))?;
        let row = store::find(&mut tx, self.router).await?;
        if let Some(row) = row.filter(|row| row.stage.is_under_way()) {
            let work = run::open(&mut tx, &self.secrets, self.router, &row).await?;
            let whole = work.is_some_and(|work| !work.is_part);
            let chosen = whole.then(|| last(&row)).flatten();
            return Ok(Doing::Configuring(chosen.map(Box::new)));
        }
        match routers::idle(&mut tx, self.router, self.now).await {
            Ok(()) => Ok(Doing::Nothing),
            Err(ApiError::Conflict { code, .. }) if code == RUNNING => Ok(Doing::Beginning),
            Err(busy) => Err(busy),
        }
    }

    /// Nobody waits any more who could be told why it was not begun.
    async fn note_unheard(&self, why: &ApiError) -> Result<(), ApiError> {
        let message = format!("It was not begun: {}", why.message());
        let mut tx = self.db.begin(self.operator.tenant).await?;
        store::note_refusal(&mut tx, self.router, &message, self.now).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Waits for the end of what is under way.
    async fn wait(&self, until: Until) -> Result<Configured, ApiError> {
        loop {
            let mut tx = self.db.begin(self.operator.tenant).await?;
            let row = store::find(&mut tx, self.router).await?;
            drop(tx);
            let row = row.ok_or(ApiError::NotFound("router"))?;
            let goes_on = row.stage.is_under_way();
            if !goes_on || until.is_over() {
                let tested = row
                    .tested
                    .and_then(|tested| serde_json::from_value(tested).ok());
                return Ok(Configured {
                    success: row.stage == Stage::Done,
                    in_progress: goes_on,
                    message: match goes_on {
                        true => format!("{GOES_ON}. {}", row.message),
                        false => row.message,
                    },
                    results: serde_json::from_value(row.results).unwrap_or_default(),
                    test_result: tested.unwrap_or_default(),
                });
            }
            tokio::time::sleep(LOOK).await;
        }
    }
}

impl Configured {
    fn begins() -> Configured {
        Configured {
            success: false,
            in_progress: true,
            message: format!("{GOES_ON}. {BEGINS}"),
            results: Vec::new(),
            test_result: Tested::default(),
        }
    }
}

/// What is said of a router that is asked what stands there.
pub const BEGINS: &str = "The router is being asked what stands there";
const GOES_ON: &str =
    "Not through yet: it goes on by itself. Send the same again to wait for its end";
/// The code of who finds the wizard at work.
const RUNNING: &str = "WIZARD_RUNNING";
/// Below the time limit of a request.
const LONGEST: Duration = Duration::from_secs(24);
/// How often to look whether it is through.
const LOOK: Duration = Duration::from_millis(50);
