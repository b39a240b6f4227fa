//! Taking back what a file made.

use anyhow::{Context, Result};
use easyisp_tests::world::{Provider, Site, World};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::large::{HEAD, file, finished};
use super::{counts, customers, find, report, send};

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_touched_goes_and_the_rest_stays_with_its_reason() -> Result<()> {
    let world = World::start().await?;
    let isp = Provider::sign_up(&world, "undo").await?;
    let owner = &isp.owner;
    let site = Site::open(&world, &isp).await?;
    report(
        &world,
        owner,
        "",
        HEAD.to_owned() + "before,before,Before Us,PPPOE\n",
    )
    .await?;
    let text = "username,password,name,type,package\nbefore,other,Changed,PPPOE,\npaid,paid,Paid,PPPOE,Home 10\n\
                edited,edited,Edited,PPPOE,\nonline,online,Online,PPPOE,Home 10\ngone,gone1,Gone,PPPOE,\n\
                fresh,fresh,Fresh,PPPOE,Home 10\nbad,x,Bad,PPPOE,\n";
    let made = report(&world, owner, "onExisting=update", text).await?;
    assert_eq!(counts(&made), [5, 1, 0, 1], "{made}");
    let id = async |name: &str| -> Result<String> {
        let found = find(owner, name).await?;
        Ok(found["id"].as_str().context("an id")?.to_owned())
    };
    let recharge = format!("/customers/{}/recharge", id("paid").await?);
    owner.post(&recharge, &json!({"amount": 5})).await?;
    let edited = format!("/customers/{}", id("edited").await?);
    owner.put(&edited, &json!({"phone": "0712345609"})).await?;
    owner
        .call(
            Method::DELETE,
            &format!("/customers/{}", id("gone").await?),
            None,
        )
        .await?;
    site.knows("online", "at all", |_| true).await?;
    site.dial("online").await.online().started().await;
    site.reported().await?;
    let fresh = id("fresh").await?;

    let undo = format!(
        "/imports/{}/undo",
        made["importId"].as_str().context("an id")?
    );
    let undone = owner.post(&undo, &json!({})).await?;
    assert_eq!(
        (&undone["undone"], &undone["kept"]),
        (&json!(1), &json!(4)),
        "{undone}"
    );
    let reasons: Vec<(i64, &str, &str)> = undone["rows"]
        .as_array()
        .context("rows")?
        .iter()
        .map(|row| {
            let text = |name: &str| row[name].as_str().unwrap_or_default();
            (
                row["row"].as_i64().unwrap_or_default(),
                text("username"),
                text("reason"),
            )
        })
        .collect();
    assert_eq!(
        reasons,
        [
            (3, "paid", "has paid, or has money in the wallet"),
            (4, "edited", "was changed since"),
            (5, "online", "has been online"),
            (6, "gone", "was deleted already"),
        ]
    );
    let (status, _) = owner
        .call(Method::GET, &format!("/customers/{fresh}"), None)
        .await?;
    assert_eq!(status, StatusCode::NOT_FOUND);
    site.knows_nobody("fresh").await?;
    assert_eq!(
        find(owner, "before").await?["name"],
        "Changed",
        "what it changed stays"
    );
    assert_eq!(customers(owner).await?, 4);

    // A repeat takes nothing back twice; the name is free again.
    let again = owner.post(&undo, &json!({})).await?;
    assert_eq!(
        (&again["undone"], &again["kept"]),
        (&json!(0), &json!(4)),
        "{again}"
    );
    let renewed = report(
        &world,
        owner,
        "",
        HEAD.to_owned() + "fresh,fresh,Fresh,PPPOE\n",
    )
    .await?;
    assert_eq!(counts(&renewed), [1, 0, 0, 0], "{renewed}");
    let imports = owner.get("/imports").await?;
    assert_eq!(imports["total"], 3);
    let listed = imports["imports"].as_array().context("a list")?;
    let listed = listed
        .iter()
        .find(|import| import["id"] == made["importId"]);
    assert_ne!(
        listed.context("the file")?["undoneAt"],
        Value::Null,
        "{imports}"
    );

    let stranger = Provider::sign_up(&world, "stranger").await?;
    let (status, _) = stranger.owner.call(Method::POST, &undo, None).await?;
    assert_eq!(status, StatusCode::NOT_FOUND);
    site.stop().await;
    world.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_file_is_taken_back_whole() -> Result<()> {
    let world = World::start().await?;
    let isp = Provider::sign_up(&world, "whole").await?;
    let (_, answer) = send(
        &world,
        &isp.owner,
        "",
        HEAD.to_owned() + &file(0..1100, "PPPOE"),
    )
    .await?;
    let id = answer["jobId"].as_str().context("a job")?;
    finished(&isp.owner, id).await?;
    let undone = isp
        .owner
        .post(&format!("/imports/{id}/undo"), &json!({}))
        .await?;
    assert_eq!(
        (&undone["undone"], &undone["kept"]),
        (&json!(1100), &json!(0)),
        "{undone}"
    );
    assert_eq!(customers(&isp.owner).await?, 0);
    let import = isp.owner.get(&format!("/imports/{id}")).await?;
    assert_eq!(import["undone"], 1100);
    let trail = isp.owner.get("/audit-logs?action=IMPORT_UNDO").await?;
    assert_eq!(trail["total"], 3);
    world.stop().await
}

/// Whom the file itself put on another's account, or began to bill, was touched by nobody else.
#[tokio::test(flavor = "multi_thread")]
async fn a_family_goes_as_it_came() -> Result<()> {
    let world = World::start().await?;
    let isp = Provider::sign_up(&world, "family").await?;
    isp.subscribe(&world).await?;
    let package = isp.owner.get("/packages").await?[0]["name"].clone();
    let package = package.as_str().context("a package")?;
    let text = format!(
        "username,password,name,type,package,parent,billing\n\
         mother,secret12,Mother,PPPOE,{package},,\n\
         son,secret12,Son,PPPOE,{package},mother,\n\
         office,secret12,Office,PPPOE,{package},,postpaid\n\
         clerk,secret12,Clerk,PPPOE,{package},office,\n"
    );
    let made = report(&world, &isp.owner, "", text).await?;
    assert_eq!(counts(&made), [4, 0, 0, 0], "{made}");
    let clerk = find(&isp.owner, "clerk").await?;
    let path = format!("/customers/{}", clerk["id"].as_str().context("an id")?);
    isp.owner
        .put(&path, &json!({"phone": "0712345609"}))
        .await?;
    let id = made["importId"].as_str().context("an id")?;
    let undone = isp
        .owner
        .post(&format!("/imports/{id}/undo"), &json!({}))
        .await?;
    assert_eq!(
        (&undone["undone"], &undone["kept"]),
        (&json!(2), &json!(2)),
        "{undone}"
    );
    let reasons = [&undone["rows"][0]["reason"], &undone["rows"][1]["reason"]];
    assert_eq!(reasons, ["has child accounts", "was changed since"]);
    // Who was taken back never came, and was not lost.
    let churn = isp.owner.get("/reports/churn?months=1").await?;
    let month = &churn["months"][0];
    assert_eq!(
        (&month["joined"], &month["lost"]),
        (&json!(2), &json!(0)),
        "{churn}"
    );
    world.stop().await
}
