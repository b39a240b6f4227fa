//! Lists as files: whole, safe to open, and fit to be taken in again.

mod lists;

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use easyisp_cloud::renewals::{self, Channel, Method as Means, Receipt};
use easyisp_shared::money::Cents;
use easyisp_tests::operator::{Operator, http_client};
use easyisp_tests::world::{PASSWORD, Provider, World};
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::imports::large::{HEAD, file, finished};
use crate::imports::{counts, customers, find, report, send};

/// A file, as it is sent.
pub async fn text(world: &World, who: &Operator, path: &str) -> Result<String> {
    let answer = answer(world, who, path).await?;
    let status = answer.status();
    let text = answer.text().await?;
    ensure!(status == StatusCode::OK, "{path}: {status} {text}");
    Ok(text)
}

async fn answer(world: &World, who: &Operator, path: &str) -> Result<reqwest::Response> {
    let url = format!("http://{}/api{path}", world.api());
    Ok(http_client()
        .get(url)
        .bearer_auth(who.token())
        .send()
        .await?)
}

/// The rows of a file by their user names, each by the names of its columns.
fn rows(text: &str) -> Result<BTreeMap<String, BTreeMap<String, String>>> {
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let mut rows = BTreeMap::new();
    for row in reader.deserialize() {
        let row: BTreeMap<String, String> = row?;
        let before = rows.insert(row["username"].clone(), row);
        ensure!(before.is_none(), "twice: {before:?}");
    }
    Ok(rows)
}

/// What a spreadsheet would take for a formula, or for a number that it may cut.
const HOSTILE: [&str; 7] = [
    "=cmd|' /C calc'!A0",
    "+254712345678",
    "-2+3",
    "@SUM(A1)",
    "'=quoted",
    "00712, \"the\" name",
    "Zoë; Ünal",
];

