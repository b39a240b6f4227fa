//! A router goes back to how it was: what is ours, after a look at what would change, and undone when a step fails.

use anyhow::{Context, Result, ensure};
use easyisp_tests::router::Mishap;
use easyisp_tests::world::Provider;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::roof::{Roof, both, plain};

/// Somebody spoils what is ours and makes a rule of his own: ours comes back, his stays. A router that refuses one
/// step of it is as it was.
#[tokio::test(flavor = "multi_thread")]
async fn ours_goes_back_to_a_version_and_what_is_not_ours_stays() -> Result<()> {
    let roof = Roof::open("back").await?;
    let owner = &roof.isp.owner;
    let id = roof.bring_up("Tower").await?;
    let versions = format!("/nas/{id}/configurations");
    let bare = owner.post(&versions, &json!({})).await?;
    let bare = bare["id"].as_str().context("an id")?;
    let done = owner
        .post(&format!("/wizard/{id}/configure"), &both())
        .await?;
    assert_eq!(done["success"], true, "{done}");
    let version = owner.post(&versions, &json!({})).await?;
    let version = version["id"].as_str().context("an id")?;
    let good = plain(&roof.router);

    let by_hand = "/ip pool set [find where name=\"easyisp-pppoe\"] ranges=10.66.0.2-10.66.0.9\n\
                   /ppp aaa set use-radius=no\n\
                   /ip firewall nat remove [find where comment=\"easyisp:nat-pppoe\"]\n\
                   /ip firewall filter add chain=forward action=drop dst-port=25 protocol=tcp comment=\"no mail\"\n";
    let changed = roof.router.configure(|machine| machine.import(by_hand));
    changed.map_err(anyhow::Error::msg)?;
    let spoilt = plain(&roof.router);

    // What would change, and nothing did.
    let restore = format!("{versions}/{version}/restore");
    let shown = owner
        .post(&format!("{restore}?dryRun=true"), &json!({}))
        .await?;
    assert_eq!(
        (&shown["dryRun"], &shown["outcome"], &shown["left"]),
        (&json!(true), &Value::Null, &json!([])),
        "{shown}"
    );
    let fields = shown["changes"]["fields"].as_array().context("changes")?;
    let mut named: Vec<String> = fields
        .iter()
        .map(|field| format!("{} {} {}", field["path"], field["row"], field["field"]))
        .collect();
    named.sort();
    assert_eq!(
        named,
        [
            r#""/ip firewall nat" "comment=easyisp:nat-pppoe" """#,
            r#""/ip pool" "name=easyisp-pppoe" "ranges""#,
            r#""/ppp aaa" "" "use-radius""#,
        ],
        "{shown}"
    );
    assert_eq!(plain(&roof.router), spoilt);

    // The router refuses a step.
    let words = "failure: not this one";
    roof.router
        .mishap("/ppp/aaa/set", Mishap::Refuse(words.to_owned()));
    let said = owner.post(&restore, &json!({})).await?;
    let message = said["outcome"]["message"].as_str().context("a message")?;
    assert_eq!(said["outcome"]["success"], false, "{said}");
    ensure!(message.contains(words), "{message}");
    ensure!(
        message.contains("The router is as it was before"),
        "{message}"
    );
    assert_eq!(plain(&roof.router), spoilt);
    roof.router.mend();

    let said = owner.post(&restore, &json!({})).await?;
    assert_eq!(said["outcome"]["success"], true, "{said}");
    let results = said["outcome"]["results"].as_array().context("results")?;
    let first = results[0].as_str().context("a line")?;
    ensure!(first.starts_with("Saved a backup on the router"), "{said}");
    let message = said["outcome"]["message"].as_str().context("a message")?;
    ensure!(message.starts_with("Configured and tried"), "{said}");
    let mut now = plain(&roof.router);
    let rules = now.entry("/ip firewall filter".to_owned()).or_default();
    let all = rules.len();
    rules.retain(|rule| {
        rule.get("comment")
            .is_none_or(|comment| comment != "no mail")
    });
    assert_eq!(rules.len() + 1, all, "his rule is gone");
    assert_eq!(now, good);

    // There is nothing more to do.
    let said = owner.post(&restore, &json!({})).await?;
    assert_eq!(
        (&said["changes"]["isAsWanted"], &said["outcome"]),
        (&json!(true), &Value::Null),
        "{said}"
    );

    let trail = owner.get("/audit-logs?action=ROUTER_RESTORE").await?;
    assert_eq!(trail["total"], 3, "{trail}");

    // A version that served nobody: nothing is said of customers, and nothing is held to what it was before.
    let said = owner
        .post(&format!("{versions}/{bare}/restore"), &json!({}))
        .await?;
    let outcome = &said["outcome"];
    let message = outcome["message"].as_str().context("a message")?;
    ensure!(
        outcome["success"] == true && message.starts_with("Configured and read back"),
        "{said}"
    );
    let served = json!({"hotspot": false, "pppoe": false, "radius": false});
    assert_eq!(outcome["testResult"], served, "{said}");
    let (status, drift) = owner
        .call(
            Method::POST,
            &format!("/nas/{id}/drift/repair"),
            Some(&json!({})),
        )
        .await?;
    let servers = roof.router.machine();
    let servers = servers.rows("/interface pppoe-server server", "disabled", "no");
    assert_eq!(servers.len(), 0, "{status} {drift}");
    let list = owner.get(&versions).await?;
    ensure!(
        list["total"].as_i64() >= Some(2),
        "the spoilt one was not kept: {list}"
    );
    let stranger = Provider::sign_up(&roof.world, "stranger").await?;
    let (status, answer) = stranger
        .owner
        .call(Method::POST, &restore, Some(&json!({})))
        .await?;
    assert_eq!(status, StatusCode::NOT_FOUND, "{answer}");
    roof.close().await
}
