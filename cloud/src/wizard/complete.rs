//! What an agent could not do for a router that it brought up alone, done at the first link to the cloud: SNMP, the
//! heart-beat, the way to the cloud for guests, the hotspot's pages, and the site's other agent.
//!
//! The pages come from here and not from the agent: all that they do beside taking a code is done by the cloud, so that
//! without it they would be no better than the router's own, and the provider's name and colour are known here.

use std::net::Ipv4Addr;
use std::time::Duration;

use easyisp_shared::id::{RouterId, TenantId};
use easyisp_shared::setup::{Setup, wanted};
use easyisp_shared::time::Timestamp;
use easyisp_shared::wire::drift;
use easyisp_shared::wire::router::{PagesV1, RouterAsk, RouterTold};

use super::http::begin::TOKEN_LIFE;
use super::http::system::device_mode;
use super::plan::Stage;
use super::run::At;
use super::{http, rules, store};
use crate::audit::{self, Action, Actor, Audit};
use crate::db::{Database, Tx};
use crate::due;
use crate::error::ApiError;
use crate::monitoring;
use crate::routers::{self, COMPLETE, PAGES, Writer};
use crate::secrets::Secrets;
use crate::sites::Live;

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
    // What its agent tells anew meanwhile is read, or comes after.
    let named = routers::lock_named(&mut tx, router).await?;
    let Some(name) = named else { return Ok(None) };
    let row = store::find(&mut tx, router).await?;
    let site = routers::site_of(&mut tx, router).await?;
    let (Some(row), Some(site)) = (row, site) else {
        return Ok(None);
    };
    let Some(mut chosen) = http::kept(&row) else {
        return Ok(None);
    };
    // Somebody is at it, or left it half-way: what it serves by is not what there is.
    let is_at_rest = match row.stage {
        Stage::Done | Stage::Called | Stage::Waiting => true,
        // Who did not call while he could is not at it any more.
        Stage::Fetched => now.since(row.place_since) >= 2 * TOKEN_LIFE,
        Stage::Failed => row.work_sealed.is_none(),
        Stage::Configuring | Stage::Undoing => false,
    };
    if !is_at_rest {
        return Ok(Some(again(row.place_since, now)));
    }
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

    let at = At {
        live,
        tenant,
        site,
        router,
        now,
    };
    // One that runs nothing by itself is not asked for a heart-beat, nor missed by it.
    let mode = device_mode(&at).await;
    if let Some(mode) = &mode {
        chosen.mute = mode.knows_no_scheduler();
    }
    let mute = chosen.mute;
    let mut missing = None;
    let mut has_pages = false;
    let told = match rules::looked_for(known, chosen) {
        Ok((setup, release)) => {
            has_pages = pages(&setup).is_some();
            let wanted = drift::wanted(&wanted(&setup, release));
            // Where it was refused whole it is tried again; what the router alone does not take is a difference.
            let told = at.ask(RouterAsk::Repair(wanted), LONG).await;
            missing = match &told {
                Ok(RouterTold::Drift(left)) => drift::refused(left).map(str::to_owned),
                Ok(_) => None,
                Err(silence) => Some(silence.to_string()),
            };
            told.ok().filter(|_| missing.is_none())
        }
        // A set-up that cannot be any more, without an agent that listens: the wizard says why.
        Err(_) => Some(RouterTold::Done),
    };

    let mut tx = db.begin(tenant).await?;
    if routers::lock_named(&mut tx, router).await?.is_none() {
        return Ok(None);
    }
    routers::release(&mut tx, router, &writer).await?;
    if let Some(row) = store::find(&mut tx, router).await? {
        if let Some(mut kept) = http::kept(&row).filter(|kept| kept.mute != mute) {
            kept.mute = mute;
            store::keep(&mut tx, router, &serde_json::to_value(&kept)?).await?;
        }
        let missing = missing.map(|words| {
            format!(
                "SNMP, the heart-beat and the guests' way to the cloud could not be written: {words}. See to it, or configure it by the wizard; it is tried again by itself"
            )
        });
        tell(&mut tx, router, &row, missing, now).await?;
    }
    if let Some(RouterTold::Drift(left)) = &told {
        let audit = Audit {
            details: format!(
                "Wrote what its agent could not without the cloud; {} fields differ still{}",
                left.fields.len(),
                match left.problems.first() {
                    Some((menu, words)) => format!(" ({menu}: {words})"),
                    None => String::new(),
                }
            ),
            ..Audit::new(Action::RouterRepair, "router", router, &name)
        };
        audit::record(&mut tx, &Actor::system(), audit, now).await?;
        if has_pages {
            due::at(&mut tx, PAGES, router, now).await?;
        }
    }
    tx.commit().await?;
    Ok(told.is_none().then(|| again(row.place_since, now)))
}

