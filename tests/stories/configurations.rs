//! How a router is configured is kept: what anybody changed is a version, with exactly that in its diff, and no
//! secret in it.

use anyhow::{Context, Result, ensure};
use easyisp_shared::time::{Clock, Timestamp};
use easyisp_shared::wire::{Lane, UpKind};
use easyisp_tests::hooks::Receiver;
use easyisp_tests::router::session::Service;
use easyisp_tests::world::{Provider, START, Site, World, eventually, soon};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::words::{HOUR, MINUTE};

const CHOICE: &str = "serviceType=both&release=7&wanInterface=ether1&pppoeInterfaces=ether2&hotspotInterfaces=ether3,\
                      wlan1&agents=10.9.0.2,10.9.0.3";

/// A hand changes a queue and adds a rule: within the hour there is a version with exactly these lines. Then another
/// secret, which is seen and not shown, and our own repair of it. A change while the link is away arrives once.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_hand_changed_is_a_version_with_exactly_that_in_its_diff() -> Result<()> {
    let receiver = Receiver::start().await?;
    let mut world = World::start_with(Clock::test(START), |config| {
        config.webhooks.ca_file = Some(receiver.ca_file());
    })
    .await?;
    let isp = Provider::sign_up(&world, "keeper").await?;
    let hook = json!({"url": receiver.url(), "events": ["router.configuration_changed"]});
    isp.owner.post("/webhooks", &hook).await?;
    let site = configured(&world, &isp).await?;
    let office = [
        ("name", "office"),
        ("target", "10.0.0.9/32"),
        ("max-limit", "5M/5M"),
    ];
    let office = by_hand(site.router.add_by_hand("/queue/simple", &office))?;
    site.router
        .add_user(Service::Pppoe, "guard", "his-own-password");

    let versions = format!("/nas/{}/configurations", site.router_id);
    let first = isp.owner.post(&versions, &json!({})).await?;
    assert_eq!(
        (&first["reason"], &first["isWhole"]),
        (&json!("FIRST"), &json!(true)),
        "{first}"
    );
    let (status, again) = isp
        .owner
        .call(Method::POST, &versions, Some(&json!({})))
        .await?;
    assert_eq!((status, &again["id"]), (StatusCode::OK, &first["id"]));
    let text = text_of(&isp, &versions, &first).await?;
    for line in [
        "/ip pool\n",
        "add name=easyisp-pppoe ranges=10.10.10.2-10.10.10.254\n",
        "set accounting=yes interim-update=5m use-radius=yes\n",
        "comment=\"defconf: drop the rest\"",
        "set [ find name=api-ssl ] ",
    ] {
        ensure!(text.contains(line), "{line} is not in {text}");
    }
    for secret in [site.secret(), "his-own-password"] {
        ensure!(!text.contains(secret), "{secret} is in {text}");
    }
    ensure!(text.contains("name=guard password=\"*** "), "{text}");

    // A hand.
    let slower = [("max-limit", "1M/1M")];
    by_hand(site.router.set_by_hand("/queue/simple", &office, &slower))?;
    typed(
        &site,
        "/ip firewall filter add chain=forward action=drop dst-port=25 protocol=tcp comment=\"no mail\"",
    )?;
    let since = world.clock.now();
    becomes(&world, &isp, &versions, 2).await?;
    let list = isp.owner.get(&versions).await?;
    let late = taken_at(&list)?.since(since);
    ensure!(late <= HOUR + 2 * MINUTE, "seen only after {late:?}");
    let seen = &list["configurations"][0];
    assert_eq!(
        (&seen["reason"], &seen["linesAdded"], &seen["linesRemoved"]),
        (&json!("SEEN"), &json!(2), &json!(1)),
        "{list}"
    );
    let told = soon("it is told", receiver.takes(1)).await?.json()?;
    assert_eq!(told["event"], "router.configuration_changed");
    assert_eq!(
        (
            &told["data"]["configurationId"],
            &told["data"]["linesAdded"]
        ),
        (&seen["id"], &json!(2)),
        "{told}"
    );
    let diff = diff_of(&isp, &versions, seen).await?;
    assert_eq!(diff["against"], first["id"]);
    assert_eq!(
        changed_lines(&diff)?,
        [
            "-add burst-limit=0/0 burst-threshold=0/0 burst-time=0s/0s disabled=no max-limit=5000000/5000000 \
             name=office parent=none priority=8/8 target=10.0.0.9/32",
            "+add burst-limit=0/0 burst-threshold=0/0 burst-time=0s/0s disabled=no max-limit=1000000/1000000 \
             name=office parent=none priority=8/8 target=10.0.0.9/32",
            "+add action=drop chain=forward comment=\"no mail\" disabled=no dst-port=25 protocol=tcp",
        ],
        "{diff}"
    );

    // Another secret.
    typed(
        &site,
        "/radius set [find where comment=\"easyisp:radius:1\"] secret=\"guessed\"",
    )?;
    becomes(&world, &isp, &versions, 3).await?;
    let list = isp.owner.get(&versions).await?;
    let guessed = list["configurations"][0].clone();
    let diff = diff_of(&isp, &versions, &guessed).await?;
    let lines = changed_lines(&diff)?;
    ensure!(
        lines.len() == 2 && lines.iter().all(|line| line.contains("secret=\"*** ")),
        "{lines:?}"
    );
    ensure!(!diff.to_string().contains("guessed"), "{diff}");

    // Ours: it is as it was, which the text shows.
    let repair = format!("/nas/{}/drift/repair?{CHOICE}", site.router_id);
    isp.owner.post(&repair, &json!({})).await?;
    let since = world.clock.now();
    becomes(&world, &isp, &versions, 4).await?;
    let list = isp.owner.get(&versions).await?;
    let late = taken_at(&list)?.since(since);
    ensure!(late <= 5 * MINUTE, "seen only after {late:?}");
    let repaired = &list["configurations"][0];
    assert_eq!(repaired["reason"], "SETUP", "{list}");
    assert_eq!(
        repaired["digest"], list["configurations"][2]["digest"],
        "{list}"
    );

    // The link is away meanwhile.
    let before = reported(&site).await?;
    world.stop_cloud().await?;
    site.cut_off().await?;
    typed(&site, "/ip pool add name=lab ranges=10.77.0.2-10.77.0.9")?;
    eventually("the box has seen it", async || {
        world.clock.advance(MINUTE);
        Ok((reported(&site).await? > before).then_some(()))
    })
    .await?;
    world.start_cloud().await?;
    site.caught_up().await?;
    site.reported().await?;
    let list = isp.owner.get(&versions).await?;
    assert_eq!(list["total"], 5, "{list}");
    let diff = diff_of(&isp, &versions, &list["configurations"][0]).await?;
    assert_eq!(
        changed_lines(&diff)?,
        ["+add name=lab ranges=10.77.0.2-10.77.0.9"],
        "{diff}"
    );

    // Of five versions these were somebody else's: the hand's, the guess and the pool.
    let told = soon("all is told", receiver.takes(3)).await?.json()?;
    assert_eq!(
        told["data"]["configurationId"], list["configurations"][0]["id"],
        "{told}"
    );
    let trail = isp.owner.get("/audit-logs?action=ROUTER_BACKUP").await?;
    assert_eq!(trail["total"], 2, "{trail}");
    nobody_elses(&world, &versions, &first).await?;
    site.stop().await;
    world.stop().await
}

