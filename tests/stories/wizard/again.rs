//! A router that serves customers is given a new command, and is configured again: what it serves stays.

use anyhow::{Context, Result, ensure};
use easyisp_tests::router::Mishap;
use easyisp_tests::router::api::Face;
use serde_json::{Value, json};

use super::roof::{Roof, plain, unpacked};

/// Not the addresses that anybody would guess.
fn own() -> Value {
    json!({
        "serviceType": "pppoe", "wanInterface": "ether1",
        "pppoeConfig": {"interfaces": ["ether2"], "localAddress": "10.77.0.1",
            "poolStart": "10.77.0.50", "poolEnd": "10.77.0.90", "dnsServers": "9.9.9.9, 149.112.112.112"},
    })
}

/// A new command on a working router changes nothing of what it serves, and its set-up is watched on.
#[tokio::test(flavor = "multi_thread")]
async fn a_new_command_leaves_what_a_router_serves() -> Result<()> {
    let roof = Roof::open("again").await?;
    let owner = &roof.isp.owner;
    let id = roof.bring_up("Tower").await?;
    let configure = format!("/wizard/{id}/configure");
    let done = owner.post(&configure, &own()).await?;
    assert_eq!(done["success"], true, "{done}");
    roof.looked_in(&id).await?;
    let once = plain(&roof.router);
    let asked = &once["/ip dns"][0]["servers"];
    assert_eq!(asked, "9.9.9.9,149.112.112.112", "by the router itself");

    // Its requests come from more than one of its addresses.
    let nas = format!("/nas/{id}");
    let wide = json!({"sourceNetwork": "127.0.0.0/8"});
    owner.put(&nas, &wide).await?;
    let again = json!({"routerId": id});
    let started = owner.post("/wizard/start", &again).await?;
    let message = started["message"].as_str().context("a message")?;
    ensure!(message.contains("10.77.0.50-10.77.0.90"), "{message}");
    ensure!(message.contains("closed to all others"), "{message}");
    let command = started["provisionCommand"].as_str().context("a command")?;
    crate::setup_scripts::is_sound(command)?;
    assert_eq!(roof.router.paste(command).await, Ok(()));
    assert_eq!(
        plain(&roof.router),
        once,
        "the login too: a call may be lost"
    );
    roof.entered(&id).await?;
    let shown = owner.get(&nas).await?;
    assert_eq!(
        (&shown["sourceNetwork"], &shown["ipAddress"]),
        (&wide["sourceNetwork"], &json!(roof.address)),
        "{shown}"
    );
    let status = owner.get(&format!("/wizard/{id}/status")).await?;
    assert_eq!(status["step"], "CALLED", "{status}");
    let tested = owner.get(&format!("/wizard/{id}/test")).await?;
    let works = json!({"hotspot": false, "pppoe": true, "radius": true});
    assert_eq!(tested, works);
    let drift = owner.get(&format!("/nas/{id}/drift")).await?;
    assert_eq!(drift["isAsWanted"], true, "{drift}");

    // A choice that came to nothing is not what it is compared with, nor what its script says.
    let mut other = own();
    other["pppoeConfig"]["poolEnd"] = json!("10.77.0.70");
    let refused = Mishap::Refuse("failure: no more".to_owned());
    roof.router.mishap("/ip/pool/set", refused);
    let failed = owner.post(&configure, &other).await?;
    assert_eq!(failed["success"], false, "{failed}");
    roof.router.mend();
    let mended = owner
        .post(&format!("/nas/{id}/drift/repair"), &json!({}))
        .await?;
    assert_eq!(mended["isAsWanted"], true, "{mended}");
    assert_eq!(plain(&roof.router), once);
    let script = owner.get(&format!("/nas/{id}/config")).await?;
    let script = script["script"].as_str().context("a script")?;
    ensure!(script.contains("ranges=10.77.0.50-10.77.0.90"), "{script}");

    // It moves in: what another system looks after is left to it, unless somebody wants otherwise.
    let moving = json!({"mode": "SHADOW", "oldServer": {"address": "10.9.0.200", "secret": "an-old-secret"}});
    owner.put(&format!("/nas/{id}/moving"), &moving).await?;
    let started = owner.post("/wizard/start", &again).await?;
    let message = started["message"].as_str().context("a message")?;
    ensure!(
        message.contains("firewall and SNMP stay as they are"),
        "{message}"
    );
    let wanted = json!({"routerId": id, "configureFirewall": true});
    let started = owner.post("/wizard/start", &wanted).await?;
    let message = started["message"].as_str().context("a message")?;
    ensure!(message.contains("closed to all others"), "{message}");
    roof.close().await
}

