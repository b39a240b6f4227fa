//! The agents' login has the least rights that its work takes: what it lacks is said, and never tried in vain.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::roof::{Roof, both};

/// A router that an earlier release brought up: its group has no right to files.
#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_write_files_is_configured_without_a_backup_and_told_so() -> Result<()> {
    let roof = Roof::open("rights").await?;
    let id = roof.bring_up("Tower").await?;
    let configure = format!("/wizard/{id}/configure");
    let said = roof.isp.owner.post(&configure, &both()).await?;
    assert_eq!(said["success"], true, "{said}");
    ensure!(!words(&said)?.contains("backup"), "{said}");
    ensure!(backups(&roof) == 1, "it saved one");
    // Whoever copies the files has no secret of them.
    let state = roof.router.machine().state();
    let login = &state["/user"].iter().find(|user| user["name"] == "easyisp");
    let password = &login.context("a login")?["password"];
    let radius = &state["/radius"][0]["secret"];
    for file in &state["/file"] {
        let held = file.get("contents").map_or("", String::as_str);
        ensure!(
            !held.contains(password) && !held.contains(radius),
            "{file:?}"
        );
    }

    // All that the cloud does to it is within these rights.
    let update = format!("/mikrotik/{id}/update-config");
    let said = roof.isp.owner.post(&update, &json!({})).await?;
    assert_eq!(said["success"], true, "{said}");

    // As an earlier release's script left it: neither the group has that right, nor the entry of the heart-beat.
    policy(&roof, "api,read,write,test,sensitive,reboot,password");
    entry(&roof, "read,write,test");
    let said = roof.isp.owner.post(&configure, &both()).await?;
    assert_eq!(said["success"], true, "{said}");
    for part in [
        "No backup was saved on the router",
        "It does not say by itself that it lives",
        "lacks ftp",
        "A new command from the wizard",
    ] {
        ensure!(words(&said)?.contains(part), "{part}: {said}");
    }
    ensure!(backups(&roof) == 1, "it saved none");
    ensure!(
        rights_of_entry(&roof) == "read,write,test",
        "it is as it was"
    );

    // It shows, and the router is not asked for what it refuses.
    let drift = roof.isp.owner.get(&format!("/nas/{id}/drift")).await?;
    assert_eq!(drift["fields"][0]["path"], "/user group", "{drift}");
    let said = roof.isp.owner.post(&update, &json!({})).await?;
    assert_eq!(said["success"], false, "{said}");
    ensure!(
        words(&said)?.contains("/user group: the agents' login may not change logins")
            && words(&said)?.contains("/system scheduler: the agents' login has not every right")
            && !words(&said)?.contains("(9)"),
        "{said}"
    );

    // What it says helps.
    let body = json!({"routerId": id});
    let started = roof.isp.owner.post("/wizard/start", &body).await?;
    let command = started["provisionCommand"].as_str().context("a command")?;
    roof.router
        .paste(command)
        .await
        .map_err(anyhow::Error::msg)?;
    roof.entered(&id).await?;
    let said = roof.isp.owner.post(&update, &json!({})).await?;
    assert_eq!(said["success"], true, "{said}");
    ensure!(
        rights_of_entry(&roof) == "read,write,test,ftp",
        "by the command"
    );

    // Who may not write is told what to do, and it is as it was.
    policy(&roof, "api,read,test,ftp,sensitive,reboot,password");
    let said = roof.isp.owner.post(&configure, &other()).await?;
    assert_eq!(said["success"], false, "{said}");
    ensure!(
        words(&said)?.contains("lacks a right: take a new command"),
        "{said}"
    );
    roof.close().await
}

fn policy(roof: &Roof, policy: &str) {
    let group = format!("/user group set [find where name=easyisp] policy={policy}");
    let done = roof.router.configure(|machine| machine.import(&group));
    assert_eq!(done, Ok(()));
}

/// The policies of the heart-beat's entry of the scheduler.
fn entry(roof: &Roof, policy: &str) {
    let set =
        format!("/system scheduler set [find where name=\"easyisp:heartbeat\"] policy={policy}");
    let done = roof.router.configure(|machine| machine.import(&set));
    assert_eq!(done, Ok(()));
}

fn rights_of_entry(roof: &Roof) -> String {
    let machine = roof.router.machine();
    let mut rows = machine.rows("/system scheduler", "name", "easyisp:heartbeat");
    let row = rows.pop().unwrap_or_default();
    row.get("policy").cloned().unwrap_or_default()
}

fn backups(roof: &Roof) -> usize {
    let state = roof.router.machine().state();
    let files = state["/file"].iter();
    files
        .filter(|file| file["name"].ends_with(".backup"))
        .count()
}

/// Something else than the router is.
fn other() -> Value {
    json!({"serviceType": "pppoe", "wanInterface": "ether1", "pppoeConfig": {"interfaces": ["ether4"]}})
}

fn words(said: &Value) -> Result<&str> {
    said["message"]
        .as_str()
        .with_context(|| format!("a message in {said}"))
}
