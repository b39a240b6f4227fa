//! The words that stand in the database and the API.

use serde::Serialize;
use utoipa::ToSchema;

/// How a rollout is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, sqlx::Type, ToSchema)]
#[serde(rename_all = "UPPERCASE")]
#[sqlx(type_name = "text", rename_all = "UPPERCASE")]
#[schema(as = RolloutState)]
pub enum State {
    /// Routers are begun with.
    Running,
    /// None is begun with until somebody says so; what was ordered is seen to its end.
    Paused,
    /// It is over before its end.
    Stopped,
    /// Every router came to its end.
    Done,
}

/// How far it has come with one router.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, sqlx::Type, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[sqlx(type_name = "text", rename_all = "SCREAMING_SNAKE_CASE")]
#[schema(as = RolloutStep)]
pub enum Step {
    /// Its turn has not come.
    Waiting,
    /// It could not be reached; it is tried again.
    Away,
    /// It is asked what it runs and what it would take.
    Checking,
    /// It saves a backup.
    Saving,
    /// It fetches the release.
    Downloading,
    /// It starts anew with the release.
    Installing,
    /// It writes its board's firmware.
    Board,
    /// It starts anew with that.
    BoardRestarting,
    /// It starts anew.
    Restarting,
    /// It is changed.
    Acting,
    /// It is to show that all is well.
    Settling,
    /// All was well; it is looked at once more after a while.
    Soaking,
    /// All is well.
    Done,
    /// There was nothing to do, or nobody to do it to.
    Skipped,
    /// It did not do it, or is not well.
    Failed,
    /// It was not reached in time.
    Missed,
    /// The rollout was stopped before its turn came.
    Untouched,
}

impl Step {
    /// Whether nothing more comes.
    pub fn is_end(self) -> bool {
        matches!(
            self,
            Step::Done | Step::Skipped | Step::Failed | Step::Missed | Step::Untouched
        )
    }

    /// Whether nothing is under way at it.
    pub fn is_idle(self) -> bool {
        matches!(self, Step::Waiting | Step::Away)
    }

    /// Whether it is under way and can still be left as it is: nothing was done to it that anybody behind it notices.
    pub fn is_before_order(self) -> bool {
        matches!(self, Step::Checking | Step::Saving | Step::Downloading)
    }
}