/// Lightning took it: the same model comes out of its box in its place, and makes a certificate of its own.
#[tokio::test(flavor = "multi_thread")]
async fn a_board_in_the_place_of_another_is_entered_by_a_new_command() -> Result<()> {
    let roof = Roof::open("board").await?;
    let owner = &roof.isp.owner;
    let id = roof.bring_up("Tower").await?;
    let configure = format!("/wizard/{id}/configure");
    let done = owner.post(&configure, &own()).await?;
    assert_eq!(done["success"], true, "{done}");
    roof.looked_in(&id).await?;
    let works = plain(&roof.router);

    roof.router
        .configure(|machine| *machine = unpacked(Face::Seven));
    roof.router.reboot();
    // Nobody tried it since it was entered last: its agent is asked at once, and one command is enough.
    let again = json!({"routerId": id});
    let paste = async || -> Result<()> {
        let started = owner.post("/wizard/start", &again).await?;
        let command = started["provisionCommand"].as_str().context("a command")?;
        assert_eq!(roof.router.paste(command).await, Ok(()));
        Ok(())
    };
    paste().await?;
    roof.entered(&id).await?;
    // What it served it serves again: the command brings it.
    let drift = owner
        .post(&format!("/nas/{id}/drift/repair"), &json!({}))
        .await?;
    assert_eq!(drift["isAsWanted"], true, "{drift}");
    let now = plain(&roof.router);
    assert_eq!(now["/ppp profile"], works["/ppp profile"]);

    // A login of somebody's own by that name stays his, and so does the password that is entered for it.
    let his = [
        ("name", "easyisp"),
        ("password", "his own"),
        ("group", "full"),
    ];
    roof.router.configure(|machine| {
        machine.clear("/user");
        machine.put("/user", &his);
    });
    owner
        .put(&format!("/nas/{id}"), &json!({"apiPassword": "his own"}))
        .await?;
    roof.entered(&id).await?;
    paste().await?;
    roof.router.reboot();
    roof.entered(&id).await?;
    assert_eq!(
        roof.router.machine().rows("/user", "name", "easyisp")[0]["password"],
        "his own"
    );
    roof.close().await
}

/// A board that keeps nothing but what is below `flash` keeps its backups there: the last two.
#[tokio::test(flavor = "multi_thread")]
async fn a_backup_outlives_the_start_for_which_it_was_made() -> Result<()> {
    let roof = Roof::open("flash").await?;
    let owner = &roof.isp.owner;
    let id = roof.bring_up("Tower").await?;
    roof.router
        .configure(|machine| machine.put("/file", &[("name", "flash")]));
    for run in 1..=3 {
        let done = owner
            .post(&format!("/wizard/{id}/configure"), &own())
            .await?;
        assert_eq!(done["success"], true, "{done}");
        let file = format!("flash/easyisp-before-{run}");
        assert_eq!(
            done["results"][0],
            format!("Saved a backup on the router: {file}.backup, {file}.rsc"),
            "{done}"
        );
    }
    roof.router.reboot();
    let machine = roof.router.machine();
    for (run, held) in [(1, 0), (2, 1), (3, 1)] {
        for ending in ["backup", "rsc"] {
            let file = format!("flash/easyisp-before-{run}.{ending}");
            assert_eq!(machine.rows("/file", "name", &file).len(), held, "{file}");
        }
    }
    roof.close().await
}
