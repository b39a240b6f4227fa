//! From what a router says at a poll to what a person reads: a cable, heat, a battery that runs out, a busy processor.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use easyisp_shared::time::Timestamp;
use easyisp_tests::router::api::Face;
use easyisp_tests::router::senses::{Link, Senses};
use easyisp_tests::world::{Provider, Site, World, eventually};
use serde_json::{Value, json};

use super::{Box, given_watch, names, pass, told};

#[tokio::test(flavor = "multi_thread")]
async fn what_a_router_measures_reaches_a_person_and_so_does_its_end() -> Result<()> {
    measured("measured", Face::Seven, ("cpu-temperature", "81.0")).await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_router_measures_reaches_a_person_at_six() -> Result<()> {
    measured("measuredsix", Face::Six, ("temperature", "81.5")).await
}

/// Each is told after it lasted, in a text of its own words, and over after it was well for long enough; what is short is
/// nobody's business.
async fn measured(name: &str, face: Face, (thermometer, degrees): (&str, &str)) -> Result<()> {
    let (world, isp) = given_watch(name).await?;
    let rules = isp.owner.get("/snmp/alert-rules").await?;
    let mut notify = rules["notify"].clone();
    notify["sms"] = json!("warning");
    isp.owner.put("/snmp/alert-notify", &notify).await?;
    let site = Site::open_watched(&world, &isp, face).await?;
    let router = &site.router;
    // Nothing is looked at before it was seen well.
    eventually("it is read", async || {
        pass(&world, &isp, Box::On).await?;
        let shown = isp.owner.get("/snmp/status").await?;
        Ok((shown["devices"][0]["status"] == "ONLINE").then_some(()))
    })
    .await?;
    for _ in 0..12 {
        pass(&world, &isp, Box::On).await?;
    }
    // A supply dips, a cable is moved: over before its time.
    router.with_senses(|senses| senses.decivolts = Some(108));
    router.link("ether1", Link::Down);
    for _ in 0..2 {
        pass(&world, &isp, Box::On).await?;
    }
    router.with_senses(|senses| *senses = Senses::default());
    router.link("ether1", Link::Up);
    for _ in 0..14 {
        pass(&world, &isp, Box::On).await?;
    }
    let shown = isp.owner.get("/snmp/alerts?all=true").await?;
    assert_eq!(shown["alerts"], json!([]), "{shown}");
    assert_eq!(told(&world), Vec::<String>::new());

    router.with_senses(|senses| {
        senses.load = Some(97);
        senses.decidegrees = Some(815);
        senses.decivolts = Some(108);
    });
    router.link("ether1", Link::Down);
    let began = world.clock.now();
    let each = [
        ("LINK_DOWN", "Warning", "ether1 is down".to_owned(), 120, 60),
        (
            "TEMPERATURE",
            "Warning",
            format!("{thermometer} is at {degrees} °C (limit 75 °C)"),
            300,
            300,
        ),
        (
            "VOLTAGE",
            "CRITICAL",
            "voltage fell to 10.8 V (limit 11 V)".to_owned(),
            120,
            300,
        ),
        (
            "CPU",
            "Warning",
            "processor at 97.0 % (limit 90 %)".to_owned(),
            600,
            300,
        ),
    ];
    let raised = until(&world, &isp, began, |shown, rule| {
        names(shown).contains(&rule)
    })
    .await?;
    let shown = isp.owner.get("/snmp/alerts").await?;
    for (rule, _, _, delay, _) in &each {
        lasted(rule, raised[rule], *delay)?;
        let alerts = shown["alerts"].as_array().context("alerts")?;
        let alert = alerts.iter().find(|alert| alert["rule"] == *rule);
        let alert = alert.context("the alert")?;
        assert_eq!(
            (&alert["device"], &alert["nasId"]),
            (&json!("Tower"), &json!(site.router_id)),
            "{alert}"
        );
    }
    for (_, severity, words, ..) in &each {
        said(&world, &format!("{severity}: Tower: {words} since ")).await?;
    }

    router.with_senses(|senses| *senses = Senses::default());
    router.link("ether1", Link::Up);
    let better = world.clock.now();
    let cleared = until(&world, &isp, better, |shown, rule| {
        !names(shown).contains(&rule)
    })
    .await?;
    for (rule, _, _, _, calm) in &each {
        lasted(rule, cleared[rule], *calm)?;
    }
    for (_, _, words, ..) in &each {
        said(&world, &format!(": Tower: {words} (from ")).await?;
    }
    let lines: Vec<String> = told(&world);
    for (_, _, words, ..) in &each {
        let times = lines
            .iter()
            .map(|text| text.matches(words.as_str()).count());
        assert_eq!(times.sum::<usize>(), 2, "{words}: once each: {lines:?}");
    }
    site.stop().await;
    world.stop().await
}

/// When each of the four rules came to look like that, in time since `from`.
async fn until(
    world: &World,
    isp: &Provider,
    from: Timestamp,
    like: impl Fn(&Value, &str) -> bool,
) -> Result<BTreeMap<&'static str, Duration>> {
    let mut found = BTreeMap::new();
    for _ in 0..60 {
        let shown = isp.owner.get("/snmp/alerts").await?;
        for rule in RULES.into_iter().filter(|rule| like(&shown, rule)) {
            found
                .entry(rule)
                .or_insert_with(|| world.clock.now().since(from));
        }
        if found.len() == RULES.len() {
            return Ok(found);
        }
        pass(world, isp, Box::On).await?;
    }
    let shown = isp.owner.get("/snmp/alerts").await?;
    anyhow::bail!("not all in half an hour: {found:?} {shown}")
}

/// Not before its time, and not long after it: a poll is a minute, readings are told five minutes at a time, a look
/// is a minute.
fn lasted(rule: &str, after: Duration, secs: u64) -> Result<()> {
    let least = Duration::from_secs(secs);
    ensure!(
        after >= least && after <= least + Duration::from_secs(480),
        "{rule} after {after:?}"
    );
    Ok(())
}

/// Waits for a text that says this.
async fn said(world: &World, words: &str) -> Result<()> {
    let found = eventually("the message comes", async || {
        let mut texts = told(world).into_iter();
        Ok(texts.any(|text| text.contains(words)).then_some(()))
    });
    found
        .await
        .with_context(|| format!("{words}: {:?}", told(world)))
}

const RULES: [&str; 4] = ["LINK_DOWN", "TEMPERATURE", "VOLTAGE", "CPU"];
