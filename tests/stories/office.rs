//! What the office changes: each with the right that it takes, and with nothing left behind of what was before.

use anyhow::{Context, Result};
use easyisp_tests::operator::Operator;
use easyisp_tests::world::{PASSWORD, Provider, World};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::imports::report;
use crate::words::DAY;

/// A provider with one customer, and somebody who looks after customers.
struct Office {
    world: World,
    isp: Provider,
    care: Operator,
    care_id: String,
    asha: String,
}

impl Office {
    async fn open(name: &str) -> Result<Office> {
        let world = World::start().await?;
        let isp = Provider::sign_up(&world, name).await?;
        isp.subscribe(&world).await?;
        let email = format!("care@{name}.example");
        let person =
            json!({"name": "Care", "email": email, "password": PASSWORD, "role": "CUSTOMER_CARE"});
        let care_id = id(&isp.owner.post("/tenant/operators", &person).await?)?;
        let care = Operator::login(world.api(), &email, PASSWORD).await?;
        let until = world.clock.now().plus(20 * DAY);
        let asha = isp.add_subscriber("asha", "254712345610", until).await?;
        Ok(Office {
            world,
            isp,
            care,
            care_id,
            asha,
        })
    }

    fn path(&self) -> String {
        format!("/customers/{}", self.asha)
    }

    async fn may_not(&self, who: &Operator, change: Value) -> Result<()> {
        let (status, answer) = who.call(Method::PUT, &self.path(), Some(&change)).await?;
        assert_eq!(status, StatusCode::FORBIDDEN, "{change}: {answer}");
        Ok(())
    }

    /// The speed that was set by hand.
    async fn speed(&self) -> Result<Option<i32>> {
        let mut tx = self.world.db().begin(self.isp.tenant().await?).await?;
        let speed =
            sqlx::query_scalar("select rate_down_mbps from customers where username = 'asha'");
        Ok(speed.fetch_one(&mut *tx).await?)
    }

    async fn overridden(&self) -> Result<()> {
        let speed = json!({"downloadMbps": 77, "uploadMbps": 7});
        let path = format!("{}/override-plan", self.path());
        self.isp.owner.post(&path, &speed).await?;
        assert_eq!(self.speed().await?, Some(77));
        Ok(())
    }

    async fn closes(self) -> Result<()> {
        assert_eq!(self.world.book_findings().await?, Vec::<String>::new());
        self.world.stop().await
    }
}

