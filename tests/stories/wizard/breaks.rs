//! Each step of it breaks: the router is as it was, and the message says what to do.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use easyisp_tests::router::api::Face;
use easyisp_tests::router::{Mishap, Router};
use easyisp_tests::scenario::Manners;
use easyisp_tests::world::Provider;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::roof::{Roof, both, plain};

/// What keeps a configuration from being begun is said at once, and nothing is touched.
#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_begun_touches_nothing() -> Result<()> {
    let mut roof = Roof::open("refused").await?;
    let id = roof.bring_up("Tower").await?;
    let before = plain(&roof.router);
    let ask = async |roof: &Roof, body: &Value| -> Result<(StatusCode, Value)> {
        let path = format!("/wizard/{id}/configure");
        roof.isp.owner.call(Method::POST, &path, Some(body)).await
    };

    // Somebody else's.
    let stranger = Provider::sign_up(&roof.world, "stranger").await?;
    for (method, what) in [
        (Method::GET, "verify"),
        (Method::GET, "status"),
        (Method::GET, "interfaces"),
        (Method::POST, "configure"),
        (Method::POST, "auto-configure"),
    ] {
        let path = format!("/wizard/{id}/{what}");
        let (status, said) = stranger.owner.call(method, &path, Some(&both())).await?;
        assert_eq!(status, StatusCode::NOT_FOUND, "{what}: {said}");
    }

    // What no router can be.
    for (body, field) in [
        (json!({"serviceType": "pppoe"}), "pppoeConfig.interfaces"),
        (
            json!({"serviceType": "pppoe", "pppoeConfig": {"interfaces": ["ether9"]}}),
            "pppoeConfig.interfaces",
        ),
        (
            json!({"serviceType": "pppoe", "pppoeConfig": {"interfaces": ["ether1"]}}),
            "pppoeConfig.interfaces",
        ),
        (
            json!({"serviceType": "pppoe", "wanInterface": "ether8", "pppoeConfig": {"interfaces": ["ether2"]}}),
            "wanInterface",
        ),
    ] {
        let (status, said) = ask(&roof, &body).await?;
        assert_eq!(
            (status.as_u16(), &said["details"][0]["field"]),
            (400, &json!(field)),
            "{body}: {said}"
        );
    }

    // The device's mode.
    let mode = |router: &Router, hotspot| {
        router.configure(|machine| machine.put_all("/system device-mode", "hotspot", hotspot));
    };
    mode(&roof.router, "no");
    // It is said before anybody configures anything.
    let seen = |path: &str| {
        let (owner, path) = (roof.isp.owner.clone(), format!("/wizard/{id}/{path}"));
        async move { owner.get(&path).await }
    };
    let info = seen("system-info").await?;
    assert_eq!(info["deviceMode"]["mode"], "advanced", "{info}");
    assert_eq!(info["deviceMode"]["forbids"], json!(["hotspot"]), "{info}");
    for told in [
        &info["deviceMode"]["message"],
        &seen("verify").await?["message"],
    ] {
        let told = told.as_str().context("words")?;
        ensure!(
            told.contains("/system device-mode update hotspot=yes on the router"),
            "{told}"
        );
    }
    let (status, said) = ask(&roof, &both()).await?;
    assert_eq!(
        (status.as_u16(), &said["code"]),
        (422, &json!("DEVICE_MODE")),
        "{said}"
    );
    ensure!(
        words(&said)?.contains("/system device-mode update hotspot=yes"),
        "{said}"
    );
    mode(&roof.router, "yes");
    let info = seen("system-info").await?;
    assert_eq!(
        (
            &info["deviceMode"]["forbids"],
            &info["deviceMode"]["message"]
        ),
        (&json!([]), &json!(null)),
        "{info}"
    );
    let verified = seen("verify").await?;
    ensure!(
        !verified["message"]
            .as_str()
            .context("words")?
            .contains("device-mode"),
        "{verified}"
    );

    // The port behind which the agent is.
    roof.router.configure(|machine| {
        let agent = [("address", "10.9.0.2"), ("interface", "ether2")];
        machine.put("/ip arp", &agent);
    });
    let (status, said) = ask(&roof, &both()).await?;
    assert_eq!(
        (status.as_u16(), &said["code"]),
        (422, &json!("AGENTS_PORT")),
        "{said}"
    );
    // Or behind a line of its own on that port.
    roof.router.configure(|machine| {
        machine.put_all("/ip arp", "interface", "vlan9");
        machine.put(
            "/interface vlan",
            &[("name", "vlan9"), ("interface", "ether2")],
        );
    });
    let (status, said) = ask(&roof, &both()).await?;
    assert_eq!(
        (status.as_u16(), &said["code"]),
        (422, &json!("AGENTS_PORT")),
        "{said}"
    );
    // Or nobody knows where.
    roof.router.configure(|machine| {
        machine.clear("/ip arp");
        machine.clear("/ip route");
    });
    let (status, said) = ask(&roof, &both()).await?;
    assert_eq!(
        (status.as_u16(), &said["code"]),
        (422, &json!("AGENTS_PORT")),
        "{said}"
    );
    ensure!(words(&said)?.contains("does not tell"), "{said}");
    roof.router.configure(|machine| {
        machine.clear("/interface vlan");
        let route = [
            ("dst-address", "0.0.0.0/0"),
            ("gateway", "192.0.2.1"),
            ("immediate-gw", "192.0.2.1%ether1"),
            ("active", "yes"),
        ];
        machine.put("/ip route", &route);
    });

    // Closed to all but another agent it would be closed to this one.
    let mut other = both();
    other["agents"] = json!(["10.9.0.77"]);
    let (status, said) = ask(&roof, &other).await?;
    assert_eq!(
        (status.as_u16(), &said["code"]),
        (422, &json!("AGENT_NOT_LISTED")),
        "{said}"
    );
    ensure!(words(&said)?.contains("10.9.0.2"), "{said}");
    // Or to the site's other one, which enters from elsewhere.
    let beside = [
        ("name", "easyisp"),
        ("via", "api-ssl"),
        ("address", "203.0.113.9"),
    ];
    roof.router
        .configure(|machine| machine.put("/user active", &beside));
    let (status, said) = ask(&roof, &both()).await?;
    assert_eq!(
        (status.as_u16(), &said["code"]),
        (422, &json!("AGENT_NOT_LISTED")),
        "{said}"
    );
    ensure!(words(&said)?.contains("203.0.113.9"), "{said}");
    roof.router
        .configure(|machine| machine.clear("/user active"));

    // The agent is away, and back.
    roof.switch_off().await;
    let path = format!("/wizard/{id}/verify");
    let said = super::eventually("the cloud notices", async || {
        let said = roof.isp.owner.get(&path).await?;
        Ok((said["apiReachable"] == false).then_some(said))
    })
    .await?;
    ensure!(words(&said)?.contains("not connected"), "{said}");
    let (status, said) = ask(&roof, &both()).await?;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{said}");
    ensure!(words(&said)?.contains("not connected"), "{said}");
    roof.switch_on().await?;
    roof.entered(&id).await?;
    assert_eq!(
        different(&before, &plain(&roof.router)),
        Vec::<String>::new()
    );

    // Another password on the router than ours.
    roof.router
        .configure(|machine| machine.put_all("/user", "password", "another"));
    roof.router.reboot();
    let (status, said) = ask(&roof, &both()).await?;
    assert_eq!(status, StatusCode::BAD_GATEWAY, "{said}");
    ensure!(words(&said)?.contains("refuses the API user"), "{said}");
    roof.close().await
}