#[tokio::test(flavor = "multi_thread")]
async fn what_leaves_one_provider_comes_in_at_another_as_it_was() -> Result<()> {
    let world = World::start().await?;
    let isp = Provider::sign_up(&world, "leaving").await?;
    let owner = &isp.owner;
    let tower = json!({"name": "Tower", "ipAddress": "10.0.0.1"});
    let router = owner.post("/nas", &tower).await?;
    for (n, name) in HOSTILE.into_iter().enumerate() {
        let one = json!({"username": format!("{name}{n}"), "password": format!("{name}-word"), "name": name,
            "phone": "0712 345 678", "email": "a@b.example", "location": name, "connectionType": "PPPOE",
            "packageId": isp.package, "nasId": router["id"], "status": "SUSPENDED", "latitude": -1.2921,
            "longitude": 36.8219, "houseNumber": "007", "apartmentNumber": "=1+1", "installationFee": 99.5,
            "autoRenew": true, "devices": 3, "tags": ["Roof", "älter"], "expiresAt": "2027-05-06T07:08:09.123Z"});
        owner.post("/customers", &one).await?;
    }
    let plain = find(owner, &format!("{}6", HOSTILE[6])).await?;
    let address = format!(
        "/customers/{}/assign-ip",
        plain["id"].as_str().context("an id")?
    );
    owner
        .post(&address, &json!({"ipAddress": "10.0.0.9"}))
        .await?;

    let leaving = text(&world, owner, "/customers/export?passwords=true").await?;
    for line in leaving.split("\r\n") {
        for cell in line.split(",").map(|cell| cell.trim_start_matches('"')) {
            let number = cell.parse::<f64>().is_ok();
            ensure!(number || !cell.starts_with(['=', '+', '-', '@']), "{cell}");
        }
    }
    assert!(
        leaving.contains("'=1+1") && leaving.contains(",007,"),
        "{leaving}"
    );
    assert!(leaving.contains("0712 345 678"), "a phone keeps its zero");

    let other = Provider::sign_up(&world, "coming").await?;
    other.owner.post("/nas", &tower).await?;
    let made = report(&world, &other.owner, "", leaving.clone()).await?;
    assert_eq!(counts(&made), [7, 0, 0, 0], "{made}");
    assert_eq!(
        made["warnings"],
        json!([]),
        "nothing of ours is unknown to us"
    );
    let again = text(&world, &other.owner, "/customers/export?passwords=true").await?;
    let (mut sent, mut came) = (rows(&leaving)?, rows(&again)?);
    for row in sent.values_mut().chain(came.values_mut()) {
        row.remove("accountNumber").context("a number of his own")?;
        row.remove("createdAt").context("when he was made")?;
    }
    assert_eq!(sent, came);
    let same = report(&world, owner, "onExisting=update", leaving).await?;
    assert_eq!(
        counts(&same),
        [0, 0, 7, 0],
        "what was exported changes nothing: {same}"
    );
    world.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_list_leaves_whole_and_a_filtered_one_as_it_is_shown() -> Result<()> {
    let world = World::start().await?;
    let isp = Provider::sign_up(&world, "long").await?;
    let owner = &isp.owner;
    let rows_sent = HEAD.to_owned() + &file(0..700, "PPPOE") + &file(700..1234, "HOTSPOT");
    let (_, job) = send(&world, owner, "", rows_sent).await?;
    finished(owner, job["jobId"].as_str().context("a job")?).await?;
    assert_eq!(customers(owner).await?, 1234);

    let whole = text(&world, owner, "/customers/export").await?;
    assert!(!whole.contains("word-"), "no password");
    assert_eq!(rows(&whole)?.len(), 1234, "each once");
    let some = text(
        &world,
        owner,
        "/customers/export?connectionType=HOTSPOT&search=user12",
    )
    .await?;
    let list = owner
        .get("/customers?connectionType=HOTSPOT&search=user12")
        .await?;
    assert_eq!(list["total"].as_u64(), Some(rows(&some)?.len() as u64));
    assert_eq!(rows(&some)?.len(), 34);
    let none = text(&world, owner, "/customers/export?status=EXPIRED").await?;
    assert_eq!(none.lines().count(), 1, "the names of the columns alone");

    let book = answer(&world, owner, "/customers/export?format=xlsx").await?;
    let kind = book.headers()["content-type"].to_str()?;
    assert!(kind.ends_with("spreadsheetml.sheet"), "{kind}");
    let book = book.bytes().await?;
    assert!(book.starts_with(b"PK\x03\x04"), "a ZIP");
    assert_eq!(&book[book.len() - 22..][..4], b"PK\x05\x06", "a whole one");

    let answer = answer(&world, owner, "/customers/export?status=EXPIRED").await?;
    let name = answer.headers()["content-disposition"].to_str()?;
    assert!(
        name.starts_with("attachment; filename=\"customers-long"),
        "{name}"
    );
    assert!(
        name.contains("2027-01-15T08-00Z.csv"),
        "tenant and moment: {name}"
    );
    world.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_leaves_with_who_just_showed_his_password_and_is_in_the_trail() -> Result<()> {
    let world = World::start().await?;
    let isp = Provider::sign_up(&world, "guarded").await?;
    let owner = &isp.owner;
    isp.add_subscriber(
        "asha",
        "254712345601",
        world.clock.now().plus(Duration::from_secs(3600)),
    )
    .await?;
    let person = json!({"name": "Clerk", "email": "clerk@guarded.isp", "password": PASSWORD,
        "role": "STAFF", "addedPermissions": ["pppoe:details_view", "payments:view_manual"]});
    owner.post("/tenant/operators", &person).await?;
    let clerk = Operator::login(world.api(), "clerk@guarded.isp", PASSWORD).await?;
    let code = async |who: &Operator, path: &str| -> Result<String> {
        let answer: Value = answer(&world, who, path).await?.json().await?;
        Ok(answer["code"].as_str().unwrap_or_default().to_owned())
    };
    assert_eq!(
        rows(&text(&world, &clerk, "/customers/export").await?)?.len(),
        1
    );
    assert_eq!(
        code(&clerk, "/customers/export?passwords=true").await?,
        "PERMISSION_MISSING"
    );
    assert_eq!(
        code(&clerk, "/customers/export?type=HOTSPOT").await?,
        "PERMISSION_MISSING"
    );
    assert_eq!(
        code(&clerk, "/packages/export").await?,
        "PERMISSION_MISSING"
    );
    let shown = text(&world, owner, "/customers/export?passwords=true").await?;
    assert_eq!(rows(&shown)?["asha"]["password"], "asha");

    let key = json!({"name": "Books", "permissions": ["pppoe:details_view"], "password": PASSWORD});
    let key = owner.post("/api-keys", &key).await?;
    let key = owner.with_key(key["key"].as_str().context("a key")?);
    assert_eq!(code(&key, "/customers/export").await?, "PERSON_ONLY");

    let trail = owner.get("/audit-logs?action=CUSTOMER_EXPORT").await?;
    assert_eq!(trail["total"], 2, "{trail}");
    let with = trail["logs"].as_array().context("lines")?;
    let with = with
        .iter()
        .filter(|line| line["after"]["passwords"] == true);
    assert_eq!(with.count(), 1, "{trail}");
    world.clock.advance(Duration::from_secs(301));
    for path in ["/customers/export", "/payments/export"] {
        assert_eq!(code(owner, path).await?, "FRESH_LOGIN_REQUIRED", "{path}");
    }
    text(&world, owner, "/packages/export").await?;
    owner
        .post("/auth/confirm", &json!({"password": PASSWORD}))
        .await?;
    text(&world, owner, "/customers/export").await?;
    world.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn payments_leave_as_far_as_they_may_be_seen() -> Result<()> {
    let world = World::start().await?;
    let isp = Provider::sign_up(&world, "books").await?;
    let owner = &isp.owner;
    let until = world.clock.now().plus(Duration::from_secs(3600));
    let customer = isp.add_subscriber("asha", "254712345601", until).await?;
    let paid = json!({"customerId": customer, "amount": 100.5, "method": "CASH",
        "reference": "=HYPERLINK(1)", "description": "=1+1"});
    owner.post("/payments/manual", &paid).await?;
    let mut tx = world.db().begin(isp.tenant().await?).await?;
    let receipt = Receipt {
        customer: customer.parse()?,
        amount: Cents::whole(200),
        method: Means::Mpesa,
        till: Default::default(),
        channel: Channel::Payment,
        receipt: Some("SAB123".to_owned()),
        proven: false,
        paid_at: world.clock.now(),
        intent: None,
        gateway: None,
        operator: None,
        phone: Some("254712345601".to_owned()),
        account: None,
        description: "Paid".to_owned(),
    };
    renewals::receive(&mut tx, receipt, world.clock.now()).await?;
    tx.commit().await?;
    let all = text(&world, owner, "/payments/export").await?;
    assert_eq!(all.lines().count(), 3, "{all}");
    assert!(
        all.contains(",100.5,CASH,") && all.contains(",200,MPESA,"),
        "{all}"
    );
    assert!(!all.contains(",=") && !all.contains("\"="), "{all}");
    let person = json!({"name": "Clerk", "email": "clerk@books.isp", "password": PASSWORD,
        "role": "STAFF", "addedPermissions": ["payments:view_manual"]});
    owner.post("/tenant/operators", &person).await?;
    let clerk = Operator::login(world.api(), "clerk@books.isp", PASSWORD).await?;
    let some = text(&world, &clerk, "/payments/export").await?;
    assert_eq!(some.lines().count(), 2, "{some}");
    assert!(some.contains("CASH") && !some.contains("MPESA"), "{some}");
    let later = text(&world, owner, "/payments/export?from=2030-01-01T00:00:00Z").await?;
    assert_eq!(later.lines().count(), 1);
    world.stop().await
}
