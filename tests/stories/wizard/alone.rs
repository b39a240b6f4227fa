//! A site whose uplink is not there yet: the box brings the router up by itself, its customers come in, and the cloud
//! hears of it when it is reached.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use easyisp_agent::doctor;
use easyisp_agent::wizard::{Begun, Stage, Told, Wish};
use easyisp_shared::setup::API_USER;
use easyisp_tests::line::Line;
use easyisp_tests::operator::http_client;
use easyisp_tests::router::Mishap;
use easyisp_tests::router::subscriber::Method;
use easyisp_tests::world::{World, eventually};
use reqwest::StatusCode;
use serde_json::{Value, json};

use super::roof::{Roof, plain};
use crate::words::{DAY, MINUTE};

/// From the factory to a customer online with the line cut; then the cloud has it once, as if it had made it.
#[tokio::test(flavor = "multi_thread")]
async fn a_router_without_an_uplink_is_brought_up_by_the_box_beside_it() -> Result<()> {
    let (line, mut roof) = cut_off("alone").await?;
    let owner = roof.isp.owner.clone();
    let begun = begin(&roof, &wish("Tower")).await?;
    ensure!(
        begun
            .command
            .starts_with(":do { /tool fetch mode=http url=\"http://10.9.0.2:"),
        "{}",
        begun.command
    );
    crate::setup_scripts::is_sound(&begun.command)?;
    let pasted = roof.router.paste(&begun.command).await;
    assert_eq!(pasted, Ok(()), "{:?}", roof.router.machine().caught);
    let done = becomes(&roof, "Tower", Stage::Done).await?;
    ensure!(done.message.starts_with("It serves. "), "{done:?}");
    ensure!(
        done.lines
            .iter()
            .any(|line| line.starts_with("Saved a backup")),
        "{done:?}"
    );
    ensure!(
        done.lines
            .iter()
            .any(|line| line.starts_with("Changed the password")),
        "{done:?}"
    );

    // Nobody asked the cloud, and she is in.
    let zawadi = roof.router.subscriber("zawadi", "zawadi", Method::MsChapV2);
    let online = zawadi.dial().await.online();
    online.started().await;

    // The same line is worth nothing any more.
    let again = roof.router.paste(&begun.command).await;
    ensure!(again.is_err(), "{again:?}");
    let zawadi = roof.router.subscriber("zawadi", "zawadi", Method::MsChapV2);

    // The operator entered it meanwhile, and waits for it in vain.
    let waiting = roof.start("tower").await?;
    ensure!(waiting["routerId"] != json!(begun.router), "{waiting}");
    let machine = roof.router.machine();
    let secret = machine.first("/radius", "secret").context("a secret")?;
    let once = plain(&roof.router);

    // A box that was switched off in between still serves it, and tells of it.
    roof.switch_off().await;
    roof.switch_on().await?;
    ensure!(online.hang_up().await);
    zawadi.dial().await.online().started().await;
    line.cut(false);
    let router = eventually("the cloud has it", async || {
        let all = owner.get("/nas").await?;
        let mut routers = all["routers"].as_array().cloned().unwrap_or_default();
        routers.retain(|router| router["id"] == json!(begun.router));
        Ok(routers.pop().map(|router| (router, all["total"].clone())))
    })
    .await?;
    let (router, total) = router;
    assert_eq!(total, 1, "the one that never came gave way");
    assert_eq!(
        (
            &router["name"],
            &router["provisioningStatus"],
            &router["status"]
        ),
        (&json!("Tower"), &json!("Provisioned"), &json!("ONLINE")),
        "{router}"
    );
    assert_eq!(router["ipAddress"], roof.address.to_string());
    let id = begun.router.to_string();
    let status = owner.get(&format!("/wizard/{id}/status")).await?;
    assert_eq!(
        (&status["step"], &status["progress"]),
        (&json!("DONE"), &json!(100)),
        "{status}"
    );
    let script = owner.get(&format!("/wizard/{id}/script")).await?;
    assert_eq!(script["secret"], secret, "the cloud knows its secret");
    let trail = owner.get("/audit-logs?action=ROUTER_REGISTER").await?;
    assert_eq!(trail["total"], 1, "{trail}");
    ensure!(!trail.to_string().contains(&secret), "{trail}");

    // From here on it is the cloud's: its login opens, and it is as the cloud would have it.
    roof.entered(&id).await?;
    eventually("the box forgets that it made it", async || {
        Ok(told(&roof).await?.is_empty().then_some(()))
    })
    .await?;
    let tested = owner.get(&format!("/wizard/{id}/test")).await?;
    assert_eq!(
        tested,
        json!({"hotspot": true, "pppoe": true, "radius": true})
    );
    // What the box could not do alone follows: the router is watched, tells that it lives, and guests reach the cloud.
    let mut last = Instant::now();
    eventually("it is as the cloud would have it", async || {
        // Where the box did not know it as the cloud's yet it is tried again.
        if last.elapsed() > Duration::from_millis(500) {
            last = Instant::now();
            roof.world.clock.advance(Duration::from_secs(61));
        }
        let machine = roof.router.machine();
        let tells = machine.rows("/system scheduler", "name", "easyisp:heartbeat");
        let garden = machine.rows("/ip hotspot walled-garden ip", "action", "accept");
        let watched = machine.first("/snmp", "enabled").as_deref() == Some("yes");
        Ok((tells.len() == 1 && !garden.is_empty() && watched).then_some(()))
    })
    .await?;
    eventually("nothing differs", async || {
        let (_, drift) = owner
            .call(reqwest::Method::GET, &format!("/nas/{id}/drift"), None)
            .await?;
        Ok((drift["isAsWanted"] == true).then_some(()))
    })
    .await?;
    let now = plain(&roof.router);
    for (menu, rows) in &once {
        let left_alone = !["/snmp", "/snmp community"].contains(&menu.as_str());
        let kept = rows.iter().all(|row| now[menu].contains(row));
        ensure!(
            !left_alone || kept,
            "{menu}: {rows:?} became {:?}",
            now[menu]
        );
    }
    eventually("what she did is hers at the cloud", async || {
        let sessions = owner.get("/sessions?page=1&pageSize=20").await?;
        let sessions = sessions["sessions"].as_array().cloned().unwrap_or_default();
        Ok((sessions.len() == 2).then_some(()))
    })
    .await?;
    roof.switch_off().await;
    roof.switch_on().await?;
    roof.entered(&id).await?;
    let all = owner.get("/nas").await?;
    assert_eq!(all["total"], 1, "told twice it is one: {all}");
    roof.close().await
}

