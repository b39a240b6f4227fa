//! A router does not come back, or is not there at all.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use easyisp_shared::time::Timestamp;
use easyisp_tests::router::software::Fate;
use easyisp_tests::world::eventually;
use reqwest::Method;
use serde_json::{Value, json};

use super::fleet::{Fleet, NEW, OLD, in_order, parts, steps, upgrade};

/// The names of the alerts that go on.
async fn alerts(fleet: &Fleet) -> Result<Vec<(String, String)>> {
    let shown = fleet.isp.owner.get("/snmp/alerts").await?;
    let alerts = shown["alerts"].as_array().context("alerts")?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    Ok(alerts
        .iter()
        .map(|alert| (text(&alert["rule"]), text(&alert["message"])))
        .collect())
}

/// Lets half a minute pass; the box is heard of in it, and the cloud has looked how everything stands.
async fn pass(fleet: &Fleet) -> Result<()> {
    fleet.world.clock.advance(Duration::from_secs(30));
    let now = fleet.world.clock.now();
    let young = now.minus(Duration::from_secs(15)).to_string();
    eventually("the box is heard of", async || {
        let sites = fleet.isp.owner.get("/sites").await?;
        let seen = sites["sites"][0]["agents"][0]["lastSeen"].as_str();
        Ok(seen
            .is_some_and(|seen| seen >= young.as_str())
            .then_some(()))
    })
    .await?;
    fleet.rests().await?;
    Ok(())
}

/// The second router of the second ring does not come back. While it starts nobody is told that it is down; when it is
/// given up the rollout stops by itself, the third ring is as it was, and the alert says so, and now also that it is down.
#[tokio::test(flavor = "multi_thread")]
async fn a_router_that_never_comes_back_stops_it_and_the_rest_is_untouched() -> Result<()> {
    let fleet = Fleet::open("stops", 12).await?;
    fleet.routers[2].with_software(|software| software.fate = Fate::NeverReturns);
    let rollout = fleet.roll_out(&upgrade(&fleet.ids)).await?;
    let ordered = in_order(&fleet);
    fleet
        .until(
            &rollout,
            "it is told to start",
            |shown| steps(shown)[2] == "INSTALLING",
            &ordered,
        )
        .await?;
    let mut unheard = 0;
    let shown = loop {
        let shown = fleet.shown(&rollout).await?;
        ordered(&shown)?;
        if shown["state"] == "STOPPED" {
            break shown;
        }
        ensure!(unheard < 60, "it did not stop in half an hour: {shown:#}");
        let told = alerts(&fleet).await?;
        ensure!(
            told.iter().all(|(rule, _)| rule != "ROUTER_DOWN"),
            "{told:?}"
        );
        unheard += 1;
        pass(&fleet).await?;
    };
    // Long enough for anybody to be told of a router that is away: three minutes.
    ensure!(unheard > 20, "it was given up after {unheard} half minutes");
    let shown_steps = steps(&shown);
    assert_eq!(
        (shown_steps[0], shown_steps[2]),
        ("DONE", "FAILED"),
        "{shown:#}"
    );
    ensure!(
        shown_steps[4..].iter().all(|step| *step == "UNTOUCHED"),
        "{shown:#}"
    );
    assert_eq!(shown["because"], "a router failed", "{shown:#}");
    let why = parts(&shown).nth(2).context("the third")?["message"].to_string();
    ensure!(why.contains("did not come back in 15 minutes"), "{why}");
    for router in &fleet.routers[4..] {
        let software = router.software();
        assert_eq!(
            (
                software.starts,
                software.latest,
                software.installed.as_str()
            ),
            (0, None, OLD)
        );
    }

    // The other two of its ring are seen to their end.
    let shown = fleet
        .until(
            &rollout,
            "the others are well",
            |shown| steps(shown)[1] == "DONE" && steps(shown)[3] == "DONE",
            &ordered,
        )
        .await?;
    assert_eq!(
        (&shown["done"], &shown["failed"], &shown["left"]),
        (&json!(3), &json!(1), &json!(8)),
        "{shown:#}"
    );
    let mut told = Vec::new();
    for _ in 0..40 {
        told = alerts(&fleet).await?;
        if told.len() > 1 {
            break;
        }
        pass(&fleet).await?;
    }
    told.sort();
    let rules: Vec<&str> = told.iter().map(|(rule, _)| rule.as_str()).collect();
    assert_eq!(rules, ["ROLLOUT_STOPPED", "ROUTER_DOWN"], "{told:?}");
    assert_eq!(
        told[0].1,
        "Rollout Spring stopped by itself: a router failed"
    );
    ensure!(told[1].1.starts_with("Tower 03 "), "{told:?}");
    fleet.close().await
}

/// A router that comes back with what it ran before has failed; with one failure allowed the others go on. One that is
/// away is left for later, and gets its turn once it is there; one that never is, is missed at the end.
#[tokio::test(flavor = "multi_thread")]
async fn who_is_away_is_left_for_later_and_missed_at_the_end() -> Result<()> {
    let fleet = Fleet::open("later", 5).await?;
    fleet.routers[1].with_software(|software| software.fate = Fate::StaysOld);
    fleet.routers[2].switch_off(true);
    fleet.routers[4].switch_off(true);
    let until = fleet.world.clock.now().plus(Duration::from_secs(2 * 3600));
    let body = json!({"action": {"kind": "UPGRADE"}, "allRouters": true, "rings": [1, 2], "maxFailed": 1,
        "soakSeconds": 30, "until": until});
    let rollout = fleet.roll_out(&body).await?;
    let nothing = |_: &Value| Ok(());
    let shown = fleet
        .until(
            &rollout,
            "the last ring is under way",
            |shown| steps(shown) == ["DONE", "FAILED", "AWAY", "DONE", "AWAY"],
            nothing,
        )
        .await?;
    assert_eq!(shown["state"], "RUNNING");
    let why = parts(&shown).nth(1).context("the second")?["message"].to_string();
    ensure!(
        why.contains("came back with 7.18.2, not with 7.19.4"),
        "{why}"
    );

    fleet.routers[2].switch_off(false);
    // Its agent leaves it alone for two seconds of its own, while hours go by for the cloud.
    let stats = format!("/mikrotik/{}/system-stats", fleet.ids[2]);
    eventually("its agent meets it again", async || {
        let (status, _) = fleet.isp.owner.call(Method::GET, &stats, None).await?;
        Ok(status.is_success().then_some(()))
    })
    .await?;
    let shown = fleet
        .until(
            &rollout,
            "it is over",
            |shown| shown["state"] == "DONE",
            nothing,
        )
        .await?;
    assert_eq!(
        steps(&shown),
        ["DONE", "FAILED", "DONE", "DONE", "MISSED"],
        "{shown:#}"
    );
    let ended = shown["stateSince"].as_str().and_then(Timestamp::parse);
    ensure!(ended.is_some_and(|ended| ended >= until), "{shown:#}");
    let releases: Vec<String> = fleet
        .installed()
        .into_iter()
        .map(|(_, runs)| runs)
        .collect();
    assert_eq!(releases, [NEW, OLD, NEW, NEW, OLD]);
    fleet.close().await
}
