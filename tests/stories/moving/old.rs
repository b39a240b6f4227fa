//! The old server, and how a router is told of it.

use anyhow::Result;
use easyisp_shared::id::RouterId;
use easyisp_shared::wire::down::MovingMode;
use easyisp_tests::freeradius::FreeRadius;
use easyisp_tests::router::Server;
use easyisp_tests::world::{Provider, Site, eventually};
use serde_json::json;

/// What the old server shares with the site.
pub const OLD_SECRET: &str = "testing123 & more";

/// A FreeRADIUS that was there before us.
pub struct Old {
    pub radius: FreeRadius,
}

impl Old {
    pub async fn start(users: &str) -> Result<Old> {
        let radius = FreeRadius::start(OLD_SECRET, users).await?;
        Ok(Old { radius })
    }

    /// Brings the site's router into a mode with this server behind it.
    pub async fn put(&self, isp: &Provider, site: &Site, mode: &str) -> Result<()> {
        put(isp, site, self.radius.server, mode).await
    }
}

/// The old server again, where it was.
pub async fn start_on(server: Server, users: &str) -> Result<FreeRadius> {
    FreeRadius::start_on(server, OLD_SECRET, users).await
}

/// Brings the site's router into a mode with a server on these ports behind it, and waits until the agent
/// knows.
pub async fn put(isp: &Provider, site: &Site, server: Server, mode: &str) -> Result<()> {
    let body = json!({"mode": mode, "oldServer": {"address": server.auth.ip(),
        "authPort": server.auth.port(), "acctPort": server.acct.port(), "secret": OLD_SECRET}});
    let path = format!("/nas/{}/moving", site.router_id);
    isp.owner.put(&path, &body).await?;
    knows(site, mode).await
}

/// Waits until the agent knows the mode.
pub async fn knows(site: &Site, mode: &str) -> Result<()> {
    let wanted = match mode {
        "SHADOW" => Some(MovingMode::Shadow),
        "FORWARD" => Some(MovingMode::Forward),
        _ => None,
    };
    let router = RouterId(site.router_id.parse()?);
    let known = &site.agent().overview().site;
    eventually(&format!("the agent knows of {mode}"), async || {
        let mode = known.moving(router).map(|moving| moving.mode);
        Ok((mode == wanted).then_some(()))
    })
    .await
}

/// Users whose password is their name, with a speed and seconds until their session ends.
pub fn users(all: &[(&str, &str, u32)]) -> String {
    let user = |(name, rate, secs): &(&str, &str, u32)| {
        format!(
            "{name} Cleartext-Password := \"{name}\"\n\
             \tMikrotik-Rate-Limit := \"{rate}\",\n\
             \tSession-Timeout := {secs}\n\n"
        )
    };
    all.iter().map(user).collect()
}