/// What a stranger on the site's network can get: a login for the box's address, once, and nothing that lasts.
#[tokio::test(flavor = "multi_thread")]
async fn its_command_is_good_once_for_half_an_hour_and_holds_no_secret_that_lasts() -> Result<()> {
    let (_line, roof) = cut_off("stranger").await?;
    let begun = begin(&roof, &wish("Tower")).await?;
    let script = fetch(&roof, &begun).await?;
    assert_eq!(script.0, StatusCode::OK, "{script:?}");
    for held in ["/user", "provision-complete"] {
        ensure!(script.1.contains(held), "{held} in {}", script.1);
    }
    for secret in ["/radius", "secret="] {
        ensure!(!script.1.contains(secret), "{secret} in {}", script.1);
    }
    let (status, said) = fetch(&roof, &begun).await?;
    assert_eq!(status, StatusCode::NOT_FOUND, "{said}");
    ensure!(said.contains("take a new one"), "{said}");

    // Who took the script is who has to call, and with its key.
    let key = script.1.split("key\\3D").nth(1).context("a key")?;
    let key: String = key.chars().take(43).collect();
    let complete = |key: &str| {
        let url = format!(
            "http://{}/provision-complete/{}?key={key}",
            roof.door(),
            begun.router
        );
        async move {
            let client = reqwest::Client::builder().no_proxy();
            let client = client
                .local_address(std::net::IpAddr::from(roof.address))
                .build()?;
            anyhow::Ok(client.get(url).send().await?.status())
        }
    };
    assert_eq!(complete("wrong").await?, StatusCode::NOT_FOUND);
    assert_eq!(
        complete(&key).await?,
        StatusCode::NOT_FOUND,
        "another one calls"
    );

    // A new command makes the one before worthless, and ends by itself.
    let stale = begin(&roof, &wish("Tower")).await?;
    assert_eq!(stale.router, begun.router);
    let fresh = begin(&roof, &wish("Tower")).await?;
    let old = roof.router.paste(&stale.command).await;
    ensure!(old.is_err(), "{old:?}");
    roof.world.clock.advance(30 * MINUTE);
    let late = roof.router.paste(&fresh.command).await;
    ensure!(late.is_err(), "{late:?}");

    // What cannot be a router is said at once; one that never came is forgotten.
    let faulty = wish("Tower\n2");
    let refused = doctor::tell(roof.agent().status(), "/wizard", &faulty).await?;
    ensure!(refused.is_err(), "{refused:?}");
    let named = json!({"name": "TOWER"});
    let left = doctor::tell(roof.agent().status(), "/wizard/forget", &named).await?;
    assert_eq!(left.as_deref(), Ok("[]"));
    roof.close().await
}

