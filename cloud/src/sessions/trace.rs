//! What the cloud has heard of one customer, in the words his site would use.

use easyisp_shared::id::{CustomerId, RouterId, SiteId};
use easyisp_shared::net::Mac;
use easyisp_shared::wire::diagnosis::{HappenedV1, HappeningV1, OpenV1};
use easyisp_shared::wire::up::LoginOutcome;

use super::rules;
use super::store::{self, Filter, LogRow, Row};
use super::words::Status;
use crate::api::Sort;
use crate::audit::{self, Action, First, Line, Wanted};
use crate::customers::ConnectionType;
use crate::db::Tx;

/// Who a customer is, and where.
#[derive(Clone, Debug)]
pub struct Whereabouts {
    /// His User-Name.
    pub username: String,
    /// How he is connected.
    pub connection_type: ConnectionType,
    /// Where he is online, else his home site.
    pub site: SiteId,
}

/// Who a customer is, and where; `None` when there is no such customer.
pub async fn whereabouts(tx: &mut Tx, customer: CustomerId) -> sqlx::Result<Option<Whereabouts>> {
    let presence = store::live(tx, customer).await?;
    Ok(presence.map(|presence| Whereabouts {
        username: presence.username,
        connection_type: presence.connection_type,
        site: presence.site_id,
    }))
}

/// What was heard of a customer.
#[derive(Debug, Default)]
pub struct Trace {
    /// His open sessions, the latest first.
    pub sessions: Vec<OpenV1>,
    /// His last attempts and the ends of his last sessions, the oldest first.
    pub happened: Vec<HappenedV1>,
    /// Routers in these that stand at another site, by name.
    pub elsewhere: Vec<(RouterId, String)>,
}

/// What was last heard of a customer whose home is `site`, also under his name where nobody knew whose it is.
pub async fn trace(
    tx: &mut Tx,
    customer: CustomerId,
    username: &str,
    site: SiteId,
) -> sqlx::Result<Trace> {
    let logins = store::logins_of(tx, customer, username, MOST_LOGINS, 0).await?;
    let filter = Filter {
        customer: Some(customer),
        ..Filter::default()
    };
    let sessions = store::list(tx, &filter, Sort::default(), MOST_SESSIONS, 0).await?;
    let open = sessions.iter().filter(|row| row.status == Status::Active);
    let mut happened: Vec<HappenedV1> = logins.iter().filter_map(attempt).collect();
    happened.extend(sessions.iter().flat_map(events));
    let wanted = Wanted {
        action: Some(Action::CustomerDisconnect),
        target: Some(customer.0),
        ..Wanted::default()
    };
    let ended = audit::lines(tx, &wanted, First::Newest, MOST_SESSIONS, 0).await?;
    happened.extend(ended.iter().filter_map(surplus));
    happened.sort_by_key(|one| one.last);
    Ok(Trace {
        sessions: open.map(opened).collect(),
        happened,
        elsewhere: logins
            .into_iter()
            .filter(|row| row.site_id != site)
            .filter_map(|row| row.router_id.zip(row.router_name))
            .collect(),
    })
}

/// A line from before outcomes had words says nothing that can be decided on.
fn attempt(row: &LogRow) -> Option<HappenedV1> {
    let outcome = LoginOutcome::from_code(row.outcome.as_deref()?, row.refusal.as_deref())?;
    Some(HappenedV1 {
        first: row.at,
        last: row.at,
        count: 1,
        router: row.router_id?,
        mac: row.mac.as_deref().and_then(Mac::parse),
        what: HappeningV1::Login(outcome),
    })
}

fn opened(row: &Row) -> OpenV1 {
    OpenV1 {
        router: row.router_id,
        mac: row.mac.as_deref().and_then(Mac::parse),
        started: row.started_at,
        seen: row.last_seen_at,
        garden: false, // only the site knows
        outside: None,
    }
}

fn events(row: &Row) -> Vec<HappenedV1> {
    let event = |at, what| HappenedV1 {
        first: at,
        last: at,
        count: 1,
        router: row.router_id,
        mac: row.mac.as_deref().and_then(Mac::parse),
        what,
    };
    let end = row.stopped_at.map(|at| {
        let what = match row.terminate_cause.as_deref() {
            Some(rules::LOST) => HappeningV1::Lost,
            words => HappeningV1::Ended(words.and_then(rules::cause_code)),
        };
        event(at, what)
    });
    let began = event(row.started_at, HappeningV1::Began);
    std::iter::once(began).chain(end).collect()
}

/// A session that the cloud ended by itself, as [`super::end_surplus`] writes it down.
fn surplus(line: &Line) -> Option<HappenedV1> {
    let router = line.after.as_ref()?.get("routerId")?.as_str()?;
    Some(HappenedV1 {
        first: line.at,
        last: line.at,
        count: 1,
        router: router.parse().ok()?,
        mac: None,
        what: HappeningV1::Noted(line.details.clone()),
    })
}

const MOST_LOGINS: i64 = 12;
const MOST_SESSIONS: i64 = 3;
