//! Taking back what a file made.

use std::time::Duration;

use anyhow::{Context, Result};
use easyisp_agent::site::Subscriber;
use easyisp_tests::world::{Provider, Site, World};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use uuid::Uuid;

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
        (&json!(2), &json!(4)),
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
    let before = find(owner, "before").await?;
    assert_eq!(
        (&before["name"], &before["password"]),
        (&json!("Before Us"), &json!("before")),
        "what it changed is as it was"
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

/// Whom a file changed is what he was, to the second of his end and to his labels, and his site knows; whom somebody
/// changed since, or whose address is another's meanwhile, stays and says why.
#[tokio::test(flavor = "multi_thread")]
async fn whom_it_changed_is_what_he_was() -> Result<()> {
    let world = World::start().await?;
    let isp = Provider::sign_up(&world, "asitwas").await?;
    let owner = &isp.owner;
    isp.subscribe(&world).await?;
    let site = Site::open(&world, &isp).await?;
    let fast = owner.add_package("Fast", 50, 3000, 2).await?;
    let text = "username,password,name,type,package,ip,mac,tags,devices,expiry\n\
                asha,asha-word,Asha Njeri,PPPOE,Home 10,10.0.0.5,AA:BB:CC:DD:EE:01,roof,2,2027-06-01 10:30\n\
                taken,taken-word,Taken,PPPOE,Home 10,10.0.0.6,,,,\n\
                edited,edited-word,Edited,PPPOE,Home 10,,,,,\n\
                labels,labels-word,Labels,PPPOE,Home 10,,,old,,\n\
                joins,joins-word,Joins,PPPOE,Home 10,,,,,2020-01-01\n\
                mother,mother-word,Mother,PPPOE,Home 10,,,,,\n";
    report(&world, owner, "", text).await?;
    let shown = async |name: &str| -> Result<Value> {
        let mut found = find(owner, name).await?;
        let fields = found.as_object_mut().context("a customer")?;
        fields.remove("updatedAt");
        Ok(found)
    };
    let (asha, labels) = (shown("asha").await?, shown("labels").await?);

    let text = "username,password,name,type,package,ip,mac,tags,devices,expiry,phone,status,parent\n\
                asha,other-word,Other,HOTSPOT,,10.0.0.9,AA:BB:CC:DD:EE:02,vip,5,2027-09-01,0712345601,SUSPENDED,\n\
                taken,,,,Fast,10.0.0.7,,,,,,,\n\
                edited,,Else,,Fast,,,,,,,,\n\
                labels,,,,,,,new,,,,,\n\
                joins,,,,,,,,,,,,mother\n";
    let text = text.replace("Other,HOTSPOT,", "Other,STATIC,");
    let changed = report(&world, owner, "onExisting=update", text).await?;
    assert_eq!(counts(&changed), [0, 5, 0, 0], "{changed}");
    assert_eq!(shown("asha").await?["password"], "other-word");
    assert_eq!(find(owner, "taken").await?["packageId"], fast.as_str());
    let lives_at = async |address: [u8; 4]| {
        let is = |asha: &Subscriber| asha.static_ip == Some(address.into());
        site.knows("asha", "at her address", is).await
    };
    lives_at([10, 0, 0, 9]).await?;

    let edited = find(owner, "edited").await?;
    let edited = format!("/customers/{}", edited["id"].as_str().context("an id")?);
    owner.put(&edited, &json!({"phone": "0712345609"})).await?;
    let rival = "username,password,name,type,ip\nrival,rival-word,Rival,PPPOE,10.0.0.6\n";
    report(&world, owner, "", rival).await?;

    let undo = changed["importId"].as_str().context("an id")?;
    let undo = format!("/imports/{undo}/undo");
    let undone = owner.post(&undo, &json!({})).await?;
    assert_eq!(
        (&undone["undone"], &undone["kept"]),
        (&json!(2), &json!(3)),
        "{undone}"
    );
    let reasons = undone["rows"].as_array().context("rows")?.iter();
    let reasons: Vec<(&Value, &str)> = reasons
        .map(|row| (&row["username"], row["reason"].as_str().unwrap_or_default()))
        .collect();
    assert_eq!(reasons[0].0, "taken");
    assert!(reasons[0].1.contains("address that is gone or another's"));
    assert_eq!(reasons[1], (&json!("edited"), "was changed since"));
    assert_eq!(reasons[2].0, "joins");
    assert!(reasons[2].1.starts_with("was put on another's account"));
    assert_eq!(shown("asha").await?, asha);
    assert_eq!(shown("labels").await?, labels);
    assert_eq!(find(owner, "edited").await?["name"], "Else");
    lives_at([10, 0, 0, 5]).await?;

    // The trail says whose end was moved; nothing of what was is kept any more, nor in the clear before.
    let trail = owner.get("/audit-logs?action=IMPORT_UNDO").await?;
    assert!(
        trail.to_string().contains("2 as they were, 3 stay")
            && trail.to_string().contains("2027-06-01T07:30:00.000Z"),
        "{trail}"
    );
    let mut tx = world.db().begin(isp.tenant().await?).await?;
    let (kept, clear): (i64, i64) = sqlx::query_as(
        "select count(*), count(*) filter (where position('word'::bytea in before_sealed) > 0)
           from import_rows where before_sealed is not null",
    )
    .fetch_one(&mut *tx)
    .await?;
    assert_eq!((kept, clear), (2, 0), "taken and edited, sealed");
    tx.rollback().await?;

    // Once the address is free he gets it back; nobody is put back twice.
    let rival = find(owner, "rival").await?;
    let rival = format!("/customers/{}", rival["id"].as_str().context("an id")?);
    owner.call(Method::DELETE, &rival, None).await?;
    let again = owner.post(&undo, &json!({})).await?;
    assert_eq!(
        (&again["undone"], &again["kept"]),
        (&json!(1), &json!(2)),
        "{again}"
    );
    let taken = find(owner, "taken").await?;
    assert_eq!(
        (&taken["staticIp"], &taken["packageId"]),
        (&json!("10.0.0.6"), &json!(isp.package))
    );
    assert_eq!(world.book_findings().await?, Vec::<String>::new());
    site.stop().await;
    world.stop().await
}

/// What we reckon by ourselves after a file is nobody's change: whose wallet carries him stays carried, whom a wallet was
/// reckoned for anew is put back all the same, and of two files the newer goes first. A label that somebody gave stays.
#[tokio::test(flavor = "multi_thread")]
async fn whom_his_wallet_carries_stays_carried() -> Result<()> {
    let world = World::start().await?;
    let isp = Provider::sign_up(&world, "carried").await?;
    let owner = &isp.owner;
    let until = world.clock.now().plus(Duration::from_secs(86_400));
    let mother = isp.add_subscriber("mother", "254712345601", until).await?;
    isp.add_subscriber("tagged", "254712345602", until).await?;
    let site = Site::open(&world, &isp).await?;
    owner.add_package("Fast", 50, 1500, 1).await?;
    let path = format!("/customers/{mother}");
    owner.put(&path, &json!({"autoRenew": true})).await?;
    let money = json!({"amount": 5000});
    owner.post(&format!("{path}/recharge"), &money).await?;
    let carried = async |what: &str, package: &str| {
        let package: Uuid = package.parse()?;
        site.knows("mother", what, |known| {
            known.package == Some(package.into())
                && known.entitlement.funded_until > known.entitlement.paid_until
        })
        .await
    };
    carried("carried by her wallet", &isp.package).await?;
    let shown = find(owner, "mother").await?;
    let update = async |rows: &str| -> Result<String> {
        let text = format!("username,name,package\n{rows}");
        let changed = report(&world, owner, "onExisting=update", text).await?;
        let id = changed["importId"].as_str().context("an id")?;
        Ok(format!("/imports/{id}/undo"))
    };
    let undone = async |undo: &str| -> Result<(Value, Value)> {
        let told = owner.post(undo, &json!({})).await?;
        Ok((told["undone"].clone(), told["rows"].clone()))
    };
    let funded = async || -> Result<i64> {
        let mut tx = world.db().begin(isp.tenant().await?).await?;
        let count =
            "select count(*) from customers where username = 'mother' and funded_until is not null";
        Ok(sqlx::query_scalar(count).fetch_one(&mut *tx).await?)
    };

    let older = update("mother,Other,\ntagged,Other,\n").await?;
    let newer = update("mother,Third,\n").await?;
    let tagged = find(owner, "tagged").await?;
    let tagged = format!("/customers/{}", tagged["id"].as_str().context("an id")?);
    owner.put(&tagged, &json!({"tags": ["roof"]})).await?;
    assert_eq!(undone(&newer).await?, (json!(1), json!([])));
    assert_eq!(funded().await?, 1, "her money carries her at every moment");
    let (count, rows) = undone(&older).await?;
    assert_eq!(
        (&count, &rows[0]["username"]),
        (&json!(1), &json!("tagged"))
    );
    assert_eq!(rows[0]["reason"], "was changed since");
    assert_eq!(find(owner, "mother").await?["name"], shown["name"]);
    assert_eq!(find(owner, "tagged").await?["tags"], json!(["roof"]));
    assert_eq!(funded().await?, 1, "her money carries her at every moment");

    let faster = update("mother,,Fast\n").await?;
    let fast = find(owner, "mother").await?["packageId"].clone();
    carried(
        "carried at her new price",
        fast.as_str().context("a package")?,
    )
    .await?;
    assert_eq!(undone(&faster).await?, (json!(1), json!([])));
    carried("carried as before", &isp.package).await?;
    assert_eq!(world.book_findings().await?, Vec::<String>::new());
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
    // Nor is who was there before, and only changed by a file that is taken back, anybody who never came.
    let text = "username,password,name,type\nclerk,,Clerk Else,PPPOE\n";
    let changed = report(&world, &isp.owner, "onExisting=update", text).await?;
    let id = changed["importId"].as_str().context("an id")?;
    let undo = format!("/imports/{id}/undo");
    assert_eq!(isp.owner.post(&undo, &json!({})).await?["undone"], 1);
    isp.owner.call(Method::DELETE, &path, None).await?;
    // Who was taken back never came, and was not lost; who was there and goes is.
    let churn = isp.owner.get("/reports/churn?months=1").await?;
    let month = &churn["months"][0];
    assert_eq!(
        (&month["joined"], &month["lost"]),
        (&json!(2), &json!(1)),
        "{churn}"
    );
    world.stop().await
}
