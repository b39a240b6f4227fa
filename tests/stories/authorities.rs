//! By which authority devices and RadSec routers know a site's boxes: one for all of them, whoever comes later.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use easyisp_agent::VERSION;
use easyisp_agent::radius::eap::authority::{CERTIFICATE, KEY, fingerprint_in};
use easyisp_agent::sync::enroll;
use easyisp_tests::world::{Pair, Provider, Site, World, eventually};
use serde_json::{Value, json};

/// Waits until the cloud knows a site's authority.
async fn told(world: &World) -> Result<()> {
    eventually("the cloud knows the site's authority", async || {
        let tenants: Vec<uuid::Uuid> = {
            let mut directory = world.db().directory().await?;
            sqlx::query_scalar("select tenant_id from directory.tenants")
                .fetch_all(&mut *directory)
                .await?
        };
        for tenant in tenants {
            let mut tx = world.db().begin(tenant.into()).await?;
            let told: i64 = sqlx::query_scalar("select count(*) from site_authorities")
                .fetch_one(&mut *tx)
                .await?;
            if told > 0 {
                return Ok(Some(()));
            }
        }
        Ok(None)
    })
    .await
}

fn known_by(data_dir: &Path) -> Result<String> {
    fingerprint_in(data_dir)?.context("it has an authority")
}

/// The box that takes a dead one's place comes with nothing, and whoever trusts the old one trusts it.
#[tokio::test(flavor = "multi_thread")]
async fn a_spare_box_is_known_by_the_dead_ones_authority() -> Result<()> {
    let world = World::start().await?;
    let isp = Provider::sign_up(&world, "sameca").await?;
    let mut site = Site::open(&world, &isp).await?;
    told(&world).await?;
    let (home, data_dir) = (site.identity_folder(), site.config().data_dir.clone());
    let before = known_by(&data_dir)?;
    let sites = isp.owner.get("/sites").await?;
    let of = |value: &Value| value.as_str().map(str::to_owned).context("an id");
    let (id, old) = (
        of(&sites["sites"][0]["id"])?,
        of(&sites["sites"][0]["agents"][0]["id"])?,
    );
    let path = format!("/sites/{id}/join-token?replaces={old}");
    let made = isp.owner.post(&path, &json!({})).await?;

    site.stop_agent().await;
    fs::rename(&home, home.with_extension("dead"))?;
    for name in [CERTIFICATE, KEY] {
        fs::remove_file(data_dir.join(name))?;
    }
    site.forget_files()?;
    let token = of(&made["token"])?;
    enroll(&world.agents().to_string(), &token, &home, VERSION).await?;
    let mode = fs::metadata(home.join(KEY))?.permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    site.start_agent().await?;
    site.caught_up().await?;
    assert_eq!(known_by(&data_dir)?, before);
    let shown = isp.owner.get(&format!("/sites/{id}")).await?;
    assert_eq!(shown["warnings"], json!([]), "{shown}");
    site.stop().await;
    world.stop().await
}

/// Two boxes that were there before either had told have an authority each: that is said, at the one that is not the
/// site's, and what is named as the remedy is one.
#[tokio::test(flavor = "multi_thread")]
async fn a_box_with_another_authority_is_named_and_takes_the_sites() -> Result<()> {
    let world = World::start().await?;
    let isp = Provider::sign_up(&world, "twocas").await?;
    let mut pair = Site::open_pair(&world, &isp).await?;
    let strangers = async || -> Result<Vec<Value>> {
        let sites = isp.owner.get("/sites").await?;
        let warnings = sites["sites"][0]["warnings"].as_array().cloned();
        let mut warnings = warnings.context("warnings")?;
        warnings.retain(|warning| warning["code"] == "OTHER_AUTHORITY");
        Ok(warnings)
    };
    let stranger = eventually("one of them is another", async || {
        Ok(strangers().await?.into_iter().next())
    })
    .await?;
    let folders = |pair: &Pair| {
        [pair.site.agent(), pair.second()].map(|agent| agent.overview().data_dir.clone())
    };
    let [first, second] = folders(&pair);
    let is_second = {
        let me = pair.second().overview().site.agent();
        me.context("the second has an id")?.to_string() == stranger["agentId"]
    };
    let (its, sites) = match is_second {
        true => (second, first),
        false => (first, second),
    };
    let ours = known_by(&sites)?;
    assert_ne!(known_by(&its)?, ours);
    let given = its.join("identity");
    eventually("it has been given the site's", async || {
        Ok((fingerprint_in(&given)? == Some(ours.clone())).then_some(()))
    })
    .await?;

    match is_second {
        true => pair.stop_second().await,
        false => pair.site.stop_agent().await,
    }
    for name in [CERTIFICATE, KEY] {
        fs::remove_file(its.join(name))?;
    }
    match is_second {
        true => pair.start_second().await?,
        false => pair.site.start_agent().await?,
    }
    assert_eq!(known_by(&its)?, ours);
    eventually("nobody is another any more", async || {
        Ok(strangers().await?.is_empty().then_some(()))
    })
    .await?;

    ensure!(fs::metadata(its.join(KEY))?.permissions().mode() & 0o777 == 0o600);
    pair.stop().await;
    world.stop().await
}