/// A router as its script makes it.
async fn configured(world: &World, isp: &Provider) -> Result<Site> {
    let site = Site::open_with_api(world, isp).await?;
    let config = format!("/nas/{}/config?{CHOICE}", site.router_id);
    let script = isp.owner.get(&config).await?;
    let script = script["script"].as_str().context("a script")?;
    by_hand(site.router.configure(|machine| {
        for (port, kind) in [("ether2", "ether"), ("ether3", "ether"), ("wlan1", "wlan")] {
            machine.put("/interface", &[("name", port), ("type", kind)]);
        }
        machine.import(script)
    }))?;
    Ok(site)
}

fn typed(site: &Site, line: &str) -> Result<()> {
    by_hand(
        site.router
            .configure(|machine| machine.import(&format!("{line}\n"))),
    )
}

fn by_hand<T>(done: std::result::Result<T, String>) -> Result<T> {
    done.map_err(anyhow::Error::msg)
}

/// Lets time go on until there are so many versions.
async fn becomes(world: &World, isp: &Provider, versions: &str, total: i64) -> Result<()> {
    eventually(&format!("{total} versions"), async || {
        let list = isp.owner.get(versions).await?;
        if list["total"] == total {
            return Ok(Some(()));
        }
        world.clock.advance(MINUTE);
        Ok(None)
    })
    .await
}

/// When the newest one was read.
fn taken_at(list: &Value) -> Result<Timestamp> {
    Ok(serde_json::from_value(
        list["configurations"][0]["takenAt"].clone(),
    )?)
}

/// How many configurations the box has written down so far.
async fn reported(site: &Site) -> Result<usize> {
    let reader = site.agent().overview().reader.clone();
    let kept = tokio::task::spawn_blocking(move || {
        reader.records(Lane::Metrics.code(), 0, 10_000, 100 << 20)
    });
    let kept = kept.await??;
    let code = UpKind::Configuration.code();
    Ok(kept.iter().filter(|kept| kept.record.kind == code).count())
}

async fn text_of(isp: &Provider, versions: &str, version: &Value) -> Result<String> {
    let id = version["id"].as_str().context("an id")?;
    let whole = isp.owner.get(&format!("{versions}/{id}")).await?;
    Ok(whole["text"].as_str().context("a text")?.to_owned())
}

async fn diff_of(isp: &Provider, versions: &str, version: &Value) -> Result<Value> {
    let id = version["id"].as_str().context("an id")?;
    isp.owner.get(&format!("{versions}/{id}/diff")).await
}

/// The lines of a diff that are more or less.
fn changed_lines(diff: &Value) -> Result<Vec<&str>> {
    let diff = diff["diff"].as_str().context("a diff")?;
    let lines = diff.lines().skip(2);
    Ok(lines.filter(|line| line.starts_with(['+', '-'])).collect())
}

/// Another provider sees nothing of it.
async fn nobody_elses(world: &World, versions: &str, version: &Value) -> Result<()> {
    let stranger = Provider::sign_up(world, "stranger").await?;
    let id = version["id"].as_str().context("an id")?;
    for (method, path) in [
        (Method::GET, versions.to_owned()),
        (Method::POST, versions.to_owned()),
        (Method::GET, format!("{versions}/{id}")),
        (Method::GET, format!("{versions}/{id}/diff")),
    ] {
        let body = (method == Method::POST).then(|| json!({}));
        let (status, answer) = stranger.owner.call(method, &path, body.as_ref()).await?;
        assert_eq!(status, StatusCode::NOT_FOUND, "{path}: {answer}");
    }
    Ok(())
}
