//! Questions that only a site can answer now: asked over the agents' door, with an honest error.

use std::sync::Arc;
use std::time::Duration;

use easyisp_shared::id::{SiteId, TenantId};
use easyisp_shared::time::Timestamp;
use easyisp_shared::wire::question::{AskFailure, Question, Reply};

use super::store;
use crate::db::{BoxFuture, Database};
use crate::error::ApiError;

/// Who carries questions to connected agents, whichever node holds them.
pub trait Door: Send + Sync {
    /// Asks an agent of a site and waits `within` at most; `None` where none is connected.
    fn ask<'a>(
        &'a self,
        tenant: TenantId,
        site: SiteId,
        question: &'a Question,
        within: Duration,
    ) -> BoxFuture<'a, Option<Result<Reply, AskFailure>>>;

    /// How many agents of a site are connected.
    fn connected(&self, tenant: TenantId, site: SiteId) -> BoxFuture<'_, usize>;
}

/// Asks sites. Cloning shares the door.
#[derive(Clone)]
pub struct Live {
    door: Arc<dyn Door>,
    db: Database,
}

/// Why a site gave no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Silence {
    /// No agent of the site is connected.
    #[error("{}", offline(.site, *.heard, *.now))]
    Offline {
        /// The site's name.
        site: String,
        /// When one was heard of last.
        heard: Option<Timestamp>,
        /// When that was found out.
        now: Timestamp,
    },
    /// The agent is there; what it was asked about is not, or did not answer.
    #[error("{}", failed(.site, .failure))]
    Failed {
        /// The site's name.
        site: String,
        /// In the agent's words.
        failure: AskFailure,
    },
    /// The database did not tell the site's name.
    #[error("the site cannot be asked")]
    Database,
}

impl Live {
    /// Asks through `door`; names sites as `db` does.
    pub fn new(door: Arc<dyn Door>, db: Database) -> Live {
        Live { door, db }
    }

    /// Whether a site can be asked at all.
    pub async fn serves(&self, tenant: TenantId, site: SiteId) -> bool {
        self.connected(tenant, site).await > 0
    }

    /// How many agents of a site can be asked.
    pub async fn connected(&self, tenant: TenantId, site: SiteId) -> usize {
        self.door.connected(tenant, site).await
    }

    /// Asks a site. Hold no transaction meanwhile: an answer may take as long as `within`.
    pub async fn ask(
        &self,
        tenant: TenantId,
        site: SiteId,
        question: &Question,
        within: Duration,
        now: Timestamp,
    ) -> Result<Reply, Silence> {
        let failure = match self.door.ask(tenant, site, question, within).await {
            Some(Ok(reply)) => return Ok(reply),
            Some(Err(failure)) => Some(failure),
            None => None,
        };
        Err(self.silence(tenant, site, failure, now).await)
    }

    /// Why a site gave no answer, for people; `failure` is what its agent said, `None` where none is connected.
    pub async fn silence(
        &self,
        tenant: TenantId,
        site: SiteId,
        failure: Option<AskFailure>,
        now: Timestamp,
    ) -> Silence {
        match (self.describe(tenant, site).await, failure) {
            (Ok((site, _)), Some(failure)) => Silence::Failed { site, failure },
            (Ok((site, heard)), None) => Silence::Offline { site, heard, now },
            (Err(silence), _) => silence,
        }
    }

    async fn describe(
        &self,
        tenant: TenantId,
        site: SiteId,
    ) -> Result<(String, Option<Timestamp>), Silence> {
        let read = async {
            let mut tx = self.db.begin(tenant).await?;
            store::last_heard(&mut tx, site).await
        };
        let read: sqlx::Result<Option<(String, Option<Timestamp>)>> = read.await;
        read.ok().flatten().ok_or(Silence::Database)
    }
}

impl From<Silence> for ApiError {
    fn from(silence: Silence) -> ApiError {
        let message = silence.to_string();
        match silence {
            Silence::Offline { .. } | Silence::Database => ApiError::Unavailable { message },
            Silence::Failed { failure, .. } => match failure {
                AskFailure::TimedOut => ApiError::GatewayTimeout { message },
                AskFailure::Busy => ApiError::Unavailable { message },
                AskFailure::NotUnderstood | AskFailure::Unreachable(_) => {
                    ApiError::BadGateway { message }
                }
                AskFailure::NotFound | AskFailure::Refused(_) => {
                    ApiError::unprocessable("SITE_REFUSED", message)
                }
            },
        }
    }
}

fn offline(site: &str, heard: Option<Timestamp>, now: Timestamp) -> String {
    match heard {
        None => format!("No agent serves the site {site} yet"),
        Some(heard) => format!(
            "The agent of the site {site} is not connected; it was last heard of {} ago ({heard})",
            span(now.since(heard).as_secs())
        ),
    }
}

fn failed(site: &str, failure: &AskFailure) -> String {
    match failure {
        AskFailure::TimedOut => format!("The site {site} did not answer in time"),
        AskFailure::Busy => format!("The site {site} has too many questions at once; try again"),
        AskFailure::NotUnderstood => {
            format!("The agent of the site {site} is too old for this question; update it")
        }
        AskFailure::NotFound => format!("The site {site} does not know it yet"),
        AskFailure::Unreachable(why) | AskFailure::Refused(why) => format!("Site {site}: {why}"),
    }
}

/// The largest unit that is not zero.
fn span(secs: u64) -> String {
    match secs {
        0..120 => format!("{secs} seconds"),
        120..7200 => format!("{} minutes", secs / 60),
        7200..172_800 => format!("{} hours", secs / 3600),
        172_800.. => format!("{} days", secs / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_away_is_named_and_since_when() {
        let at = Timestamp::from_secs;
        let away = Silence::Offline {
            site: "Hilltop".into(),
            heard: Some(at(1_800_000_000)),
            now: at(1_800_000_000 + 720),
        };
        assert_eq!(
            away.to_string(),
            "The agent of the site Hilltop is not connected; it was last heard of 12 minutes ago \
             (2027-01-15T08:00:00.000Z)"
        );
        assert_eq!(ApiError::from(away).status().as_u16(), 503);
        let silent = Silence::Failed {
            site: "Hilltop".into(),
            failure: AskFailure::TimedOut,
        };
        assert_eq!(ApiError::from(silent).status().as_u16(), 504);
    }
}