fn id(thing: &Value) -> Result<String> {
    Ok(thing["id"].as_str().context("an id")?.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_change_a_record_changes_no_more_than_that() -> Result<()> {
    let office = Office::open("record").await?;
    let other = office.isp.owner.add_package("Other", 5, 700, 1).await?;
    office
        .may_not(&office.care, json!({"packageId": other}))
        .await?;
    let removed = json!({"removedPermissions": ["pppoe:change_expiry", "pppoe:suspend"]});
    let person = format!("/tenant/operators/{}", office.care_id);
    office.isp.owner.put(&person, &removed).await?;
    let later = office.world.clock.now().plus(99 * DAY).to_string();
    // Whose rights change signs in again.
    let email = "care@record.example";
    let care = Operator::login(office.world.api(), email, PASSWORD).await?;
    office.may_not(&care, json!({"expiresAt": later})).await?;
    office
        .may_not(&care, json!({"status": "SUSPENDED"}))
        .await?;

    // A form sends back all that it was shown; only what differs is a change.
    let mut form = care.get(&office.path()).await?;
    form["name"] = json!("Asha M");
    let changed = care.put(&office.path(), &form).await?;
    assert_eq!(changed["name"], "Asha M");
    office.closes().await
}

/// A speed that was set by hand was set on the package he had, however he is given another one.
#[tokio::test(flavor = "multi_thread")]
async fn another_package_has_its_own_speed() -> Result<()> {
    let office = Office::open("speeds").await?;
    let owner = &office.isp.owner;
    let other = owner.add_package("Other", 5, 700, 1).await?;
    office.overridden().await?;
    owner
        .put(&office.path(), &json!({"name": "Asha M"}))
        .await?;
    assert_eq!(
        office.speed().await?,
        Some(77),
        "nothing else takes it away"
    );
    owner
        .put(&office.path(), &json!({"packageId": other}))
        .await?;
    assert_eq!(office.speed().await?, None);

    office.overridden().await?;
    owner.add_package("Third", 6, 800, 1).await?;
    let file = "username,package\nasha,Third\n";
    let done = report(&office.world, owner, "onExisting=update", file).await?;
    assert_eq!(done["updated"], 1, "{done}");
    assert_eq!(office.speed().await?, None);
    office.closes().await
}

/// Who may move the end of PPPoE subscribers alone gives hours to nobody else.
#[tokio::test(flavor = "multi_thread")]
async fn hours_go_to_those_whose_end_one_may_move() -> Result<()> {
    let office = Office::open("hours").await?;
    let owner = &office.isp.owner;
    let hot = json!({"name": "Hot", "type": "HOTSPOT", "price": 20, "downloadSpeed": 4, "uploadSpeed": 2});
    let hot = id(&owner.post("/packages", &hot).await?)?;
    let guest = json!({"username": "guest", "password": "guest12", "name": "Guest", "connectionType": "HOTSPOT",
        "packageId": hot, "expiresAt": office.world.clock.now().plus(DAY).to_string()});
    owner.post("/customers", &guest).await?;
    let sites = owner.get("/sites").await?;
    let wish = json!({"siteId": sites["sites"][0]["id"], "hours": 6, "dryRun": true});
    let count = async |who: &Operator| -> Result<Value> {
        Ok(who.post("/outages/extend", &wish).await?["customers"].clone())
    };
    assert_eq!(count(owner).await?, 2);
    assert_eq!(count(&office.care).await?, 1);
    office.closes().await
}

/// His package was deleted after him: he is back without one, which is said, and can be given another.
#[tokio::test(flavor = "multi_thread")]
async fn who_comes_back_has_no_package_that_is_gone() -> Result<()> {
    let office = Office::open("back").await?;
    let owner = &office.isp.owner;
    let package = office.isp.customer(&office.asha).await?["packageId"].clone();
    let package = package.as_str().context("a package")?;
    for path in [office.path(), format!("/packages/{package}")] {
        let (status, answer) = owner.call(Method::DELETE, &path, None).await?;
        assert_eq!(status, StatusCode::OK, "{path}: {answer}");
    }
    let restore = format!("{}/restore", office.path());
    let back = owner.post(&restore, &json!({})).await?;
    assert_eq!(
        (&back["packageId"], &back["package"]),
        (&json!(null), &json!(null)),
        "{back}"
    );
    let trail = owner.get("/audit-logs?action=CUSTOMER_RESTORE").await?;
    let said = trail["logs"][0]["details"].as_str().context("details")?;
    assert!(said.contains("without his package"), "{said}");
    let other = owner.add_package("Other", 5, 700, 1).await?;
    let changed = json!({"packageId": other});
    owner
        .put(&format!("{}/package", office.path()), &changed)
        .await?;
    office.closes().await
}

/// Nobody is let in on a package that is gone, so nothing is earned by its vouchers.
#[tokio::test(flavor = "multi_thread")]
async fn a_voucher_of_a_package_that_is_gone_earns_nothing() -> Result<()> {
    let office = Office::open("gone").await?;
    let owner = &office.isp.owner;
    let hour = json!({"name": "Hour", "type": "HOTSPOT", "price": 20, "downloadSpeed": 4,
        "uploadSpeed": 2, "sessionTime": 60});
    let hour = id(&owner.post("/packages", &hour).await?)?;
    // With a second site the cloud holds the codes.
    owner.post("/sites", &json!({"name": "Two"})).await?;
    let batch = json!({"count": 1, "packageId": hour});
    let batch = owner.post("/vouchers", &batch).await?;
    let tenant = office.isp.tenant().await?;
    let mut tx = office.world.db().begin(tenant).await?;
    sqlx::query("update packages set deleted_at = $2 where id = $1::uuid")
        .bind(&hour)
        .bind(office.world.clock.now())
        .execute(&mut *tx)
        .await?;
    tx.commit().await?;
    let code = json!({"code": batch["codes"][0]});
    let (status, answer) = owner
        .call(Method::POST, "/vouchers/redeem", Some(&code))
        .await?;
    assert_eq!(
        (status, &answer["code"]),
        (
            StatusCode::UNPROCESSABLE_ENTITY,
            &json!("VOUCHER_DOES_NOT_FIT")
        ),
        "{answer}"
    );
    let mut tx = office.world.db().begin(tenant).await?;
    let periods: i64 = sqlx::query_scalar("select count(*) from periods")
        .fetch_one(&mut *tx)
        .await?;
    assert_eq!(periods, 0);
    drop(tx);
    office.closes().await
}

/// What he used this month is billed before he is erased, and what he was billed is a debt until it is paid.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_goes_with_what_he_owes() -> Result<()> {
    let office = Office::open("owes").await?;
    let owner = &office.isp.owner;
    let billing = format!("{}/billing", office.path());
    owner.put(&billing, &json!({"postpaid": true})).await?;
    owner.confirm().await?;
    let erase = json!({"reason": "Asked by letter", "confirm": "asha", "leaveBalance": true});
    let path = format!("{}/erase", office.path());
    let (status, answer) = owner.call(Method::POST, &path, Some(&erase)).await?;
    assert_eq!(
        (status, &answer["code"]),
        (StatusCode::CONFLICT, &json!("BILLED_MONTHLY")),
        "{answer}"
    );

    let juma = office
        .isp
        .add_subscriber(
            "juma",
            "254712345611",
            office.world.clock.now().plus(20 * DAY),
        )
        .await?;
    let due = office.world.clock.now().plus(30 * DAY).to_string();
    let bill = json!({"customerId": juma, "amount": 1234, "dueDate": due,
        "items": [{"description": "Mast", "amount": 1234}]});
    let invoice = id(&owner.post("/finance/invoices", &bill).await?)?;
    let part = json!({"amount": 234, "reason": "Shorter"});
    owner
        .post(&format!("/finance/invoices/{invoice}/credit-notes"), &part)
        .await?;
    let owing = owner.get("/reports/arrears").await?;
    assert_eq!(
        (
            &owing["total"],
            &owing["totalOwed"],
            &owing["customers"][0]["username"]
        ),
        (&json!(1), &json!(1000), &json!("juma")),
        "{owing}"
    );
    // Who knows no more than the contract says that it is paid.
    let paid = format!("/finance/invoices/{invoice}/status");
    let paid = owner.put(&paid, &json!({"status": "paid"})).await?;
    assert_eq!(paid["status"], "paid", "{paid}");
    assert!(paid["paidAt"].is_string(), "{paid}");
    assert_eq!(owner.get("/reports/arrears").await?["total"], 0);
    office.closes().await
}