/// A step that the router refuses is undone; a box that dies in the midst of it goes on.
#[tokio::test(flavor = "multi_thread")]
async fn what_breaks_is_undone_and_a_box_that_dies_goes_on() -> Result<()> {
    let (_line, mut roof) = cut_off("breaks").await?;
    let refused = Mishap::Refuse("failure: no more".to_owned());
    roof.router.mishap("/ppp/profile/add", refused);
    let begun = begin(&roof, &wish("Tower")).await?;
    assert_eq!(roof.router.paste(&begun.command).await, Ok(()));
    let failed = becomes(&roof, "Tower", Stage::Failed).await?;
    ensure!(failed.message.contains("failure: no more"), "{failed:?}");
    ensure!(failed.message.contains("as it was before"), "{failed:?}");
    for menu in ["/radius", "/ip pool", "/ip hotspot"] {
        assert_eq!(rows(&roof, menu), 0, "{menu} is as it was");
    }
    ensure!(
        roof.agent().overview().site.routers().is_empty(),
        "it is no router of the site"
    );

    // The cable is pulled, then the box.
    roof.router.mend();
    roof.router.mishap("/ppp/profile/add", Mishap::Unplug);
    let begun = begin(&roof, &wish("Tower")).await?;
    assert_eq!(roof.router.paste(&begun.command).await, Ok(()));
    eventually("the cable is out", async || {
        Ok((rows(&roof, "/radius") == 1).then_some(()))
    })
    .await?;
    becomes(&roof, "Tower", Stage::Configuring).await?;
    roof.switch_off().await;
    roof.router.mend();
    roof.switch_on().await?;
    becomes(&roof, "Tower", Stage::Done).await?;
    let zawadi = roof.router.subscriber("zawadi", "zawadi", Method::MsChapV2);
    zawadi.dial().await.online().started().await;
    roof.close().await
}

/// Somebody gives the agent's login another password in the midst of it: the box does not go on knocking, says why, and
/// puts right what it left with the next command.
#[tokio::test(flavor = "multi_thread")]
async fn a_router_that_refuses_the_login_is_left_alone_until_another_command() -> Result<()> {
    let (_line, mut roof) = cut_off("locked").await?;
    roof.router.mishap("/ppp/profile/add", Mishap::Unplug);
    let begun = begin(&roof, &wish("Tower")).await?;
    assert_eq!(roof.router.paste(&begun.command).await, Ok(()));
    eventually("the cable is out", async || {
        Ok((rows(&roof, "/radius") == 1).then_some(()))
    })
    .await?;
    becomes(&roof, "Tower", Stage::Configuring).await?;
    roof.switch_off().await;
    let changed = roof.router.configure(|machine| {
        machine.import(&format!(
            "/user set [find where name=\"{API_USER}\"] password=\"by-hand\"\n"
        ))
    });
    changed.map_err(anyhow::Error::msg)?;
    roof.router.mend();
    roof.switch_on().await?;

    // It tries both passwords that it has, and then nothing until its rest is over; whether it is it looks every two
    // seconds. Somebody else of the box may ask the router as it starts.
    let refusals = || roof.router.counters().api_refusals;
    let first = eventually("it knocks", async || {
        Ok(Some(refusals()).filter(|count| *count >= 2))
    })
    .await?;
    tokio::time::sleep(Duration::from_secs(9)).await;
    let then = refusals();
    ensure!(then <= first + 2, "{then} refusals, not {first}");
    roof.world.clock.advance(Duration::from_secs(5));
    eventually("it knocks again", async || {
        Ok((refusals() > then).then_some(()))
    })
    .await?;

    let failed = eventually("it gives up", async || {
        roof.world.clock.advance(Duration::from_secs(5));
        let found = told(&roof).await?.pop();
        Ok(found.filter(|one| one.stage == Stage::Failed))
    })
    .await?;
    ensure!(
        failed.message.contains("refuses the agent's login")
            && failed.message.contains("half configured"),
        "{failed:?}"
    );

    let begun = begin(&roof, &wish("Tower")).await?;
    assert_eq!(roof.router.paste(&begun.command).await, Ok(()));
    becomes(&roof, "Tower", Stage::Done).await?;
    assert_eq!(rows(&roof, "/radius"), 1);
    let zawadi = roof.router.subscriber("zawadi", "zawadi", Method::MsChapV2);
    zawadi.dial().await.online().started().await;
    roof.close().await
}