/// A device out of its box may be kept from fetching by its mode: the terminal says what to do, nothing is used up, and
/// the same script comes in as a file.
#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_must_not_fetch_says_so_and_takes_a_file() -> Result<()> {
    let roof = Roof::open("mode").await?;
    let owner = &roof.isp.owner;
    let fetch = |allowed: &'static str| {
        roof.router
            .configure(|machine| machine.put_all("/system device-mode", "fetch", allowed));
    };
    fetch("no");
    let started = roof.start("Home").await?;
    let id = started["routerId"].as_str().context("an id")?;
    let command = started["provisionCommand"].as_str().context("a command")?;
    crate::setup_scripts::is_sound(command)?;
    let said = roof
        .router
        .paste(command)
        .await
        .err()
        .context("no script")?;
    ensure!(
        said.contains("/system device-mode update mode=advanced")
            && said.contains("within 5 minutes"),
        "{said}"
    );
    let verified = owner.get(&format!("/wizard/{id}/verify")).await?;
    assert_eq!(verified["online"], false, "{verified}");
    ensure!(words(&verified)?.contains("/import it"), "{verified}");

    // As a file, and the router's address by hand.
    let taken = owner.get(&format!("/wizard/{id}/script")).await?;
    let script = taken["script"].as_str().context("a script")?;
    let imported = roof.router.configure(|machine| machine.import(script));
    imported.map_err(anyhow::Error::msg)?;
    let address = json!({"ipAddress": roof.address.to_string()});
    owner.put(&format!("/nas/{id}"), &address).await?;
    roof.entered(id).await?;
    let verified = owner.get(&format!("/wizard/{id}/verify")).await?;
    assert_eq!(verified["online"], true, "{verified}");
    ensure!(
        words(&verified)?.contains("did not use its command"),
        "{verified}"
    );

    // Once it is let the same command is good still.
    fetch("yes");
    assert_eq!(roof.router.paste(command).await, Ok(()));
    let status = owner.get(&format!("/wizard/{id}/status")).await?;
    assert_eq!(status["step"], "CALLED", "{status}");
    roof.close().await
}

