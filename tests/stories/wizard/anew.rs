//! A router that serves without the cloud is brought up anew before there is a link: box, router and cloud stay of one mind.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use easyisp_agent::doctor;
use easyisp_agent::wizard::{Begun, Stage, Wish};
use easyisp_tests::router::Mishap;
use easyisp_tests::router::subscriber::Method;
use easyisp_tests::world::eventually;
use reqwest::StatusCode;
use serde_json::{Value, json};

use super::alone::{becomes, fetch, told, wish};
use super::linked::brought_up;
use super::roof::Roof;
use crate::words::MINUTE;

/// Somebody chose the wrong port. A script that somebody else took does not part the box from its router, and the cloud has
/// what was chosen last: nothing puts the first choice back.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_chosen_last_is_what_the_cloud_hears() -> Result<()> {
    let (line, mut roof) = brought_up("anew").await?;
    let owner = roof.isp.owner.clone();
    assert_eq!(dialled(&roof), ["ether2"]);
    let begun = begin_anew(&roof, &moved()).await?;
    let named = json!({"name": "Tower"});
    let kept = doctor::tell(roof.agent().status(), "/wizard/forget", &named).await?;
    let words = kept.err().unwrap_or_default();
    ensure!(words.contains("this router serves"), "{words}");
    let (status, script) = fetch(&roof, &begun).await?;
    assert_eq!(status, StatusCode::OK, "{script}");
    let refusals = roof.router.counters().api_refusals;
    roof.world.clock.advance(30 * MINUTE);
    roof.switch_off().await;
    roof.switch_on().await?;
    let left = becomes(&roof, "Tower", Stage::Failed).await?;
    ensure!(left.message.contains("did not call"), "{left:?}");
    assert_eq!(roof.router.counters().api_refusals, refusals);
    let known = roof.agent().overview().site.router(begun.router);
    let known = known.context("it is a router of the site")?;
    assert_eq!(known.address, roof.address);

    let again = begin_anew(&roof, &moved()).await?;
    assert_eq!(again.router, begun.router);
    assert_eq!(roof.router.paste(&again.command).await, Ok(()));
    becomes(&roof, "Tower", Stage::Done).await?;
    assert_eq!(dialled(&roof), ["ether3"]);
    let zawadi = roof.router.subscriber("zawadi", "zawadi", Method::MsChapV2);
    zawadi.dial().await.online().started().await;

    line.cut(false);
    let id = begun.router.to_string();
    is_of_one_mind(&mut roof, &id).await?;
    assert_eq!(dialled(&roof), ["ether3"]);
    let trail = owner.get("/audit-logs?action=ROUTER_REGISTER").await?;
    ensure!(trail.to_string().contains("brought it up anew"), "{trail}");
    let all = owner.get("/nas").await?;
    assert_eq!(all["total"], 1, "{all}");
    roof.close().await
}

/// Another attempt fails and is undone: the router serves as before, by a password that the cloud hears of.
#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_that_fails_leaves_it_serving_and_nobody_shut_out() -> Result<()> {
    let (line, mut roof) = brought_up("tried").await?;
    let refused = Mishap::Refuse("failure: no more".to_owned());
    roof.router.mishap("/ip/hotspot/remove", refused);
    let without = Wish {
        hotspot: None,
        ..wish("Tower")
    };
    let begun = begin_anew(&roof, &without).await?;
    assert_eq!(roof.router.paste(&begun.command).await, Ok(()));
    let failed = becomes(&roof, "Tower", Stage::Failed).await?;
    ensure!(failed.message.contains("failure: no more"), "{failed:?}");
    ensure!(failed.message.contains("as it was before"), "{failed:?}");
    roof.router.mend();
    assert_eq!(dialled(&roof), ["ether2"]);
    let zawadi = roof.router.subscriber("zawadi", "zawadi", Method::MsChapV2);
    zawadi.dial().await.online().started().await;

    line.cut(false);
    let id = begun.router.to_string();
    is_of_one_mind(&mut roof, &id).await?;
    assert_eq!(dialled(&roof), ["ether2"]);
    roof.close().await
}

/// At the first link: the box leaves it to the cloud, which writes what is missing and finds nothing that differs; a box that
/// is switched on again enters by what the cloud knows.
pub(super) async fn is_of_one_mind(roof: &mut Roof, id: &str) -> Result<()> {
    let owner = roof.isp.owner.clone();
    eventually("the box leaves it to the cloud", async || {
        Ok(told(roof).await?.is_empty().then_some(()))
    })
    .await?;
    roof.switch_off().await;
    roof.switch_on().await?;
    roof.entered(id).await?;
    let mut last = Instant::now();
    eventually("what the box could not do is done", async || {
        let machine = roof.router.machine();
        let tells = machine.rows("/system scheduler", "name", "easyisp:heartbeat");
        if !tells.is_empty() {
            return Ok(Some(()));
        }
        // Where the box did not know it as the cloud's yet it is tried again.
        a_minute_passes(roof, &mut last);
        Ok(None)
    })
    .await?;
    let mut drift = Value::Null;
    let agrees = eventually("nothing differs", async || {
        let path = format!("/nas/{id}/drift");
        (_, drift) = owner.call(reqwest::Method::GET, &path, None).await?;
        // What began by the first report holds off what the second one brings, which is tried again.
        a_minute_passes(roof, &mut last);
        Ok((drift["isAsWanted"] == true).then_some(()))
    });
    let agrees = agrees.await;
    agrees.with_context(|| drift.to_string())
}

fn a_minute_passes(roof: &Roof, last: &mut Instant) {
    if last.elapsed() > Duration::from_millis(500) {
        *last = Instant::now();
        roof.world.clock.advance(MINUTE + Duration::from_secs(1));
    }
}

/// Another command for the router.
pub(super) async fn begin_anew(roof: &Roof, wish: &Wish) -> Result<Begun> {
    eventually("what came before is written down", async || {
        let said = doctor::tell(roof.agent().status(), "/wizard", wish).await?;
        Ok(match said {
            Ok(begun) => Some(serde_json::from_str(&begun)?),
            Err(_being_configured) => None,
        })
    })
    .await
}

/// Subscribers at another port.
pub(super) fn moved() -> Wish {
    Wish {
        pppoe: Some(vec!["ether3".to_owned()]),
        ..wish("Tower")
    }
}

/// Where subscribers dial.
pub(super) fn dialled(roof: &Roof) -> Vec<String> {
    let machine = roof.router.machine();
    let ports = machine.rows("/interface bridge port", "bridge", "easyisp-pppoe");
    let names = ports
        .into_iter()
        .filter_map(|mut row| row.remove("interface"));
    names.collect()
}
