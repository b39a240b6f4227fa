//! The cloud speaks in the midst of it: of a router that serves without it and for which another command was taken, the
//! cloud hears the first end, changes it, or deletes it, before the second end is told.

use anyhow::{Context, Result, ensure};
use easyisp_agent::doctor;
use easyisp_agent::wizard::{Begun, Stage, Wish};
use easyisp_shared::setup::API_USER;
use easyisp_tests::line::Line;
use easyisp_tests::world::eventually;
use reqwest::Method;
use serde_json::json;

use super::alone::{becomes, told};
use super::anew::{begin_anew, dialled, is_of_one_mind, moved};
use super::linked::brought_up;
use super::roof::{Roof, beside_its_box};
use crate::words::MINUTE;

/// What the cloud has is older than what the box told last: the box keeps its own word, also when its power is cut, until
/// the cloud has that.
#[tokio::test(flavor = "multi_thread")]
async fn an_older_word_of_the_cloud_does_not_shut_the_box_out() -> Result<()> {
    let (line, mut roof, begun) = half_told("older").await?;
    assert_eq!(roof.router.paste(&begun.command).await, Ok(()));
    becomes(&roof, "Tower", Stage::Done).await?;
    written_down(&roof).await?;
    for _ in 0..2 {
        roof.switch_off().await;
        roof.switch_on().await?;
        let kept = told(&roof).await?;
        assert_eq!(kept.len(), 1, "{kept:?}");
        let site = &roof.agent().overview().site;
        ensure!(site.is_brought(begun.router), "it enters by its own word");
    }
    line.cut(false);
    let id = begun.router.to_string();
    is_of_one_mind(&mut roof, &id).await?;
    assert_eq!(dialled(&roof), ["ether3"]);
    roof.close().await
}

/// The office gives it another login while what the box did waits to be told: what is told late does not put the box's
/// own back.
#[tokio::test(flavor = "multi_thread")]
async fn a_login_that_was_given_since_stays() -> Result<()> {
    let (line, roof, begun) = half_told("since").await?;
    let owner = roof.isp.owner.clone();
    assert_eq!(roof.router.paste(&begun.command).await, Ok(()));
    becomes(&roof, "Tower", Stage::Done).await?;
    written_down(&roof).await?;
    let id = begun.router.to_string();
    let by_hand = json!({"apiPassword": "by-hand"});
    owner.put(&format!("/nas/{id}"), &by_hand).await?;
    let changed = roof.router.configure(|machine| {
        machine.import(&format!(
            "/user set [find where name=\"{API_USER}\"] password=\"by-hand\"\n"
        ))
    });
    changed.map_err(anyhow::Error::msg)?;
    line.cut(false);
    eventually("the box leaves it to the cloud", async || {
        Ok(told(&roof).await?.is_empty().then_some(()))
    })
    .await?;
    eventually("the trail says that it came late", async || {
        let trail = owner.get("/audit-logs?action=ROUTER_REGISTER").await?;
        Ok(trail.to_string().contains("told late").then_some(()))
    })
    .await?;
    roof.entered(&id).await?;
    roof.close().await
}

