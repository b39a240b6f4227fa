//! Two who change the same thing at the same moment. One of them is held with its changes made and not yet
//! committed; the other must wait for it, or know what it did.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result};
use easyisp_cloud::auth::{Origin, sessions};
use easyisp_cloud::db::{Database, Kind, Tx};
use easyisp_cloud::sites;
use easyisp_cloud::sites::agents::Agent;
use easyisp_cloud::sites::reports::Report;
use easyisp_shared::id::{AgentId, OperatorId, PackageId, RouterId, SiteId, TenantId};
use easyisp_shared::ipv6::Prefixes;
use easyisp_shared::net::Mac;
use easyisp_shared::wire::up::{AccountingStatus, AccountingV1, BindV1};
use easyisp_shared::wire::{Down, Up};
use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use uuid::Uuid;

use crate::cloud::{Answer, Client, Ours, PASSWORD, given_cloud};

#[tokio::test]
async fn a_package_made_while_a_site_is_made_is_known_there() -> Result<()> {
    let isp = Isp::start().await?;
    let (tx, site) = isp.with_a_site_in_the_making().await?;
    let making = isp.post("/api/packages", package("Home 10"));
    isp.waits(&making).await?;
    tx.commit().await?;

    let package = id(&making.await??)?;
    let known = isp.feed().await?;
    assert!(
        known.contains_key(&(site.0, code(Kind::Package), package)),
        "{known:?}"
    );
    Ok(())
}

/// Whatever operators do to a few things at once, the sites end up with what the rows say.
#[tokio::test(flavor = "multi_thread")]
async fn the_feed_says_what_the_rows_say_after_any_number_of_changes_at_once() -> Result<()> {
    let isp = Isp::start().await?;
    let first = id(&isp.owner.post("/api/packages", &package("Home 10")).await?)?;
    let second = id(&isp.owner.post("/api/packages", &package("Home 20")).await?)?;
    let router = json!({"name": "Tower", "ipAddress": "10.0.0.1"});
    let router = id(&isp.owner.post("/api/nas", &router).await?)?;
    let customer = id(&isp.owner.post("/api/customers", &customer(first)).await?)?;

    let mut changes = Vec::new();
    for round in 1..=6 {
        let his = |deed: &str| format!("/api/customers/{customer}/{deed}");
        changes.extend([
            isp.post("/api/sites", json!({"name": format!("Site {round}")})),
            isp.post("/api/packages", package(&format!("Extra {round}"))),
            isp.post(&his("suspend"), json!({})),
            isp.post(&his("activate"), json!({})),
            isp.post(&his("mac-reset"), json!({})),
            isp.post(
                &his("assign-ip"),
                json!({"ipAddress": format!("10.9.0.{round}")}),
            ),
            isp.post(&his("recharge"), json!({"amount": 100 * round})),
            isp.post(
                &his("override-plan"),
                json!({"downloadMbps": round, "uploadMbps": round}),
            ),
            isp.put(
                &his("package"),
                json!({"packageId": if round % 2 == 0 { first } else { second }}),
            ),
            isp.put(
                &format!("/api/customers/{customer}"),
                json!({"password": format!("secret{round}")}),
            ),
            isp.put(
                &format!("/api/packages/{first}"),
                json!({"downloadSpeed": 10 + round}),
            ),
            isp.put(
                &format!("/api/nas/{router}"),
                json!({"secret": format!("a-router-secret-{round}")}),
            ),
            isp.put(
                "/api/tenant/settings",
                json!({"businessName": format!("Networks {round}")}),
            ),
        ]);
    }
    for change in changes {
        let answer = change.await??;
        assert!(answer.status.is_success(), "{answer:?}");
    }
    isp.agrees().await
}

/// The payment waits for the change of package, and buys a period of the new one.
#[tokio::test]
async fn a_payment_during_a_change_of_package_buys_the_new_one() -> Result<()> {
    let isp = Isp::start().await?;
    let old = id(&isp.owner.post("/api/packages", &package("Home 10")).await?)?;
    let new = id(&isp.owner.post("/api/packages", &package("Home 20")).await?)?;
    let customer = id(&isp.owner.post("/api/customers", &customer(old)).await?)?;
    let path = format!("/api/customers/{customer}");
    isp.owner
        .post(&format!("{path}/recharge"), &json!({"amount": 1}))
        .await?;

    let mut tx = isp.begin().await?;
    sqlx::query("update customers set package_id = $2 where tenant_id = $1 and id = $3")
        .bind(tx.tenant())
        .bind(PackageId(new))
        .bind(customer)
        .execute(&mut *tx)
        .await?;
    let paying = isp.post(&format!("{path}/recharge"), json!({"amount": 1000}));
    isp.waits(&paying).await?;
    tx.commit().await?;

    let paid = paying.await??;
    assert_eq!(paid.body["newBalance"], 1, "{:?}", paid.body);
    Ok(())
}

