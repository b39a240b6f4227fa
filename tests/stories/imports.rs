//! Files of subscribers and packages: taken in row by row, once, and taken back.

mod accounts;
mod formats;
pub mod large;
mod live;
mod undo;

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use easyisp_tests::operator::{Operator, http_client};
use easyisp_tests::router::subscriber::Method as Login;
use easyisp_tests::world::{PASSWORD, Provider, Site, World, eventually};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::words::DAY;

/// Sends a file of customers; `query` is what stands after `?`.
pub async fn send(
    world: &World,
    who: &Operator,
    query: &str,
    file: impl Into<reqwest::Body>,
) -> Result<(StatusCode, Value)> {
    send_to(
        world,
        who,
        &format!("/customers/import?{query}"),
        "text/csv",
        file,
    )
    .await
}

/// Sends a file of this type to any path.
pub async fn send_to(
    world: &World,
    who: &Operator,
    path: &str,
    kind: &str,
    file: impl Into<reqwest::Body>,
) -> Result<(StatusCode, Value)> {
    let url = format!("http://{}/api{path}", world.api());
    let request = http_client().post(url).bearer_auth(who.token());
    let answer = request
        .header("content-type", kind)
        .body(file)
        .send()
        .await?;
    let status = answer.status();
    let text = answer.text().await?;
    Ok((
        status,
        serde_json::from_str(&text).unwrap_or(Value::String(text)),
    ))
}

/// The report of a file that was taken in at once.
pub async fn report(
    world: &World,
    who: &Operator,
    query: &str,
    file: impl Into<reqwest::Body>,
) -> Result<Value> {
    let (status, report) = send(world, who, query, file).await?;
    ensure!(status == StatusCode::OK, "{status} {report}");
    Ok(report)
}

/// Created, updated, skipped and failed.
pub fn counts(report: &Value) -> [i64; 4] {
    ["created", "updated", "skipped", "failed"].map(|name| report[name].as_i64().unwrap_or(-1))
}

/// How many customers there are.
pub async fn customers(who: &Operator) -> Result<i64> {
    let list = who.get("/customers?page=1&pageSize=1").await?;
    list["total"].as_i64().context("a total")
}

/// The only customer whom this finds.
pub async fn find(who: &Operator, username: &str) -> Result<Value> {
    let list = who
        .get(&format!("/customers?search={username}&pageSize=10"))
        .await?;
    let found = list["customers"].as_array().context("customers")?;
    let found = found.iter().find(|one| one["username"] == username);
    let id = found.and_then(|one| one["id"].as_str());
    who.get(&format!("/customers/{}", id.context("he is there")?))
        .await
}

/// Three subscribers as a spreadsheet has them.
const FILE: &str = "User Name,Password,Full Name,Phone,Type,Plan,Expiry Date,Shoe size\r\n\
                    asha,asha-word,Asha Njeri,0712345601,pppoe,home 10,2027-03-01,38\r\n\
                    baraka,baraka-word,\"Baraka, Otieno\",0712345602,PPPoE,Home 10,31/12/2027 14:30,\r\n\
                    chege,chege-word,Chege Mwangi,0712345603,PPPOE,,,\r\n";