/// What was tried and serves is not undone because the password of its login cannot be changed: that is said.
#[tokio::test(flavor = "multi_thread")]
async fn what_serves_is_not_undone_for_its_password() -> Result<()> {
    let (_line, roof) = cut_off("serves").await?;
    roof.router.mishap("/password", Mishap::Unplug);
    let begun = begin(&roof, &wish("Tower")).await?;
    assert_eq!(roof.router.paste(&begun.command).await, Ok(()));
    eventually("it was tried", async || {
        let found = told(&roof).await?.pop();
        let tried = |one: &Told| one.lines.iter().any(|line| line.starts_with("Tried it"));
        Ok(found.filter(tried))
    })
    .await?;
    let done = eventually("it is given up", async || {
        roof.world.clock.advance(Duration::from_secs(5));
        let found = told(&roof).await?.pop();
        Ok(found.filter(|one| one.message.starts_with("It serves.")))
    })
    .await?;
    ensure!(done.message.contains("keeps the password"), "{done:?}");
    assert_eq!(done.stage, Stage::Done);
    roof.router.mend();
    assert_eq!(rows(&roof, "/radius"), 1);
    let zawadi = roof.router.subscriber("zawadi", "zawadi", Method::MsChapV2);
    zawadi.dial().await.online().started().await;
    roof.close().await
}

fn rows(roof: &Roof, menu: &str) -> usize {
    let state = roof.router.machine().state();
    state.get(menu).map_or(0, Vec::len)
}

/// A box that knows a customer, and then hears nothing of the cloud any more.
pub(super) async fn cut_off(name: &str) -> Result<(Line, Roof)> {
    let world = World::start().await?;
    let line = Line::to(world.agents(), 1).await?;
    let roof = Roof::at_the_end_of(&line, world, name).await?;
    let until = roof.world.clock.now().plus(DAY);
    roof.isp
        .add_subscriber("zawadi", "254712345699", until)
        .await?;
    let site = &roof.agent().overview().site;
    eventually("the agent knows her", async || {
        Ok(site.subscriber(b"zawadi"))
    })
    .await?;
    line.cut(true);
    Ok((line, roof))
}

pub(super) fn wish(name: &str) -> Wish {
    Wish {
        name: name.to_owned(),
        pppoe: Some(vec!["ether2".to_owned()]),
        hotspot: Some(Vec::new()),
        wan: None,
        agent: None,
        firewall: true,
        replaced: false,
    }
}

/// What the command line does.
pub(super) async fn begin(roof: &Roof, wish: &Wish) -> Result<Begun> {
    let said = doctor::tell(roof.agent().status(), "/wizard", wish).await?;
    Ok(serde_json::from_str(&said.map_err(anyhow::Error::msg)?)?)
}

pub(super) async fn told(roof: &Roof) -> Result<Vec<Told>> {
    let said = doctor::fetch_wizard(roof.agent().status()).await?;
    Ok(serde_json::from_str(&said)?)
}

pub(super) async fn becomes(roof: &Roof, name: &str, stage: Stage) -> Result<Told> {
    let mut last = Value::Null;
    let found = eventually("the box is so far", async || {
        let found = told(roof).await?.into_iter().find(|one| one.name == name);
        last = json!(found);
        Ok(found.filter(|one| one.stage == stage))
    })
    .await;
    found.with_context(|| format!("{stage:?}, not {last}"))
}

/// Somebody on the site's network who saw the command.
pub(super) async fn fetch(roof: &Roof, begun: &Begun) -> Result<(StatusCode, String)> {
    let path = begun.command.split('"').nth(1).context("an address")?;
    let path = path.split("/provision/").nth(1).context("a token")?;
    let url = format!("http://{}/provision/{path}", roof.door());
    let answer = http_client().get(url).send().await?;
    Ok((answer.status(), answer.text().await?))
}