#[tokio::test]
async fn a_token_that_is_ended_is_not_replaced_meanwhile() -> Result<()> {
    let isp = Isp::start().await?;
    let mut tx = isp.begin().await?;
    change_password(&mut tx).await?;
    let refreshing = isp.post("/api/auth/refresh", json!({}));
    isp.waits(&refreshing).await?;
    sessions::end_all(&mut tx, isp.person, None).await?;
    tx.commit().await?;

    assert_eq!(refreshing.await??.status, StatusCode::UNAUTHORIZED);
    assert_eq!(isp.sessions().await?, 0);
    Ok(())
}

#[tokio::test]
async fn a_token_replaced_meanwhile_is_ended_with_the_others() -> Result<()> {
    let isp = Isp::start().await?;
    let token = sessions::Token::parse(isp.owner.token()).context("a token")?;
    let mut refreshing = isp.begin().await?;
    let secrets = &isp.ours.cloud.app.secrets;
    let origin = Origin {
        address: [127, 0, 0, 1].into(),
        client: None,
    };
    let now = isp.ours.clock.now();
    let replaced = sessions::replace(
        &mut refreshing,
        secrets,
        (isp.person, None),
        &token,
        &origin,
        now,
    );
    replaced.await.map_err(|error| error.into_cause())?;

    let change = json!({"oldPassword": PASSWORD, "newPassword": "four-green-bottles"});
    let changing = isp.put("/api/auth/password", change);
    isp.waits(&changing).await?;
    refreshing.commit().await?;

    assert_eq!(changing.await??.status, StatusCode::OK);
    assert_eq!(
        isp.sessions().await?,
        0,
        "the one that asked has its ten seconds"
    );
    Ok(())
}

#[tokio::test]
async fn an_old_password_that_is_being_checked_opens_nothing_once_it_is_changed() -> Result<()> {
    let isp = Isp::start().await?;
    let mut tx = isp.begin().await?;
    change_password(&mut tx).await?;
    let login = json!({"email": "owner@acme.isp", "password": PASSWORD});
    let signing_in = isp.post("/api/auth/login", login);
    isp.waits(&signing_in).await?;
    sessions::end_all(&mut tx, isp.person, None).await?;
    tx.commit().await?;

    assert_eq!(signing_in.await??.code(), "BAD_CREDENTIALS");
    assert_eq!(isp.sessions().await?, 0);
    Ok(())
}

/// An agent tells of usage that his site must hear of, while a renewal of his has written what his site must know and
/// has not committed it. The site ends up with the renewal.
#[tokio::test]
async fn usage_that_is_told_during_a_renewal_does_not_undo_it() -> Result<()> {
    let isp = Isp::start().await?;
    let mut capped = package("Capped");
    capped["dataLimit"] = json!(1_000_000);
    let capped = id(&isp.owner.post("/api/packages", &capped).await?)?;
    let router = json!({"name": "Tower", "ipAddress": "10.0.0.1"});
    let router = id(&isp.owner.post("/api/nas", &router).await?)?;
    let juma = id(&isp.owner.post("/api/customers", &customer(capped)).await?)?;
    let agent = isp.agent().await?;

    // Whoever holds the site's counter: both have projected what they know and wait for it.
    let mut counter = isp.begin().await?;
    sqlx::query("select head from site_counters where tenant_id = $1 for update")
        .bind(isp.tenant)
        .execute(&mut *counter)
        .await?;
    let until = isp.ours.clock.now().plus(Duration::from_secs(30 * 86_400));
    let mut renewal = isp.begin().await?;
    sqlx::query(
        "update customers set paid_until = $2, funded_until = $2 where tenant_id = $1 and id = $3",
    )
    .bind(isp.tenant)
    .bind(until)
    .bind(juma)
    .execute(&mut *renewal)
    .await?;
    renewal.changed(Kind::Subscriber, juma);
    let renewal = tokio::spawn(async move { Ok(renewal.commit().await?) });
    isp.wait(&renewal, 1).await?;
    let now = isp.ours.clock.now();
    let told = Up::Accounting(AccountingV1 {
        router: RouterId(router),
        session: b"81".to_vec(),
        class: Vec::new(),
        status: AccountingStatus::Interim,
        username: b"juma".to_vec(),
        customer: Some(juma.into()),
        framed_ip: None,
        prefixes: Prefixes::default(),
        mac: None,
        at: now,
        started: now,
        session_secs: 60,
        bytes_up: 0,
        bytes_down: 500_000,
        bytes_free: 0,
        cause: None,
    });
    let telling = isp.report(agent, told);
    isp.wait(&telling, 2).await?;
    counter.rollback().await?;
    renewal.await??;
    telling.await??;

    isp.agrees().await?;
    let known = isp.feed().await?;
    let known = known.get(&(agent.site.0, code(Kind::Subscriber), juma));
    let known = Down::decode(Kind::Subscriber.code(), known.context("he is known")?)?;
    let Down::Subscriber(known) = known else {
        anyhow::bail!("{known:?}");
    };
    assert_eq!(known.paid_until, until);
    Ok(())
}

