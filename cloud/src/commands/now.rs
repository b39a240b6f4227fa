//! Ending sessions while the operator waits; what cannot be proved at once goes the durable way.

use std::time::Duration;

use easyisp_shared::id::{CustomerId, SiteId, TenantId};
use easyisp_shared::time::Timestamp;
use easyisp_shared::wire::down::{Order, Whom};
use easyisp_shared::wire::question::{Question, Reply};

use super::issue;
use crate::db::Database;
use crate::error::ApiError;
use crate::sites::live::Silence;
use crate::sites::{self, Live};

/// Whose sessions are to end, and where.
#[derive(Clone, Debug)]
pub struct End {
    /// Whose tenant.
    pub tenant: TenantId,
    /// The site that has them.
    pub site: SiteId,
    /// Which sessions.
    pub whom: Whom,
    /// Whose they are, when that is known.
    pub customer: Option<CustomerId>,
}

/// What came of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ended {
    /// Sessions whose end was proved.
    pub ended: u32,
    /// Sessions whose router did not prove it in time; it goes on being asked.
    pub unconfirmed: u32,
    /// Agents that are away where nobody was found: they are told when they return.
    pub away: u32,
}

impl Ended {
    /// One sentence for a person.
    pub fn sentence(self) -> String {
        let ended = match self.ended {
            1 => "1 session was ended".to_owned(),
            n => format!("{n} sessions were ended"),
        };
        match (self.ended, self.unconfirmed) {
            (0, 0) if self.away > 0 => {
                "Nobody was online as far as is known; an agent of this site is away, and is told when it \
                 returns."
                    .to_owned()
            }
            (0, 0) => "Nobody was online.".to_owned(),
            (_, 0) => format!("{ended}."),
            (0, _) => "The router did not confirm it yet; it goes on being asked.".to_owned(),
            (_, n) => format!("{ended}; {n} not confirmed yet, their router goes on being asked."),
        }
    }
}

/// Ends sessions now. What is not proved within seconds is written down as a command of the site,
/// which carries it out as soon as it can.
///
/// Errors: 503 where the site is away, naming it and since when; the command waits for it.
pub async fn end_now(
    db: &Database,
    live: &Live,
    ends: &[End],
    now: Timestamp,
) -> Result<Ended, ApiError> {
    let ask = |end: &End| {
        let question = Question::Disconnect(end.whom.clone());
        let (tenant, site) = (end.tenant, end.site);
        async move { live.ask(tenant, site, &question, PATIENCE, now).await }
    };
    let told = futures_util::future::join_all(ends.iter().map(ask)).await;
    let mut all = Ended::default();
    let mut silent: Option<Silence> = None;
    for (end, told) in ends.iter().zip(told) {
        match told {
            Ok(Reply::Disconnected { ended, unconfirmed }) => {
                all.ended += ended;
                all.unconfirmed += unconfirmed;
                let away = match (ended, unconfirmed) {
                    (0, 0) => away(db, live, end).await?,
                    (_, _) => 0,
                };
                all.away += away;
                if unconfirmed > 0 || away > 0 {
                    write_down(db, end, now).await?;
                }
            }
            Ok(_) => {
                write_down(db, end, now).await?;
                all.unconfirmed += 1;
            }
            Err(why) => {
                write_down(db, end, now).await?;
                silent = Some(why);
            }
        }
    }
    match silent {
        None => Ok(all),
        Some(why) => {
            let message =
                format!("{why}. It was written down and is done as soon as the site can.");
            Err(match ApiError::from(why) {
                ApiError::GatewayTimeout { .. } => ApiError::GatewayTimeout { message },
                ApiError::BadGateway { .. } => ApiError::BadGateway { message },
                _ => ApiError::Unavailable { message }, // whatever else keeps a site from doing it now
            })
        }
    }
}

/// How many of the site's agents are not there: a session may have been told to one of them alone.
async fn away(db: &Database, live: &Live, end: &End) -> sqlx::Result<u32> {
    let connected = live.connected(end.tenant, end.site).await;
    let mut tx = db.begin(end.tenant).await?;
    let served = sites::served(&mut tx, end.site).await?;
    tx.commit().await?;
    let agents = usize::try_from(served.agents).unwrap_or(0);
    Ok(u32::try_from(agents.saturating_sub(connected)).unwrap_or(u32::MAX))
}

async fn write_down(db: &Database, end: &End, now: Timestamp) -> sqlx::Result<()> {
    let mut tx = db.begin(end.tenant).await?;
    let order = Order::Disconnect(end.whom.clone());
    issue(&mut tx, end.site, order, end.customer, now).await?;
    tx.commit().await
}

/// A router that obeys answers in milliseconds; one that does not is tried on every rung.
const PATIENCE: Duration = Duration::from_secs(8);