/// Has a router take the hotspot's pages, which makes the provider's own of what guests meet there; when to try again,
/// `None` when there is nothing more to do. Nobody has to be kept from the router meanwhile: nobody else writes these
/// files but its own first script.
pub async fn fetch_pages(
    db: &Database,
    live: &Live,
    secrets: &Secrets,
    (tenant, router): (TenantId, RouterId),
    now: Timestamp,
) -> anyhow::Result<Option<Timestamp>> {
    let mut tx = db.begin(tenant).await?;
    let row = store::find(&mut tx, router).await?;
    let site = routers::site_of(&mut tx, router).await?;
    let (Some(row), Some(site)) = (row, site) else {
        return Ok(None);
    };
    let Some(chosen) = http::kept(&row) else {
        return Ok(None);
    };
    let known = http::known(&mut tx, secrets, router).await;
    let known = known.map_err(ApiError::into_cause)?;
    drop(tx);
    let setup = rules::looked_for(known, chosen).ok();
    let Some(wanted) = setup.as_ref().and_then(|(setup, _)| pages(setup)) else {
        return Ok(None);
    };

    let at = At {
        live,
        tenant,
        site,
        router,
        now,
    };
    let told = at.ask(RouterAsk::Pages(wanted), LONG).await;
    // Its mode may forbid fetching, its way to the cloud may not be there yet, its agent may be too old for this: each of
    // them can be put right, and a question an hour disturbs nobody.
    if !matches!(told, Ok(RouterTold::Pages(None))) {
        let why = match told {
            Ok(RouterTold::Pages(Some(why))) => why,
            Ok(_) => "the site answered something else".to_owned(),
            Err(silence) => silence.to_string(),
        };
        let missing = format!(
            "the hotspot's pages did not come: {why}. Guests meet the router's own; see that it reaches this cloud, that its device-mode lets it fetch, and that its agent is up to date; it is tried again by itself"
        );
        let mut tx = db.begin(tenant).await?;
        if routers::lock_named(&mut tx, router).await?.is_some()
            && let Some(row) = store::find(&mut tx, router).await?
        {
            tell(&mut tx, router, &row, Some(missing), now).await?;
        }
        tx.commit().await?;
        return Ok(Some(again(row.place_since, now)));
    }
    let mut tx = db.begin(tenant).await?;
    let Some(name) = routers::lock_named(&mut tx, router).await? else {
        return Ok(None);
    };
    let audit = Audit {
        details: "The hotspot's pages became the provider's own".to_owned(),
        ..Audit::new(Action::RouterRepair, "router", router, &name)
    };
    audit::record(&mut tx, &Actor::system(), audit, now).await?;
    if let Some(row) = store::find(&mut tx, router).await? {
        tell(&mut tx, router, &row, None, now).await?;
    }
    tx.commit().await?;
    Ok(None)
}

/// Has the wizard's status say what a router that serves lacks still and what to do about it, or, once nothing is missing,
/// that all is there.
async fn tell(
    tx: &mut Tx,
    router: RouterId,
    row: &store::Row,
    missing: Option<String>,
    now: Timestamp,
) -> sqlx::Result<()> {
    let message = match missing {
        Some(what) => format!("{NOT_ALL}{what}."),
        None if row.message.starts_with(NOT_ALL) => ALL.to_owned(),
        None => return Ok(()),
    };
    if row.stage != Stage::Done || row.message == message {
        return Ok(());
    }
    store::note(tx, router, Stage::Done, &message, now).await
}

/// Where the pages of a router's hotspot are; `None` where its own stay.
fn pages(setup: &Setup) -> Option<PagesV1> {
    let pages = setup.hotspot.as_ref()?.pages.as_ref()?;
    Some(PagesV1 {
        url: pages.url.clone(),
        query: pages.query.clone(),
    })
}

/// When to try again what is in vain since `since`: after as long as that is, so that each rest is twice the one before,
/// a minute at least and an hour at most. Its first sign of life makes it due before (`routers::heard`).
fn again(since: Timestamp, now: Timestamp) -> Timestamp {
    now.plus(now.since(since).clamp(AGAIN, LONGEST))
}

/// How the status of a router begins that serves without all that it is to have.
const NOT_ALL: &str = "It serves, and not all of it is there yet: ";
/// What it says when that came.
const ALL: &str = "It serves, and what was missing is there.";
/// How long writing may take.
const LONG: Duration = Duration::from_secs(25);
/// When to try again at first, where the site or the router says nothing, and where somebody else writes to it.
const AGAIN: Duration = Duration::from_secs(60);
/// A router may stay away for good.
const LONGEST: Duration = Duration::from_secs(3600);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_vain_rests_twice_as_long_each_time_up_to_an_hour() {
        let since = Timestamp::from_secs(1_800_000_000);
        let mut now = since;
        let mut rests = Vec::new();
        for _ in 0..9 {
            let next = again(since, now);
            rests.push(next.since(now).as_secs());
            now = next;
        }
        assert_eq!(rests, [60, 60, 120, 240, 480, 960, 1920, 3600, 3600]);
        let earlier = since.minus(LONGEST);
        assert_eq!(
            again(since, earlier).since(earlier),
            AGAIN,
            "a clock goes back"
        );
    }
}