/// A step that the router refuses, or that does not work in the end, is undone with all before it.
#[tokio::test(flavor = "multi_thread")]
async fn what_fails_half_way_is_undone() -> Result<()> {
    undone(Face::Seven).await
}

/// The same at RouterOS 6, with the login from before 6.43.
#[tokio::test(flavor = "multi_thread")]
async fn what_fails_half_way_is_undone_at_six() -> Result<()> {
    undone(Face::Six).await
}

async fn undone(face: Face) -> Result<()> {
    let roof = Roof::open_at(face, "undone").await?;
    let id = roof.bring_up("Tower").await?;
    roof.router.configure(|machine| {
        // What others made, and what an earlier hand left of ours.
        machine.put(
            "/interface bridge",
            &[("name", "bridge"), ("comment", "defconf")],
        );
        machine.put("/interface", &[("name", "bridge"), ("type", "bridge")]);
        let port = [
            ("interface", "ether3"),
            ("bridge", "bridge"),
            ("comment", "defconf"),
        ];
        machine.put("/interface bridge port", &port);
        let old = [
            ("comment", "easyisp:nat-pppoe"),
            ("chain", "srcnat"),
            ("action", "masquerade"),
        ];
        machine.put("/ip firewall nat", &old);
        machine.put_all("/ip dns", "servers", "192.0.2.53");
    });
    let path = format!("/wizard/{id}/configure");
    let router = format!("/nas/{id}");
    for (command, words_of_it) in [
        ("/system/backup/save", "failure: not enough space"),
        ("/ip/pool/set", "failure: first"),
        ("/interface/bridge/port/set", "failure: not this port"),
        ("/ip/hotspot/add", "failure: not allowed by device-mode"),
        ("/ip/firewall/filter/add", "failure: no more rules"),
    ] {
        // The pool of the first script has other addresses by now: it is to be changed.
        roof.router
            .configure(|machine| machine.put_all("/ip pool", "ranges", "10.7.7.7-10.7.7.9"));
        let before = plain(&roof.router);
        roof.router
            .mishap(command, Mishap::Refuse(words_of_it.to_owned()));
        let said = roof.isp.owner.post(&path, &both()).await?;
        assert_eq!(said["success"], false, "{command}: {said}");
        let message = words(&said)?;
        ensure!(message.contains(words_of_it), "{command}: {message}");
        ensure!(
            message.contains("The router is as it was before"),
            "{command}: {message}"
        );
        ensure!(
            message.ends_with("configure again."),
            "{command}: {message}"
        );
        assert_eq!(
            different(&before, &plain(&roof.router)),
            Vec::<String>::new(),
            "{command}"
        );
        let shown = roof.isp.owner.get(&router).await?;
        assert_eq!(shown["provisioningStatus"], "Failed", "{command}");
        roof.router.mend();
    }

    // Configured to the letter, and deaf at its CoA port: nobody could ever be cut.
    let before = plain(&roof.router);
    roof.router.manners(Manners::Ignore);
    let said = roof.isp.owner.post(&path, &both()).await?;
    assert_eq!(said["success"], false, "{said}");
    ensure!(words(&said)?.contains("CoA port"), "{said}");
    assert_eq!(said["testResult"]["radius"], false, "{said}");
    assert_eq!(
        different(&before, &plain(&roof.router)),
        Vec::<String>::new()
    );
    roof.router.manners(Manners::Obey);

    // Said to be done, and not done: in a step that serves nobody.
    roof.router
        .mishap("/ip/firewall/filter/add", Mishap::Pretend);
    let said = roof.isp.owner.post(&path, &both()).await?;
    assert_eq!(said["success"], false, "{said}");
    ensure!(words(&said)?.contains("/ip firewall filter"), "{said}");
    assert_eq!(
        different(&before, &plain(&roof.router)),
        Vec::<String>::new()
    );
    roof.router.mend();

    let said = roof.isp.owner.post(&path, &both()).await?;
    assert_eq!(said["success"], true, "{said}");
    let moved = roof.router.machine();
    let moved = moved.rows("/interface bridge port", "interface", "ether3");
    assert_eq!(moved[0]["bridge"], "easyisp-hotspot");

    // Or all of it guessed: every port but the way out, in one bridge.
    let path = format!("/wizard/{id}/auto-configure");
    let said = roof.isp.owner.post(&path, &json!({})).await?;
    assert_eq!(said["success"], true, "{said}");
    let ports = plain(&roof.router);
    let ports = &ports["/interface bridge port"];
    let ours = ports
        .iter()
        .filter(|port| port["bridge"] == "easyisp-hotspot");
    assert_eq!(ours.count(), 5, "{ports:?}");
    // It goes on telling that it lives, and that it does not is seen.
    roof.router
        .configure(|machine| machine.clear("/system scheduler"));
    let drift = roof.isp.owner.get(&format!("/nas/{id}/drift")).await?;
    ensure!(
        drift["fields"].to_string().contains("easyisp:heartbeat"),
        "{drift}"
    );
    roof.close().await
}

