//! What is news of a router reaches a mailbox and a program of the provider's own, and is over there too.

use anyhow::{Context, Result, ensure};
use easyisp_shared::time::Clock;
use easyisp_tests::hooks::Receiver;
use easyisp_tests::router::subscriber::Method;
use easyisp_tests::world::{Provider, START, Site, World, eventually, soon};
use serde_json::{Value, json};

use super::{Box, minutes, names, pass};
use crate::forgotten::Post;
use crate::wizard::roof::{Roof, both};
use crate::words::DAY;

/// A mailbox and a program that listen.
struct Ears {
    post: Post,
    program: Receiver,
}

impl Ears {
    async fn open() -> Result<(Ears, World)> {
        let ears = Ears {
            post: Post::open().await?,
            program: Receiver::start().await?,
        };
        let world = World::start_with(Clock::test(START), |config| {
            ears.post.carries(config);
            config.webhooks.ca_file = Some(ears.program.ca_file());
        })
        .await?;
        Ok((ears, world))
    }

    async fn listen(&self, isp: &Provider) -> Result<()> {
        let events = ["alert.raised", "alert.cleared"];
        let hook =
            json!({"url": self.program.url(), "events": events, "description": "Night watch"});
        isp.owner.post("/webhooks", &hook).await?;
        Ok(())
    }

    /// The letter that says this, once it is there.
    async fn letter(&self, words: &str) -> Result<String> {
        let found = eventually("a letter comes", async || {
            for letter in self.post.letters()? {
                let text = std::fs::read_to_string(letter)?;
                if text.contains(words) {
                    return Ok(Some(text));
                }
            }
            Ok(None)
        });
        found.await.with_context(|| words.to_owned())
    }

    /// What the program hears after `seen` others.
    async fn word(&self, seen: usize) -> Result<Value> {
        soon("the program is told", self.program.takes(seen + 1))
            .await?
            .json()
    }
}

/// The owner has named nobody: it is told to the owner, and to the program by the same id.
#[tokio::test(flavor = "multi_thread")]
async fn a_router_that_is_away_reaches_a_mailbox_and_a_program() -> Result<()> {
    let (ears, world) = Ears::open().await?;
    let isp = Provider::sign_up(&world, "letters").await?;
    let site = Site::open_with_api(&world, &isp).await?;
    ears.listen(&isp).await?;
    for _ in 0..4 {
        pass(&world, &isp, Box::On).await?;
    }
    site.router.unplug(true);
    let shown = minutes(&world, &isp, Box::On, "the router is down", |shown| {
        !names(shown).is_empty()
    })
    .await?;
    let letter = ears
        .letter("CRITICAL: Tower does not answer since ")
        .await?;
    ensure!(letter.contains(&format!("To: {}", isp.email())), "{letter}");
    let raised = ears.word(0).await?;
    assert_eq!(raised["event"], "alert.raised", "{raised}");
    let (data, alert) = (&raised["data"], &shown["alerts"][0]);
    assert_eq!(
        (&data["alertId"], &data["rule"], &data["routerId"]),
        (&alert["id"], &json!("ROUTER_DOWN"), &json!(site.router_id)),
        "{raised}"
    );
    assert_eq!(
        (&data["severity"], &data["clearedAt"], &data["flaps"]),
        (&json!("critical"), &Value::Null, &json!(0)),
        "{raised}"
    );

    site.router.unplug(false);
    minutes(&world, &isp, Box::On, "it is over", |shown| {
        names(shown).is_empty()
    })
    .await?;
    ears.letter("Tower does not answer (from ").await?;
    let cleared = ears.word(1).await?;
    assert_eq!(cleared["event"], "alert.cleared", "{cleared}");
    assert_eq!(cleared["data"]["alertId"], data["alertId"], "{cleared}");
    ensure!(cleared["data"]["clearedAt"].is_string(), "{cleared}");
    assert_eq!(ears.program.received().len(), 2);
    site.stop().await;
    world.stop().await
}

/// One address for two homes: who has it fills the pool, and is told of by name of the pool; it is over when he is gone.
#[tokio::test(flavor = "multi_thread")]
async fn a_pool_that_is_used_up_is_told_and_over_when_an_address_is_free() -> Result<()> {
    let (ears, world) = Ears::open().await?;
    let roof = Roof::within(world, "pools").await?;
    let (world, isp) = (&roof.world, &roof.isp);
    ears.listen(isp).await?;
    let id = roof.bring_up("Tower").await?;
    let mut choice = both();
    choice["pppoeConfig"]["poolStart"] = json!("10.10.10.2");
    choice["pppoeConfig"]["poolEnd"] = json!("10.10.10.2");
    let done = isp
        .owner
        .post(&format!("/wizard/{id}/configure"), &choice)
        .await?;
    assert_eq!(done["success"], true, "{done}");
    let until = world.clock.now().plus(30 * DAY);
    isp.add_subscriber("zawadi", "254712345699", until).await?;
    let site = &roof.agent().overview().site;
    eventually("the agent knows her", async || {
        Ok(site.subscriber(b"zawadi"))
    })
    .await?;
    for _ in 0..12 {
        pass(world, isp, Box::On).await?;
    }
    let shown = isp.owner.get("/snmp/alerts").await?;
    ensure!(!names(&shown).contains(&"POOL"), "{shown}");

    let zawadi = roof.router.subscriber("zawadi", "zawadi", Method::MsChapV2);
    let online = zawadi.dial().await.online();
    online.started().await;
    let shown = minutes(world, isp, Box::On, "the pool is used up", |shown| {
        names(shown).contains(&"POOL")
    })
    .await?;
    let alerts = shown["alerts"].as_array().context("alerts")?;
    let alert = alerts.iter().find(|alert| alert["rule"] == "POOL");
    let alert = alert.context("of the pool")?;
    assert_eq!(
        (&alert["subject"], &alert["value"], &alert["nasId"]),
        (&json!("PPPoE"), &json!(100.0), &json!(id)),
        "{alert}"
    );
    ears.letter("PPPoE addresses used up to 100.0 %").await?;
    let of_pool = |event: &'static str| {
        let received = ears.program.received();
        let mut bodies = received.iter().filter_map(|one| one.json().ok());
        bodies.find(|body| body["event"] == event && body["data"]["rule"] == "POOL")
    };
    let raised = eventually("the program is told", async || Ok(of_pool("alert.raised"))).await?;
    assert_eq!(raised["data"]["subject"], "PPPoE", "{raised}");

    ensure!(online.hang_up().await, "her end is reported");
    minutes(world, isp, Box::On, "an address is free", |shown| {
        !names(shown).contains(&"POOL")
    })
    .await?;
    ears.letter("OK since ").await?;
    let cleared = eventually("the program is told", async || Ok(of_pool("alert.cleared"))).await?;
    assert_eq!(cleared["data"]["alertId"], raised["data"]["alertId"]);
    roof.close().await
}