/// Another board takes the script and calls: whoever knows the line could have one. It gets no secret of the router that
/// serves, until somebody says that it stands in its place.
#[tokio::test(flavor = "multi_thread")]
async fn a_board_that_nobody_exchanged_is_given_no_secret() -> Result<()> {
    let (line, roof) = brought_up("anothers").await?;
    let machine = roof.router.machine();
    let secret = machine.first("/radius", "secret").context("a secret")?;
    roof.router
        .with_senses(|senses| senses.serial = Some("HEX0000ELSE"));
    roof.router.configure(|machine| *machine = beside_its_box());
    roof.router.reboot();
    let begun = begin_anew(&roof, &moved()).await?;
    assert_eq!(roof.router.paste(&begun.command).await, Ok(()));
    let mut last = Vec::new();
    let stops = eventually("the box gives it up", async || {
        roof.world.clock.advance(MINUTE / 4);
        last = told(&roof).await?;
        Ok(last.iter().find(|one| one.stage == Stage::Failed).cloned())
    });
    let failed = stops.await.with_context(|| format!("{last:?}"))?;
    ensure!(
        failed.message.contains("HEX0000ELSE, not HEX0000DEMO"),
        "{failed:?}"
    );
    let shown = format!("{:?}", roof.router.machine());
    ensure!(!shown.contains(&secret), "it has the secret");
    let known = roof.agent().overview().site.router(begun.router);
    ensure!(known.is_some(), "the router serves on");

    let replaced = Wish {
        replaced: true,
        ..moved()
    };
    let begun = begin_anew(&roof, &replaced).await?;
    assert_eq!(roof.router.paste(&begun.command).await, Ok(()));
    becomes(&roof, "Tower", Stage::Done).await?;
    assert_eq!(dialled(&roof), ["ether3"]);
    drop(line);
    roof.close().await
}

/// It is deleted in the console while its command may be pasted: the box forgets it as well.
#[tokio::test(flavor = "multi_thread")]
async fn a_router_that_is_deleted_in_the_console_is_deleted_at_the_box() -> Result<()> {
    let (line, mut roof, begun) = half_told("deleted").await?;
    line.cut(false);
    let path = format!("/nas/{}", begun.router);
    eventually("it is deleted", async || {
        let (status, _) = roof.isp.owner.call(Method::DELETE, &path, None).await?;
        Ok(status.is_success().then_some(()))
    })
    .await?;
    eventually("the box forgot it", async || {
        Ok(told(&roof).await?.is_empty().then_some(()))
    })
    .await?;
    roof.switch_off().await;
    roof.switch_on().await?;
    let site = &roof.agent().overview().site;
    ensure!(site.router(begun.router).is_none(), "it is brought again");
    ensure!(roof.router.paste(&begun.command).await.is_err());
    roof.close().await
}

/// One that serves is forgotten once the cloud has all that was told of it: from then on it is as the cloud has it.
#[tokio::test(flavor = "multi_thread")]
async fn one_that_serves_can_be_forgotten_once_the_cloud_heard_of_it() -> Result<()> {
    let (line, roof, begun) = half_told("forgotten").await?;
    line.cut(false);
    let named = json!({"name": "Tower"});
    let site = &roof.agent().overview().site;
    eventually("it is forgotten", async || {
        let said = doctor::tell(roof.agent().status(), "/wizard/forget", &named).await?;
        Ok(said.is_ok().then_some(()))
    })
    .await?;
    ensure!(told(&roof).await?.is_empty());
    ensure!(site.router(begun.router).is_some(), "the cloud has it");
    roof.close().await
}

/// A router that serves, and of which the cloud heard so; another command was shown, and the line is cut again.
async fn half_told(name: &str) -> Result<(Line, Roof, Begun)> {
    let (line, roof) = brought_up(name).await?;
    let begun = begin_anew(&roof, &moved()).await?;
    let site = &roof.agent().overview().site;
    ensure!(site.is_brought(begun.router));
    line.cut(false);
    eventually("the cloud speaks of it", async || {
        Ok((!site.is_brought(begun.router)).then_some(()))
    })
    .await?;
    assert_eq!(told(&roof).await?.len(), 1, "its command may be pasted");
    // The office writes what is missing, and is through.
    roof.entered(&begun.router.to_string()).await?;
    line.cut(true);
    Ok((line, roof, begun))
}

/// Waits until what came of it is in the outbox.
async fn written_down(roof: &Roof) -> Result<()> {
    let named = json!({"name": "Tower"});
    eventually("it is written down", async || {
        let said = doctor::tell(roof.agent().status(), "/wizard/forget", &named).await?;
        let words = said.err().context("it is kept")?;
        Ok(words.contains("this box alone knows how").then_some(()))
    })
    .await
}
