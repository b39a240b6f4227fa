//! Files of more than 500 rows: a job takes them in, part by part, whatever happens to it.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, Result};
use easyisp_tests::operator::Operator;
use easyisp_tests::world::{Provider, World, eventually};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};

use super::{customers, report, send};

/// So many rows of subscribers called `user0` and on.
pub fn file(rows: std::ops::Range<u32>, kind: &str) -> String {
    let mut file = String::new();
    for n in rows {
        file += &format!("user{n},word-{n},User {n},{kind}\n");
    }
    file
}

pub const HEAD: &str = "username,password,name,type\n";

/// Waits for the end of a job.
pub async fn finished(who: &Operator, job: &str) -> Result<Value> {
    eventually("the job has ended", async || {
        let job = who.get(&format!("/jobs/{job}")).await?;
        Ok((job["finishedAt"] != Value::Null).then_some(job))
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn two_thousand_rows_are_a_job_that_tells_how_far_it_is() -> Result<()> {
    let world = World::start().await?;
    let isp = Provider::sign_up(&world, "large").await?;
    let owner = &isp.owner;
    let bad = "bad,no,B,PPPOE\n";
    let text = HEAD.to_owned() + &file(0..1999, "PPPOE") + bad;
    let (status, answer) = send(&world, owner, "", text.clone()).await?;
    assert_eq!(status, StatusCode::ACCEPTED, "{answer}");
    let id = answer["jobId"].as_str().context("a job")?;
    let job = finished(owner, id).await?;
    assert_eq!(
        (&job["state"], &job["kind"]),
        (&json!("DONE"), &json!("customers.import"))
    );
    assert_eq!(
        (&job["total"], &job["done"], &job["failed"]),
        (&json!(2000), &json!(2000), &json!(1))
    );
    let shown = &job["report"];
    assert_eq!(
        (&shown["created"], &shown["complete"]),
        (&json!(1999), &json!(false))
    );
    let rows = shown["rows"].as_array().context("rows")?;
    let failed = rows
        .iter()
        .find(|row| row["outcome"] == "failed")
        .context("the one that failed")?;
    assert_eq!((rows.len(), &failed["row"]), (1000, &json!(2001)));
    assert_eq!(customers(owner).await?, 1999);

    // Every row can be read, page by page, and so can those of one outcome.
    let page = owner
        .get(&format!("/imports/{id}?page=10&pageSize=200"))
        .await?;
    assert_eq!(page["rows"][199]["username"], "bad");
    let only = owner
        .get(&format!("/imports/{id}?outcome=failed&pageSize=200"))
        .await?;
    assert_eq!(only["rows"].as_array().map(Vec::len), Some(1));
    let jobs = owner.get("/jobs").await?;
    assert_eq!(jobs["jobs"][0]["id"], id);
    let background = jobs["background"].as_array().context("a list")?;
    assert!(
        background.iter().any(|work| work["kind"] == "tenants.tidy"),
        "{jobs}"
    );

    // One line of the trail a part, by who sent the file.
    let trail = owner.get("/audit-logs?action=CUSTOMER_IMPORT").await?;
    assert_eq!(
        (&trail["total"], &trail["logs"][0]["targetId"]),
        (&json!(4), &json!(id))
    );
    assert_eq!(trail["logs"][0]["operator"]["email"], isp.email().as_str());
    assert!(!trail.to_string().contains("word-"), "no password");

    let again = finished(owner, &job_of(&world, owner, text).await?).await?;
    assert_eq!(
        (&again["report"]["skipped"], &again["failed"]),
        (&json!(1999), &json!(1))
    );
    assert_eq!(customers(owner).await?, 1999);
    // What waited was sealed, and waits no more.
    let mut tx = world.db().begin(isp.tenant().await?).await?;
    let parts: i64 = sqlx::query_scalar("select count(*) from import_parts")
        .fetch_one(&mut *tx)
        .await?;
    assert_eq!(parts, 0);
    drop(tx);
    world.stop().await
}

/// Somebody is erased while the part of a file that names her waits: she is not made again, and the report says why.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_erased_meanwhile_is_not_made_again() -> Result<()> {
    let world = World::start().await?;
    let isp = Provider::sign_up(&world, "erased").await?;
    let tenant = isp.tenant().await?;
    let row = "Jane,jane-word,Jane,HOTSPOT\n";
    let first = report(&world, &isp.owner, "", HEAD.to_owned() + row).await?;
    assert_eq!(first["created"], 1, "{first}");
    let jane = first["rows"][0]["id"].as_str().context("an id")?.to_owned();

    // The second part waits until she is as good as erased; she is in the third.
    let mut held = world.db().begin(tenant).await?;
    sqlx::query("select from counts where what = 'customers.PPPOE' for update")
        .execute(&mut *held)
        .await?;
    let text = HEAD.to_owned()
        + &file(0..500, "HOTSPOT")
        + &file(500..1000, "PPPOE")
        + row
        + &file(1000..1010, "PPPOE");
    let job = job_of(&world, &isp.owner, text).await?;
    let mut watch = PgConnection::connect_with(&world.database.app()).await?;
    let mut waits = async |what: &'static str| {
        eventually(what, async || {
            let waiting: Option<i32> = sqlx::query_scalar(
                "select pid from pg_stat_activity
                  where datname = current_database() and wait_event_type = 'Lock' and query ilike $1 limit 1",
            )
            .bind(format!("%{what}%"))
            .fetch_optional(&mut watch)
            .await?;
            Ok(waiting)
        })
        .await
    };
    waits("counts").await?;
    isp.owner.confirm().await?;
    let (who, path) = (&isp.owner, format!("/customers/{jane}/erase"));
    let wish = json!({"reason": "She asked", "confirm": "Jane"});
    let release = async {
        waits("from imports").await?;
        held.commit().await?;
        anyhow::Ok(())
    };
    let (erased, released) = tokio::join!(who.post(&path, &wish), release);
    released?;
    erased?;
    let job = finished(&isp.owner, &job).await?;
    assert_eq!(
        (&job["state"], &job["done"], &job["failed"]),
        (&json!("DONE"), &json!(1011), &json!(0))
    );
    assert_eq!(
        (&job["report"]["created"], &job["report"]["skipped"]),
        (&json!(1010), &json!(1)),
        "{}",
        job["report"]
    );
    let id = job["id"].as_str().context("an id")?;
    let skipped = isp
        .owner
        .get(&format!("/imports/{id}?outcome=skipped"))
        .await?;
    let row = &skipped["rows"][0];
    assert_eq!(row["row"], 1002);
    // Whichever of the two was first at the third part: her row was never taken, or was found and says nothing of her.
    match row["username"].as_str() {
        Some("erased") => assert!(
            row["errors"]
                .to_string()
                .contains("erased after this file came"),
            "{row}"
        ),
        other => assert_ne!(other, Some("Jane"), "{row}"),
    }
    let jane = isp.owner.get("/customers?search=jane").await?;
    assert_eq!(jane["total"], 0, "{jane}");
    let mut tx = world.db().begin(tenant).await?;
    let kept: i64 = sqlx::query_scalar("select count(*) from imports where forgotten <> '{}'")
        .fetch_one(&mut *tx)
        .await?;
    assert_eq!(kept, 0, "nothing of her is kept once it is done");
    drop(tx);
    world.stop().await
}

async fn job_of(world: &World, who: &Operator, text: String) -> Result<String> {
    let (_, answer) = send(world, who, "", text).await?;
    Ok(answer["jobId"].as_str().context("a job")?.to_owned())
}

/// A node dies in the middle of the second part, with 500 customers written and not committed: another goes on,
/// and everybody is there once.
#[tokio::test(flavor = "multi_thread")]
async fn a_kill_half_way_leaves_every_row_done_once() -> Result<()> {
    let mut world = World::start().await?;
    let isp = Provider::sign_up(&world, "killed").await?;
    let tenant = isp.tenant().await?;
    report(
        &world,
        &isp.owner,
        "",
        HEAD.to_owned() + "first,first-word,First,PPPOE\n",
    )
    .await?;

    // Whoever counts homes waits: the last thing that a part does.
    let mut held = world.db().begin(tenant).await?;
    sqlx::query("select from counts where what = 'customers.PPPOE' for update")
        .execute(&mut *held)
        .await?;
    let text = HEAD.to_owned() + &file(0..500, "HOTSPOT") + &file(500..1200, "PPPOE");
    let job = job_of(&world, &isp.owner, text).await?;
    let mut killer = PgConnection::connect_with(&world.database.app()).await?;
    let killed = eventually("the second part waits, and its connection dies", async || {
        let killed: Option<bool> = sqlx::query_scalar(
            "select pg_terminate_backend(pid) from pg_stat_activity
              where datname = current_database() and wait_event_type = 'Lock' and query ilike '%counts%'",
        )
        .fetch_optional(&mut killer)
        .await?;
        Ok(killed)
    })
    .await?;
    assert!(killed);
    let half = eventually("the failure is written", async || {
        let job = isp.owner.get(&format!("/jobs/{job}")).await?;
        let background = isp.owner.get("/jobs").await?["background"].clone();
        let failing = background.as_array().is_some_and(|all| {
            all.iter()
                .any(|work| work["kind"] == "imports.run" && work["failing"] == 1)
        });
        Ok(failing.then_some(job))
    })
    .await?;
    assert_eq!(
        (&half["state"], &half["done"]),
        (&json!("RUNNING"), &json!(500)),
        "{half}"
    );
    assert_eq!(customers(&isp.owner).await?, 501);
    let (status, refused) = isp
        .owner
        .call(Method::POST, &format!("/imports/{job}/undo"), None)
        .await?;
    assert_eq!(
        (status, &refused["code"]),
        (StatusCode::CONFLICT, &json!("IMPORT_RUNNING"))
    );

    held.rollback().await?;
    world.stop_cloud().await?;
    world.start_cloud().await?;
    world.clock.advance(Duration::from_secs(300));
    let job = finished(&isp.owner, &job).await?;
    assert_eq!(
        (&job["state"], &job["done"]),
        (&json!("DONE"), &json!(1200)),
        "{job}"
    );
    assert_eq!(super::counts(&job["report"]), [1200, 0, 0, 0]);

    let mut tx = world.db().begin(tenant).await?;
    let names: Vec<String> = sqlx::query_scalar("select username from customers")
        .fetch_all(&mut *tx)
        .await?;
    let (numbers, wallets, known): (i64, i64, i64) = sqlx::query_as(
        "select (select count(distinct account_number) from customers), (select count(*) from wallets),
                (select count(*) from feed where kind = $1 and body is not null)",
    )
    .bind(i16::try_from(easyisp_shared::wire::DownKind::Subscriber.code())?)
    .fetch_one(&mut *tx)
    .await?;
    drop(tx);
    assert_eq!(
        (names.len(), numbers, wallets, known),
        (1201, 1201, 1201, 1201)
    );
    assert_eq!(BTreeSet::from_iter(names).len(), 1201);
    assert_eq!(customers(&isp.owner).await?, 1201, "the kept counts agree");
    let trail = isp.owner.get("/audit-logs?action=CUSTOMER_IMPORT").await?;
    assert_eq!(
        trail["total"], 4,
        "one line a part, and one for the first file"
    );
    world.stop().await
}

/// What cannot be done at all is given up after a while, and says so.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_fails_again_and_again_is_given_up() -> Result<()> {
    let world = World::start().await?;
    let isp = Provider::sign_up(&world, "broken").await?;
    let tenant = isp.tenant().await?;
    let mut owner = crate::subject_data::kept::owner(&world, tenant).await?;
    sqlx::query(
        "alter table customers add constraint broken check (username <> 'user700') not valid",
    )
    .execute(&mut owner)
    .await?;
    let job = job_of(&world, &isp.owner, HEAD.to_owned() + &file(0..900, "PPPOE")).await?;
    let ended = eventually("it is given up", async || {
        let background = isp.owner.get("/jobs").await?["background"].clone();
        let rests = background.as_array().is_some_and(|all| {
            let now = world.clock.now().to_string();
            let later = |at: &Value| at.as_str().is_some_and(|at| *at > *now);
            all.iter()
                .any(|work| work["kind"] == "imports.run" && later(&work["nextRunAt"]))
        });
        if rests {
            world.clock.advance(Duration::from_secs(300));
        }
        let job = isp.owner.get(&format!("/jobs/{job}")).await?;
        Ok((job["finishedAt"] != Value::Null).then_some(job))
    })
    .await?;
    assert_eq!(
        (&ended["state"], &ended["done"]),
        (&json!("FAILED"), &json!(500)),
        "{ended}"
    );
    let import = isp.owner.get(&format!("/imports/{job}")).await?;
    let said = import["error"].as_str().context("why")?;
    assert!(said.contains("400 rows were not looked at"), "{said}");
    assert_eq!(customers(&isp.owner).await?, 500);
    let mut tx = world.db().begin(tenant).await?;
    let parts: i64 = sqlx::query_scalar("select count(*) from import_parts")
        .fetch_one(&mut *tx)
        .await?;
    assert_eq!(parts, 0, "no password is kept for nothing");
    drop(tx);
    world.stop().await
}
