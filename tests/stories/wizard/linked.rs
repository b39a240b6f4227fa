//! The first link after a box brought a router up alone: what the cloud does there by itself, and how long it waits for
//! a router that is away.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use easyisp_agent::wizard::Stage;
use easyisp_shared::time::{Clock, Timestamp};
use easyisp_tests::line::Line;
use easyisp_tests::operator::Operator;
use easyisp_tests::router::Mishap;
use easyisp_tests::router::subscriber::Method;
use easyisp_tests::scenario::ApiManners;
use easyisp_tests::world::eventually;
use serde_json::json;

use super::alone::{becomes, begin, cut_off, wish};
use super::roof::Roof;
use crate::words::MINUTE;

/// Guests of a router that was brought up without the cloud meet the provider's own pages once there is a link; one that
/// does not come is tried again, and the trail says when all are there.
#[tokio::test(flavor = "multi_thread")]
async fn guests_meet_the_providers_pages_after_the_first_link() -> Result<()> {
    let (line, roof) = brought_up("dressed").await?;
    let owner = roof.isp.owner.clone();
    let brand = json!({"businessName": "Mast & Mzee", "primaryColor": "#00AA66"});
    owner.put("/tenant/settings", &brand).await?;
    assert_eq!(page(&roof, "login.html"), None, "the router's own");
    // The way to the cloud fails the first time.
    let refused = Mishap::Refuse("failure: no answer".to_owned());
    roof.router.mishap("/tool/fetch", refused);
    line.cut(false);
    let clock = roof.world.clock.clone();
    let next = eventually("it is tried again later", async || {
        // Where the box did not know the router as the cloud's yet.
        if let Some(next) = next_run(&owner, COMPLETE).await? {
            clock.advance(until(&clock, next));
        }
        let next = next_run(&owner, PAGES).await?;
        Ok(next.filter(|next| *next > clock.now()))
    })
    .await?;
    assert_eq!(page(&roof, "login.html"), None);
    let id = owner.get("/nas").await?["routers"][0]["id"].clone();
    let status = format!("/wizard/{}/status", id.as_str().context("an id")?);
    let said = owner.get(&status).await?;
    assert_eq!(said["step"], "DONE", "{said}");
    let message = said["message"].as_str().context("a message")?;
    ensure!(
        message.starts_with(
            "It serves, and not all of it is there yet: the hotspot's pages did not come"
        ) && message.contains("failure: no answer"),
        "{message}"
    );
    let repairs = "/audit-logs?action=ROUTER_REPAIR";
    ensure!(!owner.get(repairs).await?.to_string().contains("pages"));

    roof.router.mend();
    clock.advance(until(&clock, next));
    eventually("it is not tried again", async || {
        Ok(next_run(&owner, PAGES).await?.is_none().then_some(()))
    })
    .await?;
    let login = page(&roof, "login.html").context("a page")?;
    ensure!(login.contains("<h1>Mast &#38; Mzee</h1>"), "{login}");
    let style = page(&roof, "styles.css").context("a style")?;
    ensure!(style.contains("background:#00AA66"), "{style}");
    for file in ["status.html", "error.html", "script.js"] {
        ensure!(page(&roof, file).is_some(), "{file}");
    }
    let said = owner.get(&status).await?;
    assert_eq!(said["message"], "It serves, and what was missing is there.");
    let trail = owner.get(repairs).await?.to_string();
    ensure!(trail.contains("The hotspot's pages became"), "{trail}");
    roof.close().await
}