/// What does not go back is not forgotten: the next configuration tries it first, and says how to leave it.
#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_go_back_is_kept_until_it_does_or_is_left() -> Result<()> {
    let roof = Roof::open("half").await?;
    let id = roof.bring_up("Tower").await?;
    let before = plain(&roof.router);
    let path = format!("/wizard/{id}/configure");
    let refuse = |command: &str| {
        let words = "failure: not at present".to_owned();
        roof.router.mishap(command, Mishap::Refuse(words));
    };
    let ask = async |body: &Value| roof.isp.owner.call(Method::POST, &path, Some(body)).await;
    let fail = async |body: &Value| -> Result<()> {
        refuse("/ip/hotspot/add");
        refuse("/interface/bridge/port/remove");
        let said = roof.isp.owner.post(&path, body).await?;
        assert_eq!(said["success"], false, "{said}");
        ensure!(
            words(&said)?.contains("Not all of it would go back"),
            "{said}"
        );
        roof.router.mend();
        Ok(())
    };
    fail(&both()).await?;
    ensure!(!different(&before, &plain(&roof.router)).is_empty());

    refuse("/interface/bridge/port/remove");
    let (status, said) = ask(&both()).await?;
    assert_eq!(
        (status.as_u16(), &said["code"]),
        (422, &json!("HALF_CONFIGURED")),
        "{said}"
    );
    ensure!(words(&said)?.contains("forgetLeft: true"), "{said}");
    let mut left = both();
    left["forgetLeft"] = json!(true);
    let said = roof.isp.owner.post(&path, &left).await?;
    assert_eq!(said["success"], true, "{said}");
    roof.router.mend();

    // Once it goes, it is as it was before the configuration that failed.
    let pppoe = json!({"serviceType": "pppoe", "wanInterface": "ether1",
        "pppoeConfig": {"interfaces": ["ether4"]}});
    let said = roof.isp.owner.post(&path, &pppoe).await?;
    assert_eq!(said["success"], true, "{said}");
    let first = plain(&roof.router);
    let mut more = both();
    more["pppoeConfig"]["interfaces"] = json!(["ether4"]);
    fail(&more).await?;
    // What cannot be begun is said after what was left is undone.
    roof.router
        .configure(|machine| machine.put_all("/system device-mode", "hotspot", "no"));
    let (status, said) = ask(&more).await?;
    assert_eq!(
        (status.as_u16(), &said["code"]),
        (422, &json!("DEVICE_MODE")),
        "{said}"
    );
    roof.router
        .configure(|machine| machine.put_all("/system device-mode", "hotspot", "yes"));
    assert_eq!(
        different(&first, &plain(&roof.router)),
        Vec::<String>::new()
    );
    roof.close().await
}