/// A first login bound him to a device; before his site tells so, an operator frees him and has not committed it.
#[tokio::test]
async fn who_is_freed_while_his_site_tells_of_a_device_is_free() -> Result<()> {
    let isp = Isp::start().await?;
    let home = id(&isp.owner.post("/api/packages", &package("Home 10")).await?)?;
    let juma = id(&isp.owner.post("/api/customers", &customer(home)).await?)?;
    let agent = isp.agent().await?;
    let binds = json!({"bindMacs": 2});
    let binds = isp.owner.put("/api/tenant/enforcement", &binds).await?;
    assert_eq!(binds.status, StatusCode::OK);
    let told = |mac: &str, at| {
        Up::Bind(BindV1 {
            customer: juma.into(),
            mac: Mac::parse(mac).expect("a device"),
            instead_of: None,
            at,
        })
    };
    let now = isp.ours.clock.now();
    let (first, second) = ("AA:BB:CC:00:00:01", "AA:BB:CC:00:00:02");
    isp.report(agent, told(first, now)).await??;
    assert_eq!(isp.bound(juma).await?, [first]);

    // Of two agents, both devices have a place.
    let mut tx = isp.begin().await?;
    sqlx::query("update customers set bound_macs = $2 where tenant_id = $1 and id = $3")
        .bind(isp.tenant)
        .bind(vec![first, "AA:BB:CC:00:00:03"])
        .bind(juma)
        .execute(&mut *tx)
        .await?;
    let telling = isp.report(agent, told(second, now));
    isp.wait(&telling, 1).await?;
    tx.commit().await?;
    telling.await??;
    assert_eq!(
        isp.bound(juma).await?,
        [first, "AA:BB:CC:00:00:03"],
        "both places are taken"
    );

    let mut freed = isp.begin().await?;
    sqlx::query(
        "update customers set bound_macs = '{}', unbound_at = $2 where tenant_id = $1 and id = $3",
    )
    .bind(isp.tenant)
    .bind(now.plus(Duration::from_secs(1)))
    .bind(juma)
    .execute(&mut *freed)
    .await?;
    let telling = isp.report(agent, told(second, now));
    isp.wait(&telling, 1).await?;
    freed.commit().await?;
    telling.await??;
    assert!(isp.bound(juma).await?.is_empty());
    isp.agrees().await
}

/// A provider, and what stories about him and his sites ask.
struct Isp {
    ours: Ours,
    owner: Client,
    tenant: TenantId,
    person: OperatorId,
}

/// Site, kind and id of what a site knows, and its encoded state.
type Known = BTreeMap<(Uuid, i16, Uuid), Vec<u8>>;

impl Isp {
    async fn start() -> Result<Isp> {
        let ours = given_cloud().await?;
        let owner = ours.given_owner("acme").await?;
        let me = owner.get("/api/auth/me").await?.body;
        let uuid = |key: &str| anyhow::Ok(me[key].as_str().context("an id")?.parse::<Uuid>()?);
        Ok(Isp {
            tenant: TenantId(uuid("tenantId")?),
            person: OperatorId(uuid("id")?),
            ours,
            owner,
        })
    }

    fn db(&self) -> &Database {
        &self.ours.cloud.app.db
    }

    async fn begin(&self) -> Result<Tx> {
        Ok(self.db().begin(self.tenant).await?)
    }

    /// A transaction that has made a site and is not committed.
    async fn with_a_site_in_the_making(&self) -> Result<(Tx, SiteId)> {
        let mut tx = self.begin().await?;
        let key = self.ours.cloud.app.secrets.tenant(&mut tx).await?;
        let made = sites::create(&mut tx, &key, "Thika", self.ours.clock.now()).await;
        let site = made.map_err(|error| error.into_cause())?;
        Ok((tx, site))
    }

    fn post(&self, path: &str, body: Value) -> JoinHandle<Result<Answer>> {
        let (owner, path) = (self.owner.clone(), path.to_owned());
        tokio::spawn(async move { owner.post(&path, &body).await })
    }

    fn put(&self, path: &str, body: Value) -> JoinHandle<Result<Answer>> {
        let (owner, path) = (self.owner.clone(), path.to_owned());
        tokio::spawn(async move { owner.put(&path, &body).await })
    }

