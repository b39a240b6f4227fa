//! Rows that say on whose account somebody is, and who is billed afterwards.

use anyhow::{Context, Result};
use easyisp_tests::world::{Provider, World};
use serde_json::{Value, json};

use super::{counts, find, report};
use crate::words::DAY;

/// Parents are named by user name or account number, in any order of one file; who is billed once a month is so at
/// once. What cannot be is said at its row.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_says_who_pays_for_whom_and_when() -> Result<()> {
    let world = World::start().await?;
    let isp = Provider::sign_up(&world, "accounts").await?;
    isp.subscribe(&world).await?;
    let until = world.clock.now().plus(20 * DAY);
    let mother = isp.add_subscriber("mother", "254712345601", until).await?;
    let mother = isp.customer(&mother).await?;
    let number = mother["accountNumber"].as_str().context("a number")?;
    let package = isp.owner.get("/packages").await?[0]["name"].clone();
    let package = package.as_str().context("a package")?;
    let file = format!(
        "username,password,name,type,package,parent,billing\n\
         son1,secret12,Son,PPPOE,{package},mother,\n\
         son2,secret12,Son,PPPOE,{package},{number},prepaid\n\
         niece,secret12,Niece,PPPOE,{package},aunt,\n\
         aunt,secret12,Aunt,PPPOE,{package},,postpaid\n\
         stray,secret12,Stray,PPPOE,{package},nobody,\n\
         both,secret12,Both,PPPOE,{package},mother,postpaid\n\
         odd,secret12,Odd,PPPOE,{package},,sometimes\n\
         bare,secret12,Bare,PPPOE,,,postpaid\n"
    );
    let dry = report(&world, &isp.owner, "dryRun=true", file.clone()).await?;
    assert_eq!(counts(&dry), [5, 0, 0, 3], "{dry}");
    let real = report(&world, &isp.owner, "", file.clone()).await?;
    assert_eq!(counts(&real), [5, 0, 0, 3], "{real}");
    let said = |name: &str, what: &str| {
        let mut rows = real["rows"].as_array().into_iter().flatten();
        let row = rows.find(|row| row["username"] == name);
        row.map(|row| row[what][0]["field"].clone())
    };
    assert_eq!(said("stray", "errors"), Some(json!("parentId")), "{real}");
    assert_eq!(said("both", "errors"), Some(json!("postpaid")));
    assert_eq!(said("odd", "errors"), Some(json!("postpaid")));
    assert_eq!(said("bare", "warnings"), Some(json!("postpaid")));

    for son in ["son1", "son2"] {
        let son = find(&isp.owner, son).await?;
        assert_eq!(son["parentId"], mother["id"], "{son}");
        assert_eq!(son["expiresAt"], mother["expiresAt"], "his time is hers");
    }
    let aunt = find(&isp.owner, "aunt").await?;
    assert_eq!(find(&isp.owner, "niece").await?["parentId"], aunt["id"]);
    assert_eq!(billing(&isp, &aunt).await?["postpaid"], true);
    assert_eq!(billing(&isp, &mother).await?["postpaid"], false);

    // The same once more changes nothing; who has paid time keeps it.
    let again = report(&world, &isp.owner, "onExisting=update", file).await?;
    assert_eq!(counts(&again)[..2], [0, 0], "{again}");
    let joins = "username,parent\nmother,aunt\n";
    let kept = report(&world, &isp.owner, "onExisting=update", joins).await?;
    assert_eq!(
        kept["rows"][0]["warnings"][0]["field"], "parentId",
        "{kept}"
    );
    assert_eq!(find(&isp.owner, "mother").await?["parentId"], Value::Null);
    assert_eq!(world.book_findings().await?, Vec::<String>::new());
    world.stop().await
}

async fn billing(isp: &Provider, customer: &Value) -> Result<Value> {
    let id = customer["id"].as_str().context("an id")?;
    isp.owner.get(&format!("/customers/{id}/billing")).await
}
