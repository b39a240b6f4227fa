//! A router out of its box, brought up by pasting one line: through the HTTP API alone, to customers online; and what
//! is said, and undone, when a step of it breaks.

mod again;
mod alive;
mod alone;
mod anew;
mod breaks;
mod drifts;
mod every_command;
mod goes_back;
mod guarded;
mod handed_over;
mod in_place;
mod linked;
mod pages;
mod places;
mod radios;
mod registers;
mod rights;
pub mod roof;
mod torn;
mod waits;

use std::net::Ipv4Addr;

use anyhow::{Context, Result, ensure};
use easyisp_tests::router::api::Face;
use easyisp_tests::router::subscriber::{Dial, Method};
use easyisp_tests::world::eventually;
use reqwest::{Method as Http, StatusCode};
use serde_json::{Value, json};

use crate::words::DAY;
use roof::{Roof, both, plain};

/// J2, J7: from the factory to a home and a guest online; nobody types anything at the router but the line.
#[tokio::test(flavor = "multi_thread")]
async fn a_router_from_the_box_serves_customers_after_one_pasted_line() -> Result<()> {
    brought_up(Face::Seven).await
}

/// The same at RouterOS 6, with the login from before 6.43.
#[tokio::test(flavor = "multi_thread")]
async fn a_router_from_the_box_serves_customers_after_one_pasted_line_at_six() -> Result<()> {
    brought_up(Face::Six).await
}

async fn brought_up(face: Face) -> Result<()> {
    let roof = Roof::open_at(face, "roof").await?;
    let owner = &roof.isp.owner;
    let name = "Mzee's \"tower\" $1; {é}";
    let started = roof.start(name).await?;
    let id = started["routerId"].as_str().context("an id")?;
    let command = started["provisionCommand"].as_str().context("a command")?;
    ensure!(
        command.starts_with(":do { /tool fetch mode=http url=\"http://"),
        "{command}"
    );
    // What a device may have to be let first is said before anything is pasted.
    for held in ["message", "status"] {
        let said = match held {
            "message" => started["message"].clone(),
            _ => owner.get(&format!("/wizard/{id}/status")).await?["message"].clone(),
        };
        for words in [
            "/system device-mode update mode=advanced",
            "flagged: yes",
            "within 5 minutes",
            "/import",
        ] {
            ensure!(text(&said)?.contains(words), "{held}: {words} in {said}");
        }
    }
    let secret = started["secret"].as_str().context("a secret")?;
    let wizard = format!("/wizard/{id}");
    let get = async |what: &str| owner.get(&format!("{wizard}/{what}")).await;

    // Nobody has met it yet.
    let router = owner.get(&format!("/nas/{id}")).await?;
    assert_eq!(
        (&router["status"], &router["provisioningStatus"]),
        (&json!("PENDING"), &json!("Command Pending"))
    );
    let verified = get("verify").await?;
    assert_eq!(
        (&verified["online"], &verified["apiReachable"]),
        (&json!(false), &json!(false)),
        "{verified}"
    );
    let none = roof.router.subscriber("zawadi", "zawadi", Method::MsChapV2);
    assert!(matches!(none.dial().await, Dial::NoAnswer));

    let pasted = roof.router.paste(command).await;
    assert_eq!(pasted, Ok(()), "{:?}", roof.router.machine().caught);
    let machine = roof.router.machine();
    assert_eq!(machine.rows("/radius", "secret", secret).len(), 1);
    assert_eq!(machine.rows("/system identity", "name", name).len(), 1);
    assert_eq!(machine.rows("/file", "name", "easyisp.rsc").len(), 0);
    let profile = machine.rows("/ip hotspot profile", "name", "easyisp-hotspot");
    assert_eq!(profile[0]["login-by"], "http-pap,mac-cookie");
    let status = get("status").await?;
    assert_eq!(
        (&status["isProvisioned"], &status["step"]),
        (&json!(true), &json!("CALLED")),
        "{status}"
    );
    assert_eq!(status["ipAddress"], roof.address.to_string());
    let router = owner.get(&format!("/nas/{id}")).await?;
    assert_eq!(
        (&router["status"], &router["provisioningStatus"]),
        (&json!("ONLINE"), &json!("Provisioned"))
    );

    let verified = eventually("the agent enters it", async || {
        let verified = get("verify").await?;
        Ok((verified["apiReachable"] == true).then_some(verified))
    })
    .await?;
    assert_eq!(verified["online"], true, "{verified}");
    let info = get("system-info").await?;
    let runs = match face {
        Face::Six => "6.49.10 (long-term)",
        Face::Seven => "7.18.2 (stable)",
    };
    assert_eq!(
        (&info["version"], &info["totalMemory"]),
        (&json!(runs), &json!(1_073_741_824))
    );
    // Of modes RouterOS 6 knows nothing.
    let mode = match face {
        Face::Six => json!(null),
        Face::Seven => {
            json!({"mode": "advanced", "flagged": false, "forbids": [], "message": null})
        }
    };
    assert_eq!(info["deviceMode"], mode, "{info}");
    let ports = get("interfaces").await?;
    assert_eq!(ports["wanInterface"], "ether1", "{ports}");
    let wan = ports["interfaces"].as_array().context("a list")?;
    assert_eq!(wan.iter().filter(|port| port["isWan"] == true).count(), 1);
    let untested = owner
        .call(Http::GET, &format!("{wizard}/test"), None)
        .await?;
    assert_eq!(untested.1["code"], "NOT_CONFIGURED", "{untested:?}");

    let done = owner.post(&format!("{wizard}/configure"), &both()).await?;
    assert_eq!(done["success"], true, "{done}");
    let works = json!({"hotspot": true, "pppoe": true, "radius": true});
    assert_eq!(done["testResult"], works, "{done}");
    let results = done["results"].as_array().context("results")?;
    assert_eq!(
        results[0], "Saved a backup on the router: easyisp-before-1.backup, easyisp-before-1.rsc",
        "{done}"
    );
    ensure!(results.len() >= 6, "{done}");
    assert_eq!(get("test").await?, works);
    let once = plain(&roof.router);
    assert_eq!(once["/interface bridge port"].len(), 3);
    let status = get("status").await?;
    assert_eq!(
        (&status["step"], &status["progress"]),
        (&json!("DONE"), &json!(100))
    );

    // Once more: nothing is otherwise.
    let again = owner.post(&format!("{wizard}/configure"), &both()).await?;
    assert_eq!(again["success"], true, "{again}");
    assert_eq!(plain(&roof.router), once);

    let until = roof.world.clock.now().plus(DAY);
    roof.isp
        .add_subscriber("zawadi", "254712345699", until)
        .await?;
    let site = &roof.agent().overview().site;
    eventually("the agent knows her", async || {
        Ok(site.subscriber(b"zawadi"))
    })
    .await?;
    let zawadi = roof.router.subscriber("zawadi", "zawadi", Method::MsChapV2);
    let online = zawadi.dial().await.online();
    online.started().await;

    let hour = json!({"name": "Hour", "type": "HOTSPOT", "price": 20, "downloadSpeed": 4,
        "uploadSpeed": 2, "sessionTime": 60});
    let hour = owner.post("/packages", &hour).await?;
    let batch = json!({"count": 1, "packageId": hour["id"]});
    let batch = owner.post("/vouchers", &batch).await?;
    let code = batch["vouchers"][0]["code"].as_str().context("a code")?;
    let guest = roof
        .router
        .subscriber(code, code, Method::Pap)
        .hotspot(Ipv4Addr::new(10, 5, 50, 9));
    let inside = eventually("the voucher is good at the site", async || {
        match guest.dial().await {
            Dial::Online(online) => Ok(Some(online)),
            Dial::Rejected(_) | Dial::NoAnswer | Dial::Unproven => Ok(None),
        }
    })
    .await?;
    inside.started().await;
    assert_eq!(roof.router.sessions().len(), 2);

    // Who it was, and that no secret is in what is told of it.
    let trail = owner.get("/audit-logs?action=ROUTER_SETUP").await?;
    ensure!(trail["total"].as_i64() >= Some(5), "{trail}");
    ensure!(!trail.to_string().contains(secret), "{trail}");
    roof.close().await
}