/// A router that is away for good is asked once an hour in the end; its first sign of life, by RADIUS or by its API, has
/// it asked at once, and what it answers with is written.
#[tokio::test(flavor = "multi_thread")]
async fn a_router_that_is_away_is_asked_ever_less_and_at_once_when_it_lives() -> Result<()> {
    let (line, mut roof) = brought_up("rests").await?;
    let owner = roof.isp.owner.clone();
    let clock = roof.world.clock.clone();
    roof.router.unplug(true);
    line.cut(false);
    eventually("the cloud has it", async || {
        next_run(&owner, COMPLETE).await
    })
    .await?;
    roof.switch_off().await;
    let mut rests = Vec::new();
    let next = loop {
        let next = eventually("it is put off", async || {
            let next = next_run(&owner, COMPLETE).await?;
            Ok(next.filter(|next| *next > clock.now()))
        })
        .await?;
        let rest = until(&clock, next);
        rests.push((rest + Duration::from_millis(500)).as_secs());
        if rests.last() == Some(&HOUR) || rests.len() > 12 {
            break next;
        }
        clock.advance(rest);
    };
    let id = owner.get("/nas").await?["routers"][0]["id"].clone();
    let status = format!("/wizard/{}/status", id.as_str().context("an id")?);
    let message = async || -> Result<String> {
        let said = owner.get(&status).await?;
        assert_eq!(said["step"], "DONE", "{said}");
        Ok(said["message"].as_str().context("a message")?.to_owned())
    };
    let said = message().await?;
    ensure!(
        said.contains(
            "SNMP, the heart-beat and the guests' way to the cloud could not be written: "
        ),
        "{said}"
    );
    ensure!(rests.is_sorted() && rests.len() > 5, "{rests:?}");
    assert_eq!(rests.last(), Some(&HOUR), "{rests:?}");
    for pair in rests.windows(2) {
        ensure!(pair[1] <= 2 * pair[0] + 60, "{rests:?}");
    }

    // Long before that somebody dials; its API says nothing yet.
    clock.advance(20 * MINUTE);
    roof.router.api_manners(ApiManners::Silent);
    roof.router.unplug(false);
    roof.switch_on().await?;
    let zawadi = roof.router.subscriber("zawadi", "zawadi", Method::MsChapV2);
    zawadi.dial().await.online().started().await;
    let again = eventually("it was asked once more", async || {
        let run = next_run(&owner, COMPLETE).await?;
        Ok(run.filter(|run| *run > next))
    })
    .await?;
    ensure!(again >= clock.now().plus(30 * MINUTE), "{again}");

    // Nor has it to wait for its hour when it answers: it is looked at every five minutes.
    roof.router.api_manners(ApiManners::Obey);
    let mut last = Instant::now();
    eventually("it is as the cloud would have it", async || {
        if last.elapsed() > Duration::from_millis(500) {
            last = Instant::now();
            clock.advance(MINUTE);
        }
        let machine = roof.router.machine();
        let tells = machine.rows("/system scheduler", "name", "easyisp:heartbeat");
        Ok((!tells.is_empty()).then_some(()))
    })
    .await?;
    ensure!(clock.now() < again, "it waited for its hour");
    eventually("nothing is due any more", async || {
        Ok(next_run(&owner, COMPLETE).await?.is_none().then_some(()))
    })
    .await?;
    let said = message().await?;
    ensure!(!said.contains("could not be written"), "{said}");
    roof.close().await
}

/// The device's mode keeps what its box brought up from running anything by itself: no heart-beat is asked of it, and none
/// is missed.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_router_may_not_run_by_itself_is_not_missed_after_the_first_link() -> Result<()> {
    let (line, roof) = cut_off("unheard").await?;
    roof.router
        .configure(|machine| machine.put_all("/system device-mode", "scheduler", "no"));
    let owner = roof.isp.owner.clone();
    let begun = begin(&roof, &wish("Tower")).await?;
    let pasted = roof.router.paste(&begun.command).await;
    assert_eq!(pasted, Ok(()), "{:?}", roof.router.machine().caught);
    becomes(&roof, "Tower", Stage::Done).await?;
    line.cut(false);
    let clock = roof.world.clock.clone();
    let repairs = "/audit-logs?action=ROUTER_REPAIR";
    eventually("it is written", async || {
        if let Some(next) = next_run(&owner, COMPLETE).await? {
            clock.advance(until(&clock, next));
        }
        let trail = owner.get(repairs).await?.to_string();
        Ok(trail
            .contains("Wrote what its agent could not")
            .then_some(()))
    })
    .await?;
    let id = owner.get("/nas").await?["routers"][0]["id"].clone();
    let drift = format!("/nas/{}/drift", id.as_str().context("an id")?);
    let drift = owner.get(&drift).await?;
    assert_eq!(drift["isAsWanted"], true, "{drift}");
    roof.close().await
}

/// A router that a box brought up with the line cut.
pub(super) async fn brought_up(name: &str) -> Result<(Line, Roof)> {
    let (line, roof) = cut_off(name).await?;
    let begun = begin(&roof, &wish("Tower")).await?;
    let pasted = roof.router.paste(&begun.command).await;
    assert_eq!(pasted, Ok(()), "{:?}", roof.router.machine().caught);
    becomes(&roof, "Tower", Stage::Done).await?;
    Ok((line, roof))
}

/// When work of this kind runs next, as the list of jobs says.
async fn next_run(owner: &Operator, kind: &str) -> Result<Option<Timestamp>> {
    let jobs = owner.get("/jobs").await?;
    let all = jobs["background"].as_array().context("a list")?;
    let Some(one) = all.iter().find(|one| one["kind"] == kind) else {
        return Ok(None);
    };
    let next = one["nextRunAt"].as_str().and_then(Timestamp::parse);
    Ok(Some(next.with_context(|| format!("a time: {one}"))?))
}

/// How long it is until then: what is told is told in milliseconds, what is due is so to the microsecond.
fn until(clock: &Clock, then: Timestamp) -> Duration {
    then.since(clock.now()) + Duration::from_millis(1)
}

/// A page that guests meet.
fn page(roof: &Roof, file: &str) -> Option<String> {
    let machine = roof.router.machine();
    let rows = machine.rows("/file", "name", &format!("hotspot/{file}"));
    rows.first().and_then(|row| row.get("contents").cloned())
}

const COMPLETE: &str = "wizard.complete";
const PAGES: &str = "wizard.pages";
const HOUR: u64 = 3600;