#[tokio::test(flavor = "multi_thread")]
async fn a_spreadsheet_becomes_subscribers_whom_their_site_lets_in() -> Result<()> {
    let world = World::start().await?;
    let isp = Provider::sign_up(&world, "moving").await?;
    let site = Site::open(&world, &isp).await?;
    let made = report(&world, &isp.owner, "", FILE).await?;
    assert_eq!(counts(&made), [3, 0, 0, 0], "{made}");
    assert_eq!(
        (&made["total"], &made["complete"]),
        (&json!(3), &json!(true))
    );
    assert_eq!(made["format"], "csv");
    let warning = made["warnings"][0].as_str().context("a warning")?;
    assert!(warning.contains("Shoe size"), "{warning}");
    let lines: Vec<&Value> = made["rows"]
        .as_array()
        .context("rows")?
        .iter()
        .map(|r| &r["row"])
        .collect();
    assert_eq!(lines, [&json!(2), &json!(3), &json!(4)]);

    let asha = find(&isp.owner, "asha").await?;
    assert_eq!(asha["id"], made["rows"][0]["id"]);
    assert_eq!(asha["password"], "asha-word");
    assert_eq!(asha["packageId"], isp.package.as_str());
    // The end of that day in Nairobi, and half past two there.
    assert_eq!(asha["expiresAt"], "2027-03-01T21:00:00.000Z");
    let baraka = find(&isp.owner, "baraka").await?;
    assert_eq!(baraka["name"], "Baraka, Otieno");
    assert_eq!(baraka["expiresAt"], "2027-12-31T11:30:00.000Z");
    let chege = find(&isp.owner, "chege").await?;
    let month = world.clock.now().plus(DAY * 30).to_string();
    assert_eq!(
        (&chege["packageId"], &chege["expiresAt"]),
        (&json!(null), &json!(month))
    );
    assert_eq!(customers(&isp.owner).await?, 3);

    site.knows("asha", "at all", |_| true).await?;
    let dialled = site.router.subscriber("asha", "asha-word", Login::MsChapV2);
    let online = dialled.dial().await.online();
    online.started().await;
    site.stop().await;
    world.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_says_what_would_be_and_changes_nothing() -> Result<()> {
    let world = World::start().await?;
    let isp = Provider::sign_up(&world, "dry").await?;
    let owner = &isp.owner;
    report(
        &world,
        owner,
        "",
        "username,password,name,type\nasha,old-word,Asha,PPPOE\n",
    )
    .await?;
    let trail = owner.get("/audit-logs").await?["total"].clone();
    let before = owner.get("/customers").await?;

    let dry = report(&world, owner, "dryRun=true&onExisting=update", FILE).await?;
    assert_eq!(counts(&dry), [2, 1, 0, 0], "{dry}");
    assert_eq!(
        (&dry["dryRun"], &dry["importId"]),
        (&json!(true), &json!(null))
    );
    assert_eq!(dry["rows"][0]["outcome"], "updated");
    assert_eq!(dry["rows"][1]["id"], json!(null));
    assert_eq!(owner.get("/customers").await?, before);
    assert_eq!(owner.get("/audit-logs").await?["total"], trail);
    assert_eq!(owner.get("/imports").await?["total"], 1);

    // A large one answers at once as well; what failed is shown before what did not.
    let mut large = "username,password,name,type\n".to_owned();
    for n in 0..1500 {
        let kind = if n < 1400 { "PPPOE" } else { "TELEX" };
        large += &format!("user{n},word-{n},User {n},{kind}\n");
    }
    let dry = report(&world, owner, "dryRun=true", large).await?;
    assert_eq!(counts(&dry), [1400, 0, 0, 100]);
    assert_eq!(
        (&dry["total"], &dry["complete"]),
        (&json!(1500), &json!(false))
    );
    let rows = dry["rows"].as_array().context("rows")?;
    let failed = rows.iter().filter(|row| row["outcome"] == "failed").count();
    assert_eq!((rows.len(), failed), (1000, 100));
    assert_eq!(customers(owner).await?, 1);
    world.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_cannot_be_names_its_fields_and_what_to_write_and_stops_no_other() -> Result<()>
{
    let world = World::start().await?;
    let isp = Provider::sign_up(&world, "rows").await?;
    let stranger = Provider::sign_up(&world, "stranger").await?;
    let theirs = json!({"name": "Their tower", "ipAddress": "10.0.0.1"});
    let theirs = stranger.owner.post("/nas", &theirs).await?;
    let theirs = theirs["id"].as_str().context("an id")?;
    let hour = json!({"name": "Hour", "type": "HOTSPOT", "price": 20, "downloadSpeed": 4,
        "uploadSpeed": 2, "sessionTime": 60});
    isp.owner.post("/packages", &hour).await?;

    let file = format!(
        "username,password,name,type,package,router,expiry,email,devices,ip\n\
         good,good-word,Good One,PPPOE,,,,,,10.0.0.5\n\
         ab,abc,,TELEX,No such,Their tower,03/04/2027,nobody,many,300.1.1.1\n\
         other,other-word,Other,PPPOE,,{theirs},,,,\n\
         good,again-word,Again,PPPOE,,,,,,\n\
         guest,guest-word,Guest,PPPOE,Hour,,,,,\n\
         same,same-word,Same,PPPOE,,,,,,10.0.0.5\n\
         cells,cells-word,Cells,PPPOE,,,,,,,surplus\n"
    );
    let made = report(&world, &isp.owner, "", file).await?;
    assert_eq!(counts(&made), [1, 0, 0, 6], "{made}");
    let wrong = |row: usize| -> Vec<(String, String)> {
        let errors = made["rows"][row]["errors"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        errors
            .iter()
            .map(|e| (text(&e["field"]), text(&e["message"])))
            .collect()
    };
    let bad: Vec<String> = wrong(1).into_iter().map(|(field, _)| field).collect();
    for field in [
        "username",
        "password",
        "name",
        "connectionType",
        "packageId",
        "nasId",
        "expiresAt",
        "email",
        "devices",
        "ipAddress",
    ] {
        assert_eq!(
            bad.iter().filter(|named| *named == field).count(),
            1,
            "{field}: {bad:?}"
        );
    }
    assert_eq!(made["rows"][1]["row"], 3);
    let said = |row: usize, field: &str| {
        let found = wrong(row).into_iter().find(|(named, _)| named == field);
        found.map(|(_, message)| message).unwrap_or_default()
    };
    assert!(said(1, "packageId").contains("\"No such\""), "{made}");
    assert!(
        said(1, "expiresAt").contains("2027-04-03 or 2027-03-04"),
        "{made}"
    );
    assert!(
        said(1, "connectionType").contains("PPPOE, HOTSPOT"),
        "{made}"
    );
    // Another provider's router is no router, by name and by id.
    assert!(said(1, "nasId").contains("no router of yours"), "{made}");
    assert!(said(2, "nasId").contains("no router of yours"), "{made}");
    assert!(said(3, "username").contains("line 2"), "{made}");
    assert!(said(4, "packageId").contains("hotspot package"), "{made}");
    assert!(
        said(5, "ipAddress").contains("another customer's"),
        "{made}"
    );
    assert!(said(6, "row").contains("more cells"), "{made}");
    assert_eq!(customers(&isp.owner).await?, 1);
    assert_eq!(find(&isp.owner, "good").await?["staticIp"], "10.0.0.5");
    world.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_there_is_left_changed_or_refused_as_the_file_is_sent() -> Result<()> {
    let world = World::start().await?;
    let isp = Provider::sign_up(&world, "existing").await?;
    let owner = &isp.owner;
    report(&world, owner, "", FILE).await?;
    let before = find(owner, "asha").await?;

    let again = report(&world, owner, "", FILE).await?;
    assert_eq!(counts(&again), [0, 0, 3, 0], "{again}");
    let refused = report(&world, owner, "onExisting=fail", FILE).await?;
    assert_eq!(counts(&refused), [0, 0, 0, 3], "{refused}");
    let said = refused["rows"][0]["errors"][0]["message"]
        .as_str()
        .context("a message")?;
    assert!(said.contains("onExisting=update"), "{said}");
    let same = report(&world, owner, "onExisting=update", FILE).await?;
    assert_eq!(counts(&same), [0, 0, 3, 0], "nothing is different: {same}");
    assert_eq!(find(owner, "asha").await?, before);

    // An empty cell mentions nothing.
    let file = "username,password,name,phone,status,expiry\n\
                asha,new-word,,,SUSPENDED,2027-04-01 10:00\nnewcomer,new-word,New Comer,,,\n";
    let typed = "onExisting=update&connectionType=HOTSPOT";
    let changed = report(&world, owner, typed, file).await?;
    assert_eq!(counts(&changed), [1, 1, 0, 0], "{changed}");
    let asha = find(owner, "asha").await?;
    assert_eq!(
        (&asha["name"], &asha["phone"]),
        (&before["name"], &before["phone"])
    );
    assert_eq!(
        (&asha["status"], &asha["password"]),
        (&json!("SUSPENDED"), &json!("new-word"))
    );
    assert_eq!(asha["expiresAt"], "2027-04-01T07:00:00.000Z");
    assert_eq!(
        asha["connectionType"], "PPPOE",
        "what holds for newcomers changes nobody"
    );
    assert_eq!(find(owner, "newcomer").await?["connectionType"], "HOTSPOT");

    // A mistake in one changes neither him nor the others' fate.
    let file = "username,name,devices\nasha,A,5000\nbaraka,Baraka O.,2\nnobody,N,1\n";
    let mixed = report(&world, owner, "onExisting=update", file).await?;
    assert_eq!(counts(&mixed), [0, 1, 0, 2], "{mixed}");
    assert_eq!(find(owner, "asha").await?, asha);
    assert_eq!(find(owner, "baraka").await?["devices"], 2);
    world.stop().await
}

/// A file that was written before he paid does not take away what he paid; a later end is taken, and the trail keeps
/// both.
#[tokio::test(flavor = "multi_thread")]
async fn an_old_file_takes_no_paid_time_away() -> Result<()> {
    let world = World::start().await?;
    let isp = Provider::sign_up(&world, "stale").await?;
    let owner = &isp.owner;
    let file = |end: &str| format!("username,expiresAt\nasha,{end}\n");
    let first = "2027-02-01T08:00:00.000Z";
    let head = "username,password,name,type,package,expiresAt\n";
    let made = format!("{head}asha,asha-word,Asha,PPPOE,Home 10,{first}\n");
    report(&world, owner, "", made).await?;
    let asha = find(owner, "asha").await?;
    let recharge = format!("/customers/{}/recharge", asha["id"].as_str().context("id")?);
    owner.post(&recharge, &json!({"amount": 1000})).await?;
    let paid = "2027-03-01T08:00:00.000Z";
    assert_eq!(find(owner, "asha").await?["expiresAt"], paid);

    let stale = report(&world, owner, "onExisting=update", file(first)).await?;
    assert_eq!(counts(&stale), [0, 0, 0, 1], "{stale}");
    assert_eq!(stale["rows"][0]["errors"][0]["field"], "expiresAt");
    assert_eq!(find(owner, "asha").await?["expiresAt"], paid);

    let later = "2027-04-01T08:00:00.000Z";
    let moved = report(&world, owner, "onExisting=update", file(later)).await?;
    assert_eq!(counts(&moved), [0, 1, 0, 0], "{moved}");
    assert_eq!(find(owner, "asha").await?["expiresAt"], later);
    let trail = owner.get("/audit-logs?action=CUSTOMER_IMPORT").await?;
    // All three in one millisecond of the story's clock: in no order.
    let lines = trail["logs"].as_array().context("logs")?;
    let moves: Vec<_> = lines
        .iter()
        .filter_map(|line| line["after"].get("ends"))
        .collect();
    let moved = json!([{"id": asha["id"], "was": paid, "is": later}]);
    assert_eq!(moves, [&moved], "{trail}");
    world.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_may_come_as_a_form_and_in_any_spreadsheets_hand() -> Result<()> {
    let world = World::start().await?;
    let isp = Provider::sign_up(&world, "hands").await?;
    let owner = &isp.owner;
    let form = "--b\r\ncontent-disposition: form-data; name=\"note\"\r\n\r\nhello\r\n--b\r\n\
                content-disposition: form-data; name=\"file\"; filename=\"x.csv\"\r\n\r\n\
                \u{feff}username;password;name;type\nasha;asha-word;Zoë;PPPOE\n\r\n--b--\r\n";
    let path = "/customers/import";
    let (status, made) =
        send_to(&world, owner, path, "multipart/form-data; boundary=b", form).await?;
    assert_eq!(
        (status, counts(&made)),
        (StatusCode::OK, [1, 0, 0, 0]),
        "{made}"
    );
    assert_eq!(find(owner, "asha").await?["name"], "Zoë");
    let windows =
        b"username\tpassword\tname\ttype\njose\tjose-word\tJos\xE9 \x80\tPPPOE\n".to_vec();
    report(&world, owner, "", windows).await?;
    assert_eq!(find(owner, "jose").await?["name"], "José €");

    let empty = "--b\r\ncontent-disposition: form-data; name=\"note\"\r\n\r\nhello\r\n--b--\r\n";
    let many = "username\n".to_owned() + &"user\n".repeat(20_001);
    for (kind, file, status, field) in [
        ("text/csv", b"PK\x03\x04 a workbook".to_vec(), 400, "file"),
        ("text/csv", b"\xFF\xFEu\0".to_vec(), 400, "file"),
        ("text/csv", b"".to_vec(), 400, "file"),
        ("text/csv", b"username,name\n".to_vec(), 400, "file"),
        ("text/csv", many.into_bytes(), 400, "file"),
        ("text/csv", vec![b'x'; 10 * 1024 * 1024 + 1], 413, ""),
        ("multipart/form-data; boundary=b", empty.into(), 400, "file"),
        ("multipart/form-data", empty.into(), 415, ""),
        ("application/json", b"{}".to_vec(), 415, ""),
    ] {
        let shown = String::from_utf8_lossy(&file[..file.len().min(30)]).into_owned();
        let (refused, answer) = send_to(&world, owner, path, kind, file).await?;
        assert_eq!(refused.as_u16(), status, "{shown}: {answer}");
        if !field.is_empty() {
            assert_eq!(answer["details"][0]["field"], field, "{shown}: {answer}");
        }
    }
    let (status, answer) = send(&world, owner, "onExisting=replace", FILE).await?;
    assert_eq!(
        (status, &answer["details"][0]["field"]),
        (StatusCode::BAD_REQUEST, &json!("onExisting"))
    );
    assert_eq!(customers(owner).await?, 2);
    world.stop().await
}

/// A workbook is a table like any other: the same columns, report and way back; what is no workbook, or one that is
/// larger inside than it looks, is refused.
#[tokio::test(flavor = "multi_thread")]
async fn a_workbook_is_taken_in_like_a_table() -> Result<()> {
    const XLSX: &str = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet";

    let world = World::start().await?;
    let isp = Provider::sign_up(&world, "workbooks").await?;
    let owner = &isp.owner;
    let book = |rows: &[&[&str]]| -> Result<Vec<u8>> {
        let (first, rest) = rows.split_first().context("a row")?;
        let mut book = easyisp_cloud::api::Workbook::new(first)?;
        for row in rest {
            book.row(row)?;
        }
        let mut bytes = book.take();
        bytes.extend(book.finish()?);
        Ok(bytes)
    };
    let file = book(&[
        &[
            "User Name",
            "Password",
            "Full Name",
            "Phone",
            "Type",
            "Plan",
            "Expiry Date",
            "Shoe size",
        ],
        &[
            "asha",
            "asha-word",
            "Asha, Njeri; of Nyeri",
            "0712345601",
            "pppoe",
            "home 10",
            "2027-03-01",
            "38",
        ],
        &[
            "baraka",
            "=1+1-word",
            "Baraka Otieno",
            "0712345602",
            "PPPoE",
            "Home 10",
            "31/12/2027 14:30",
        ],
        &["x", "", "", "", "", "no such", ""],
    ])?;
    let path = "/customers/import";
    let (status, looked) = send_to(
        &world,
        owner,
        &format!("{path}?dryRun=true"),
        XLSX,
        file.clone(),
    )
    .await?;
    assert_eq!(status, StatusCode::OK, "{looked}");
    assert_eq!(
        (counts(&looked), customers(owner).await?),
        ([2, 0, 0, 1], 0),
        "{looked}"
    );
    let (_, made) = send_to(&world, owner, path, XLSX, file).await?;
    assert_eq!(counts(&made), [2, 0, 0, 1], "{made}");
    assert_eq!(made["rows"][2]["row"], 4, "{made}");
    let warning = made["warnings"][0].as_str().context("a warning")?;
    assert!(warning.contains("Shoe size"), "{warning}");
    let asha = find(owner, "asha").await?;
    assert_eq!(asha["name"], "Asha, Njeri; of Nyeri");
    assert_eq!(asha["expiresAt"], "2027-03-01T21:00:00.000Z");
    assert_eq!(find(owner, "baraka").await?["password"], "=1+1-word");
    let import = owner.get("/imports").await?["imports"][0]["id"].clone();
    let import = import.as_str().context("an import")?;
    let undone = owner
        .post(&format!("/imports/{import}/undo"), &json!({}))
        .await?;
    assert_eq!(customers(owner).await?, 0, "{undone}");

    // What leaves as a workbook comes in as one.
    let url = format!("http://{}/api/packages/export?format=xlsx", world.api());
    let sent = http_client()
        .get(url)
        .bearer_auth(owner.token())
        .send()
        .await?;
    let bytes = sent.bytes().await?.to_vec();
    let other = Provider::sign_up(&world, "readers").await?;
    let (status, taken) = send_to(
        &world,
        &other.owner,
        "/packages/import",
        XLSX,
        bytes.clone(),
    )
    .await?;
    assert_eq!(
        (status, counts(&taken)),
        (StatusCode::OK, [0, 0, 1, 0]),
        "{taken}"
    );

    let cut = bytes[..bytes.len() / 2].to_vec();
    let old = b"\xD0\xCF\x11\xE0\xA1\xB1\x1A\xE1".to_vec();
    for wrong in [cut, old, book(&[&vec!["x"; 201]])?] {
        let (status, answer) = send_to(&world, owner, path, XLSX, wrong).await?;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{answer}");
        assert_eq!(answer["details"][0]["field"], "file", "{answer}");
    }
    world.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_sent_twice_under_one_key_is_taken_in_once() -> Result<()> {
    let world = World::start().await?;
    let isp = Provider::sign_up(&world, "keys").await?;
    let url = format!("http://{}/api/customers/import", world.api());
    let once = async |query: &str, file: &'static str| {
        let request = http_client()
            .post(format!("{url}{query}"))
            .bearer_auth(isp.owner.token());
        let request = request
            .header("content-type", "text/csv")
            .header("idempotency-key", "monday");
        let answer = request.body(file).send().await?;
        anyhow::Ok((answer.status(), answer.json::<Value>().await?))
    };
    let (status, first) = once("", FILE).await?;
    assert_eq!((status, counts(&first)), (StatusCode::OK, [3, 0, 0, 0]));
    assert_eq!(once("", FILE).await?, (status, first));
    let (status, other) = once("?onExisting=fail", FILE).await?;
    assert_eq!(
        (status, &other["code"]),
        (StatusCode::CONFLICT, &json!("IDEMPOTENCY_KEY_REUSED"))
    );
    assert_eq!(isp.owner.get("/imports").await?["total"], 1);
    world.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_make_customers_need_not_be_allowed_more() -> Result<()> {
    let world = World::start().await?;
    let isp = Provider::sign_up(&world, "rights").await?;
    let clerk = json!({"name": "Clerk", "email": "clerk@rights.isp", "password": PASSWORD,
        "role": "STAFF", "addedPermissions": ["customers:create"]});
    isp.owner.post("/tenant/operators", &clerk).await?;
    let clerk = Operator::login(world.api(), "clerk@rights.isp", PASSWORD).await?;

    let file = "username,password,name,type,ip,mac\nasha,asha-word,Asha,PPPOE,,\n\
                baraka,baraka-word,Baraka,PPPOE,10.0.0.5,\nchege,chege-word,Chege,PPPOE,,AA:BB:CC:DD:EE:FF\n";
    let made = report(&world, &clerk, "", file).await?;
    assert_eq!(counts(&made), [1, 0, 0, 2], "{made}");
    let said = made["rows"][1]["errors"][0]["message"]
        .as_str()
        .context("a message")?;
    assert!(said.contains("pppoe:static_ip"), "{said}");
    let (status, _) = send(&world, &clerk, "onExisting=update", file).await?;
    assert_eq!(status, StatusCode::FORBIDDEN);
    let import = made["importId"].as_str().context("an id")?;
    let undo = format!("/imports/{import}/undo");
    let (status, _) = clerk.call(Method::POST, &undo, None).await?;
    assert_eq!(status, StatusCode::FORBIDDEN);
    let job = clerk.get(&format!("/jobs/{import}")).await?;
    assert_eq!(
        (&job["state"], &job["kind"]),
        (&json!("DONE"), &json!("customers.import"))
    );
    let (status, _) = send_to(&world, &clerk, "/packages/import", "text/csv", "name\nx\n").await?;
    assert_eq!(status, StatusCode::FORBIDDEN);
    world.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn packages_come_from_a_file_and_go_back_into_one() -> Result<()> {
    let world = World::start().await?;
    let isp = Provider::sign_up(&world, "plans").await?;
    let owner = &isp.owner;
    let fancy = json!({"name": "=Fancy, \"fast\"", "type": "HOTSPOT", "price": 19.5, "downloadSpeed": 8,
        "uploadSpeed": 4, "burstDownload": 16, "period": {"count": 2, "unit": "WEEKS"},
        "dataLimit": 5_368_709_120_i64, "devices": 3, "isActive": false,
        "terms": {"timeLimit": 600, "routerProfile": "8M",
            "fairUse": [{"afterBytes": 1000, "downloadSpeed": 2, "uploadSpeed": 1}]}});
    owner.post("/packages", &fancy).await?;
    let file = crate::exports::text(&world, owner, "/packages/export").await?;
    assert!(file.contains("\"'=Fancy, \"\"fast\"\"\""), "{file}");

    let other = Provider::sign_up(&world, "copies").await?;
    let path = "/packages/import";
    let dry = format!("{path}?dryRun=true");
    let (_, looked) = send_to(&world, &other.owner, &dry, "text/csv", file.clone()).await?;
    assert_eq!(counts(&looked), [1, 0, 1, 0], "Home 10 is there: {looked}");
    let (status, made) = send_to(&world, &other.owner, path, "text/csv", file.clone()).await?;
    assert_eq!(
        (status, counts(&made)),
        (StatusCode::OK, [1, 0, 1, 0]),
        "{made}"
    );
    // Packages made in one moment have no order.
    let lines = |text: &str| text.lines().map(str::to_owned).collect::<BTreeSet<_>>();
    let copy = crate::exports::text(&world, &other.owner, "/packages/export").await?;
    assert_eq!(lines(&copy), lines(&file));
    let packages = other.owner.get("/packages?type=HOTSPOT").await?;
    for field in [
        "name",
        "price",
        "burstDownload",
        "period",
        "dataLimit",
        "devices",
        "isActive",
        "terms",
    ] {
        let sent = owner.get("/packages?type=HOTSPOT").await?;
        assert_eq!(packages[0][field], sent[0][field], "{field}");
    }

    let changed = "name,type,price,active\nHOME 10,PPPOE,900,no\n=Fancy,HOTSPOT,x,\n";
    let update = format!("{path}?onExisting=update");
    other
        .add_subscriber("asha", "254712345601", world.clock.now().plus(DAY))
        .await?;
    let (_, refused) = send_to(&world, &other.owner, &update, "text/csv", changed).await?;
    assert_eq!(counts(&refused), [0, 0, 0, 2], "{refused}");
    assert!(
        refused["rows"][0]["errors"][0]["message"]
            .as_str()
            .context("why")?
            .contains("1 customer has")
    );
    let cheaper = "name,type,price\nHome 10,PPPOE,900\n";
    let (_, updated) = send_to(&world, &other.owner, &update, "text/csv", cheaper).await?;
    assert_eq!(counts(&updated), [0, 1, 0, 0], "{updated}");

    let undo = format!(
        "/imports/{}/undo",
        made["importId"].as_str().context("an id")?
    );
    let undone = other.owner.post(&undo, &json!({})).await?;
    assert_eq!(
        (&undone["undone"], &undone["kept"]),
        (&json!(1), &json!(0)),
        "{undone}"
    );
    assert_eq!(other.owner.get("/packages?type=HOTSPOT").await?, json!([]));
    eventually("the trail says it all", async || {
        let trail = other.owner.get("/audit-logs").await?;
        let has = |action: &str| {
            let logs = trail["logs"].as_array();
            logs.is_some_and(|logs| logs.iter().any(|log| log["action"] == action))
        };
        Ok((has("PACKAGE_IMPORT") && has("IMPORT_UNDO") && has("PACKAGE_EXPORT")).then_some(()))
    })
    .await?;
    world.stop().await
}