/// The router reboots in the midst of it: it goes on from there. The cable stays out: it is undone once it is back.
#[tokio::test(flavor = "multi_thread")]
async fn a_router_that_goes_away_half_way_is_waited_for_and_then_undone() -> Result<()> {
    let roof = Roof::open("away").await?;
    let id = roof.bring_up("Tower").await?;
    let before = plain(&roof.router);
    let path = format!("/wizard/{id}/configure");
    let stage = async || -> Result<(String, String)> {
        let status = roof.isp.owner.get(&format!("/wizard/{id}/status")).await?;
        let text = |name: &str| status[name].as_str().map(str::to_owned).context("a text");
        Ok((text("step")?, text("message")?))
    };

    // The box answers in its own time: the clock goes on at most twice a second.
    let mut last = Instant::now();
    let mut again = move || {
        let is_time = last.elapsed() > Duration::from_millis(500);
        if is_time {
            last = Instant::now();
        }
        is_time
    };
    roof.router.mishap("/ip/hotspot/add", Mishap::Reboot);
    let configuring = roof.isp.owner.clone();
    let (asked, body) = (path.clone(), both());
    let answer = tokio::spawn(async move { configuring.post(&asked, &body).await });
    super::eventually("it is waited for", async || {
        Ok(stage().await?.1.contains("waits").then_some(()))
    })
    .await?;
    let otherwise = json!({"serviceType": "pppoe", "pppoeConfig": {"interfaces": ["ether2"]}});
    let busy = roof
        .isp
        .owner
        .call(Method::POST, &path, Some(&otherwise))
        .await?;
    assert_eq!(
        (busy.0, &busy.1["code"]),
        (StatusCode::CONFLICT, &json!("WIZARD_RUNNING"))
    );
    let (status, _) = roof
        .isp
        .owner
        .call(Method::DELETE, &format!("/wizard/{id}"), None)
        .await?;
    assert_eq!(status, StatusCode::CONFLICT);
    // Nobody else writes to it meanwhile, and it is not taken away.
    for (method, path) in [
        (Method::POST, format!("/nas/{id}/drift/repair")),
        (Method::DELETE, format!("/nas/{id}")),
    ] {
        let (status, said) = roof.isp.owner.call(method, &path, Some(&json!({}))).await?;
        assert_eq!(
            (status, &said["code"]),
            (StatusCode::CONFLICT, &json!("WIZARD_RUNNING")),
            "{path}: {said}"
        );
    }
    super::eventually("it goes on", async || {
        let (step, message) = stage().await?;
        if message.contains("waits") && again() {
            roof.world.clock.advance(Duration::from_secs(6));
        }
        Ok((step == "DONE").then_some(()))
    })
    .await?;
    let said = answer.await??;
    assert_eq!(said["success"], true, "{said}");

    // As it was, and the cable is pulled half-way.
    let first = plain(&roof.router);
    let pppoe = json!({"serviceType": "pppoe", "wanInterface": "ether1",
        "pppoeConfig": {"interfaces": ["ether4"]}});
    roof.router.mishap("/ip/hotspot/remove", Mishap::Unplug);
    let configuring = roof.isp.owner.clone();
    let asked = path.clone();
    let answer = tokio::spawn(async move { configuring.post(&asked, &pppoe).await });
    super::eventually("it is to be undone", async || {
        let (step, message) = stage().await?;
        if message.contains("waits") && again() {
            roof.world.clock.advance(Duration::from_secs(301));
        }
        Ok((step == "UNDOING").then_some(()))
    })
    .await?;
    roof.router.mend();
    super::eventually("it is undone", async || {
        let (step, message) = stage().await?;
        if message.contains("waits") && again() {
            roof.world.clock.advance(Duration::from_secs(6));
        }
        Ok((step == "FAILED").then_some(()))
    })
    .await?;
    let (_, message) = stage().await?;
    ensure!(
        message.contains("The router is as it was before"),
        "{message}"
    );
    ensure!(
        message.contains("See that the router and the agent"),
        "{message}"
    );
    assert_eq!(
        different(&first, &plain(&roof.router)),
        Vec::<String>::new()
    );
    ensure!(different(&before, &first).len() > 5);
    let _in_time_or_not = answer.await?;
    roof.close().await
}

fn words(said: &Value) -> Result<&str> {
    said["message"]
        .as_str()
        .with_context(|| format!("a message in {said}"))
}

pub type State =
    std::collections::BTreeMap<String, Vec<std::collections::BTreeMap<String, String>>>;

/// Which menus are otherwise, and how.
pub fn different(before: &State, after: &State) -> Vec<String> {
    let menus = before
        .iter()
        .filter(|(menu, rows)| after.get(*menu) != Some(rows));
    menus
        .map(|(menu, rows)| format!("{menu}: {rows:?} became {:?}", after.get(menu)))
        .collect()
}