    /// Until the request waits for a lock, or was answered without waiting for anything.
    async fn waits(&self, request: &JoinHandle<Result<Answer>>) -> Result<()> {
        while !request.is_finished() {
            let mut connection = self.db().glance().await?;
            let waiting: bool = sqlx::query_scalar(
                "select exists (select from pg_stat_activity
                                 where datname = current_database() and wait_event_type = 'Lock')",
            )
            .fetch_one(&mut *connection)
            .await?;
            if waiting {
                break;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        Ok(())
    }

    /// Until so many wait for locks, or it is over without waiting for anything.
    async fn wait<T>(&self, task: &JoinHandle<Result<T>>, waiting: i64) -> Result<()> {
        while !task.is_finished() {
            let mut connection = self.db().glance().await?;
            let count: i64 = sqlx::query_scalar(
                "select count(*) from pg_stat_activity
                  where datname = current_database() and wait_event_type = 'Lock'",
            )
            .fetch_one(&mut *connection)
            .await?;
            if count >= waiting {
                break;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        Ok(())
    }

    /// Somebody who speaks for the first site.
    async fn agent(&self) -> Result<Agent> {
        let mut tx = self.begin().await?;
        Ok(Agent {
            tenant: self.tenant,
            site: sites::first(&mut tx).await?,
            id: AgentId(Uuid::from_u128(1)),
        })
    }

    /// What becomes of a report.
    fn report(&self, agent: Agent, body: Up) -> JoinHandle<Result<()>> {
        let app = &self.ours.cloud.app;
        let (db, now) = (app.db.clone(), self.ours.clock.now());
        let appliers = easyisp_cloud::appliers(&app.secrets);
        tokio::spawn(async move {
            let applier = appliers.of(body.kind()).context("every kind is taken")?;
            let reports = [Report { sequence: 1, body }];
            let mut tx = db.begin(agent.tenant).await?;
            let unusable = applier(&mut tx, &agent, &reports, now).await?;
            anyhow::ensure!(unusable.is_empty(), "{unusable:?}");
            Ok(tx.commit().await?)
        })
    }

    async fn bound(&self, customer: Uuid) -> Result<Vec<String>> {
        let mut tx = self.begin().await?;
        let bound = "select bound_macs from customers where tenant_id = $1 and id = $2";
        let bound = sqlx::query_scalar(bound).bind(self.tenant).bind(customer);
        Ok(bound.fetch_one(&mut *tx).await?)
    }

    async fn sessions(&self) -> Result<i64> {
        let mut connection = self.db().glance().await?;
        let now = self.ours.clock.now().plus(Duration::from_secs(60));
        let count = "select count(*) from directory.sessions where expires_at > $1";
        Ok(sqlx::query_scalar(count)
            .bind(now)
            .fetch_one(&mut *connection)
            .await?)
    }

    async fn feed(&self) -> Result<Known> {
        let mut tx = self.begin().await?;
        let rows: Vec<(Uuid, i16, Uuid, Vec<u8>)> =
            sqlx::query_as("select site_id, kind, id, body from feed where body is not null")
                .fetch_all(&mut *tx)
                .await?;
        let rows = rows.into_iter();
        Ok(rows
            .map(|(site, kind, id, body)| ((site, kind, id), body))
            .collect())
    }

    /// The sites know what the rows say: everything projected anew changes nothing.
    async fn agrees(&self) -> Result<()> {
        let known = self.feed().await?;
        let mut tx = self.begin().await?;
        for (kind, ids) in [
            (Kind::Subscriber, "select id from customers"),
            (Kind::Package, "select id from packages"),
            (Kind::Router, "select id from routers"),
            (Kind::Policy, "select id from sites"),
        ] {
            let ids: Vec<Uuid> = sqlx::query_scalar(ids).fetch_all(&mut *tx).await?;
            for id in ids {
                tx.changed(kind, id);
            }
        }
        tx.commit().await?;
        assert!(known == self.feed().await?, "a site knows something else");
        Ok(())
    }
}

/// As `PUT /api/auth/password` does before it ends the sessions.
async fn change_password(tx: &mut Tx) -> Result<()> {
    sqlx::query("update operators set password_hash = 'another' where tenant_id = $1")
        .bind(tx.tenant())
        .execute(&mut **tx)
        .await?;
    Ok(())
}

fn package(name: &str) -> Value {
    json!({"name": name, "type": "PPPOE", "price": 1000, "downloadSpeed": 10, "uploadSpeed": 10})
}

fn customer(package: Uuid) -> Value {
    json!({"username": "juma", "password": "juma-secret", "name": "Juma", "connectionType": "PPPOE",
           "packageId": package})
}

fn id(answer: &Answer) -> Result<Uuid> {
    let text = answer.body["id"].as_str();
    Ok(text
        .with_context(|| format!("an id: {answer:?}"))?
        .parse()?)
}

fn code(kind: Kind) -> i16 {
    i16::try_from(kind.code()).expect("kinds are few")
}
