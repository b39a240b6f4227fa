//! What the cloud stores of a customer, in the words his site would use.

use easyisp_shared::diagnosis::{Agents, Voucher};
use easyisp_shared::entitlement::Answer;
use easyisp_shared::id::{CustomerId, RouterId, SiteId, VoucherId};
use easyisp_shared::time::Timestamp;
use easyisp_shared::voucher;
use easyisp_shared::wire::diagnosis::{DiagnosisV1, HappeningV1, WouldV1};

use crate::customers::{self, Asks, ConnectionType};
use crate::db::Tx;
use crate::sessions::{self, Trace};
use crate::{routers, sites, vouchers};

/// Who is asked about, and what is known of him without asking his site.
pub struct Known {
    /// How he is connected.
    pub connection_type: ConnectionType,
    /// His User-Name.
    pub username: String,
    /// Where he is online, else his home.
    pub site: SiteId,
    /// What people call it.
    pub site_name: String,
    /// When an agent of it was last heard of.
    pub last_seen: Option<Timestamp>,
    /// How many agents it has.
    pub agents: Agents,
    /// The facts.
    pub told: DiagnosisV1,
    /// Routers of other sites among them, by name.
    pub elsewhere: Vec<(RouterId, String)>,
    /// For a voucher that nobody used.
    pub voucher: Option<Voucher>,
}

/// A customer, or a voucher that nobody used: its first user becomes the customer of its id. `None` when this
/// tenant has neither.
pub async fn known(
    tx: &mut Tx,
    customer: CustomerId,
    now: Timestamp,
) -> sqlx::Result<Option<Known>> {
    let Some(person) = sessions::whereabouts(tx, customer).await? else {
        return of_voucher(tx, customer, now).await;
    };
    let site = person.site;
    let trace = sessions::trace(tx, customer, &person.username, site).await?;
    let asks = asks(&trace);
    let Some(forecast) = customers::forecast(tx, customer, asks, now).await? else {
        return Ok(None);
    };
    let told = DiagnosisV1 {
        known: true,
        bound: forecast.bound,
        would: Some(WouldV1 {
            reason: forecast.verdict.reason,
            garden: forecast.verdict.answer == Answer::WalledGarden,
        }),
        until: Some(forecast.until),
        ..DiagnosisV1::default()
    };
    let known = Known {
        connection_type: person.connection_type,
        username: person.username,
        ..at(tx, site, told, trace).await?
    };
    Ok(Some(known))
}

async fn of_voucher(
    tx: &mut Tx,
    customer: CustomerId,
    now: Timestamp,
) -> sqlx::Result<Option<Known>> {
    let id = VoucherId(customer.0);
    let Some(unused) = vouchers::unused(tx, id, now).await? else {
        return Ok(None);
    };
    let site = match unused.holder {
        Some(site) => site,
        None => sites::first(tx).await?,
    };
    let username = voucher::username(id);
    let trace = sessions::trace(tx, customer, &username, site).await?;
    let known = at(tx, site, DiagnosisV1::default(), trace).await?;
    let holder = unused
        .holder
        .map(|_| format!("the site {}", known.site_name));
    Ok(Some(Known {
        username,
        voucher: Some(Voucher {
            state: unused.state,
            holder,
        }),
        ..known
    }))
}

/// The device and router of his last attempt.
fn asks(trace: &Trace) -> Asks {
    let attempt = trace.happened.iter().rfind(|one| match one.what {
        HappeningV1::Login(_) => true,
        HappeningV1::Began | HappeningV1::Ended(_) | HappeningV1::Lost | HappeningV1::Noted(_) => {
            false
        }
    });
    attempt.map_or_else(Asks::default, |last| Asks {
        mac: last.mac,
        router: Some(last.router),
    })
}

async fn at(tx: &mut Tx, site: SiteId, told: DiagnosisV1, trace: Trace) -> sqlx::Result<Known> {
    let served = sites::served(tx, site).await?;
    Ok(Known {
        connection_type: ConnectionType::Hotspot,
        username: String::new(),
        site,
        site_name: served.name,
        last_seen: served.last_seen,
        agents: match served.agents {
            ..=1 => Agents::One,
            2.. => Agents::Several,
        },
        told: DiagnosisV1 {
            sessions: trace.sessions,
            happened: trace.happened,
            routers: routers::facts(tx, site).await?,
            ..told
        },
        elsewhere: trace.elsewhere,
        voucher: None,
    })
}