/// A token is good once, for half an hour, at its own router; a caller's headers say nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_command_is_good_once_for_half_an_hour_and_for_its_router_alone() -> Result<()> {
    let roof = Roof::open("once").await?;
    let owner = &roof.isp.owner;
    let first = roof.start("First").await?;
    let (id, second) = (text(&first["routerId"])?, roof.start("Second").await?);
    let taken = owner
        .call(Http::POST, "/wizard/start", Some(&json!({"name": "first"})))
        .await?;
    assert_eq!(
        (taken.0, &taken.1["code"]),
        (StatusCode::CONFLICT, &json!("ROUTER_NAME_TAKEN"))
    );

    let fetch = async |token: &str| roof.fetch(&format!("/provision/{token}")).await;
    let token = text(&first["token"])?;
    let (status, script) = fetch(&token).await?;
    assert_eq!(status, StatusCode::OK);
    for held in [
        text(&first["secret"])?.as_str(),
        "provision-complete",
        "accept=\"yes\"",
    ] {
        // `accept=yes` is a word of ours: written as it is.
        let held = held.replace("=\"yes\"", "=yes");
        ensure!(script.contains(&held), "{held} in {script}");
    }
    ensure!(!script.contains(&token), "the token is in its own script");
    let (status, refused) = fetch(&token).await?;
    assert_eq!(status, StatusCode::NOT_FOUND, "{refused}");
    ensure!(
        refused.contains("take a new one from the wizard"),
        "{refused}"
    );

    // The key of one router says nothing of another; a header says nothing of an address.
    let key = script.split("key\\3D").nth(1).context("a key")?;
    let key: String = key.chars().take(43).collect();
    let complete =
        |router: &str, key: &str| format!("/api/wizard/{router}/provision-complete?key={key}");
    let other = text(&second["routerId"])?;
    for path in [
        complete(&other, &key),
        complete(&id, ""),
        complete(&id, &token),
    ] {
        let (status, said) = roof.fetch(&path).await?;
        assert_eq!(status, StatusCode::NOT_FOUND, "{path}: {said}");
    }
    let (status, _) = roof.fetch(&complete(&id, &key)).await?;
    assert_eq!(status, StatusCode::OK);
    let shown = owner.get(&format!("/nas/{id}")).await?;
    assert_eq!(shown["ipAddress"], "127.0.0.1", "not the header's: {shown}");
    let (status, _) = roof.fetch(&complete(&id, &key)).await?;
    assert_eq!(status, StatusCode::NOT_FOUND, "a key is good once");

    // A new command makes the one before worthless, and ends by itself.
    let stale = text(&second["token"])?;
    let again = owner
        .post("/wizard/start", &json!({"routerId": other}))
        .await?;
    assert_eq!(again["secret"], second["secret"], "the secret stays");
    assert_eq!(fetch(&stale).await?.0, StatusCode::NOT_FOUND);
    roof.world.clock.advance(DAY / 48);
    assert_eq!(
        fetch(&text(&again["token"])?).await?.0,
        StatusCode::NOT_FOUND
    );

    // Behind one public address it is where it says that its agent sees it.
    let third = owner
        .post("/wizard/start", &json!({"routerId": other}))
        .await?;
    let (_, script) = fetch(&text(&third["token"])?).await?;
    let key = script.split("key\\3D").nth(1).context("a key")?;
    let key: String = key.chars().take(43).collect();
    let told = format!(
        "{}&failed=2&addresses=203.0.113.9/30,10.9.0.1/24,",
        complete(&other, &key)
    );
    assert_eq!(roof.fetch(&told).await?.0, StatusCode::OK);
    let shown = owner.get(&format!("/nas/{other}")).await?;
    assert_eq!(
        (&shown["ipAddress"], &shown["provisioningStatus"]),
        (&json!("10.9.0.1"), &json!("Failed"))
    );
    let status = owner.get(&format!("/wizard/{other}/status")).await?;
    ensure!(
        text(&status["message"])?.contains("2 steps of its script failed"),
        "{status}"
    );

    // It answers its agent or not: what failed is said first.
    let verified = owner.get(&format!("/wizard/{other}/verify")).await?;
    ensure!(
        text(&verified["message"])?.contains("2 steps of its script failed"),
        "{verified}"
    );
    // What somebody entered of its network stays, where it is in that.
    let fourth = owner
        .post("/wizard/start", &json!({"routerId": other}))
        .await?;
    let network = json!({"sourceNetwork": "10.9.0.0/24"});
    owner.put(&format!("/nas/{other}"), &network).await?;
    let (_, script) = fetch(&text(&fourth["token"])?).await?;
    let key = script.split("key\\3D").nth(1).context("a key")?;
    let key: String = key.chars().take(43).collect();
    let told = format!("{}&addresses=10.9.0.7/24,", complete(&other, &key));
    assert_eq!(roof.fetch(&told).await?.0, StatusCode::OK);
    let shown = owner.get(&format!("/nas/{other}")).await?;
    assert_eq!(
        (&shown["ipAddress"], &shown["sourceNetwork"]),
        (&json!("10.9.0.7"), &json!("10.9.0.0/24")),
        "a network that it is in stays as it was entered"
    );

    // What the page keeps, and leaving.
    let kept = json!({"page": 3, "name": "é"});
    owner
        .post(&format!("/wizard/{id}/save-state"), &kept)
        .await?;
    let resumed = owner.get(&format!("/wizard/{id}/resume")).await?;
    assert_eq!(
        (&resumed["state"], &resumed["step"]),
        (&kept, &json!("CALLED"))
    );
    let gone = roof.start("Never").await?;
    let never = text(&gone["routerId"])?;
    let (status, _) = owner
        .call(Http::DELETE, &format!("/wizard/{never}"), None)
        .await?;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(
        fetch(&text(&gone["token"])?).await?.0,
        StatusCode::NOT_FOUND
    );
    let (status, _) = owner
        .call(Http::GET, &format!("/nas/{never}"), None)
        .await?;
    assert_eq!(
        status,
        StatusCode::NOT_FOUND,
        "a router that never came goes with it"
    );
    roof.close().await
}

fn text(value: &Value) -> Result<String> {
    Ok(value
        .as_str()
        .with_context(|| format!("a text, not {value}"))?
        .to_owned())
}
