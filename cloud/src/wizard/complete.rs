//! What an agent could not do for a router that it brought up alone, done at the first link to the cloud: SNMP, the
//! heart-beat, the way to the cloud for guests, and the site's other agent.

use std::net::Ipv4Addr;
use std::time::Duration;

use easyisp_shared::id::{RouterId, TenantId};
use easyisp_shared::setup::wanted;
use easyisp_shared::time::Timestamp;
use easyisp_shared::wire::drift;
use easyisp_shared::wire::router::{RouterAsk, RouterTold};

use super::plan::Stage;
use super::run::At;
use super::{http, rules, store};
use crate::audit::{self, Action, Actor, Audit};
use crate::db::Database;
use crate::error::ApiError;
use crate::monitoring;
use crate::routers::{self, Writer};
use crate::secrets::Secrets;
use crate::sites::Live;

/// The kind of the job that does it; its subject is the router.
pub const COMPLETE: &str = "wizard.complete";

/// Writes what is missing at a router, and nothing else; when to try again, `None` when there is nothing more to do.
///
/// `public_url` is where routers find the cloud: without it they cannot tell it that they live.
pub async fn complete(
    db: &Database,
    live: &Live,
    secrets: &Secrets,
    public_url: Option<&str>,
    (tenant, router): (TenantId, RouterId),
    now: Timestamp,
) -> anyhow::Result<Option<Timestamp>> {
    let writer = Writer::Repair(COMPLETE.to_owned());
    let mut tx = db.begin(tenant).await?;
    let row = store::find(&mut tx, router).await?;
    let site = routers::site_of(&mut tx, router).await?;
    let (Some(row), Some(site)) = (row, site) else {
        return Ok(None);
    };
    let Some(mut chosen) = http::kept(&row).filter(|_| row.stage == Stage::Done) else {
        // Somebody configures it by the wizard, which does all of this.
        return Ok(None);
    };
    let named = routers::lock_named(&mut tx, router).await?;
    let Some(name) = named else { return Ok(None) };
    if routers::claim(&mut tx, router, &writer, now).await.is_err() {
        return Ok(Some(now.plus(AGAIN)));
    }
    let watched = monitoring::watch(&mut tx, secrets, router, &Actor::system(), now).await;
    watched.map_err(ApiError::into_cause)?;
    let known = http::known(&mut tx, secrets, router).await;
    let known = known.map_err(ApiError::into_cause)?;
    chosen.cloud = chosen.cloud.or_else(|| public_url.map(str::to_owned));
    let all = rules::nearest(&known);
    let all: Vec<String> = all.iter().map(Ipv4Addr::to_string).collect();
    // The one that it asks now is among them, or they are seen from elsewhere.
    if chosen.agents.iter().all(|agent| all.contains(agent)) {
        chosen.agents = all;
    }
    let choice = serde_json::to_value(&chosen)?;
    store::keep(&mut tx, router, &choice).await?;
    tx.commit().await?;

    let told = match rules::looked_for(known, chosen) {
        Ok((setup, release)) => {
            let wanted = drift::wanted(&wanted(&setup, release));
            let at = At {
                live,
                tenant,
                site,
                router,
                now,
            };
            at.ask(RouterAsk::Repair(wanted), LONG).await.ok()
        }
        // A set-up that cannot be any more, without an agent that listens: the wizard says why.
        Err(_) => Some(RouterTold::Done),
    };

    let mut tx = db.begin(tenant).await?;
    if routers::lock_named(&mut tx, router).await?.is_none() {
        return Ok(None);
    }
    routers::release(&mut tx, router, &writer).await?;
    if let Some(RouterTold::Drift(left)) = &told {
        let audit = Audit {
            details: format!(
                "Wrote what its agent could not without the cloud; {} fields differ still",
                left.fields.len()
            ),
            ..Audit::new(Action::RouterRepair, "router", router, &name)
        };
        audit::record(&mut tx, &Actor::system(), audit, now).await?;
    }
    tx.commit().await?;
    Ok(told.is_none().then(|| now.plus(AGAIN)))
}

/// How long writing may take.
const LONG: Duration = Duration::from_secs(25);
/// When to try again where the site or the router says nothing.
const AGAIN: Duration = Duration::from_secs(60);
