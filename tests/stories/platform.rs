//! The platform's own people: what they see of tenants, what they do to them, and how a tenant sees it.

mod purged;

use std::collections::BTreeSet;

use anyhow::{Context, Result};
use easyisp_cloud::api::Access;
use easyisp_cloud::auth::Email;
use easyisp_cloud::tenants;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::cloud::{Client, Ours, PASSWORD, given_cloud, given_cloud_with};
use crate::operators::{delete, enter, id, sign_in};
use crate::words::{DAY, MINUTE};

const ADMIN: &str = "/api/super-admin";

#[tokio::test]
async fn the_platforms_routes_are_closed_to_everybody_else() -> Result<()> {
    let ours = given_cloud().await?;
    let owner = ours.given_owner("acme").await?;
    given_platform(&ours).await?;
    // Not for a role or a name: whoever registers with the platform's domain is a tenant like others.
    let pretender = ours.given_owner("platform").await?;
    let tenant = tenant_of(&owner).await?;
    let mut called = 0;
    for route in easyisp_cloud::routes().infos() {
        if route.access != Access::Platform {
            continue;
        }
        let path = route.path.replace("{tenant}", &tenant);
        for client in [&owner, &pretender] {
            let request = client.request(route.method.parse()?, &path);
            let refused = client.send(request.json(&json!({}))).await?;
            assert_eq!(refused.status, StatusCode::FORBIDDEN, "{path}");
            assert_eq!(refused.code(), "PLATFORM_ONLY");
        }
        called += 1;
    }
    assert!(called >= 13, "{called}");
    Ok(())
}

#[tokio::test]
async fn the_platform_sees_its_tenants_and_not_itself() -> Result<()> {
    let ours = given_cloud().await?;
    let platform = given_platform(&ours).await?;
    let none = platform.get(&format!("{ADMIN}/stats")).await?.body;
    assert_eq!(none["stats"]["tenants"]["total"], 0);
    let acme = ours.given_owner("acme").await?;
    ours.clock.advance(MINUTE);
    enter(&acme, "amina", "STAFF").await?;
    ours.clock.advance(DAY);
    let other = ours.given_owner("other").await?;
    let router = json!({"name": "Hill", "ipAddress": "10.0.0.1"});
    other.post("/api/nas", &router).await?;

    let list = platform.get(&format!("{ADMIN}/tenants")).await?.body;
    let list = list["tenants"].as_array().context("tenants")?.clone();
    assert_eq!(list.len(), 2, "{list:?}");
    assert_eq!(list[0]["businessName"], "other networks");
    assert_eq!(list[0]["_count"]["routers"], 1);
    assert_eq!(list[1]["_count"]["users"], 2);
    assert_eq!(list[1]["subscriptionStatus"], "trial");
    assert_eq!(list[1]["daysRemaining"], 6);
    assert_eq!(list[1]["isActivated"], false);

    let stats = platform.get(&format!("{ADMIN}/stats")).await?.body;
    assert_eq!(
        stats["stats"]["tenants"],
        json!({"total": 2, "active": 0, "trial": 2, "expired": 0, "suspended": 0})
    );
    assert_eq!(stats["stats"]["totalUsers"], 3);
    assert_eq!(stats["stats"]["totalRouters"], 1);

    let path = format!("{ADMIN}/tenants/{}", id(&list[1])?);
    let whole = platform.get(&path).await?.body["tenant"].clone();
    assert_eq!(whole["walletBalance"], 0);
    assert_eq!(whole["smsApiKey"], Value::Null);
    assert_eq!(whole["users"][0]["email"], "owner@acme.isp");
    assert_eq!(whole["_count"]["packages"], 0);
    let own = tenant_of(&platform).await?;
    for path in [own.as_str(), "0190e7a0-0000-7000-8000-000000000000"] {
        let unknown = platform.get(&format!("{ADMIN}/tenants/{path}")).await?;
        assert_eq!(unknown.status, StatusCode::NOT_FOUND);
    }
    Ok(())
}

#[tokio::test]
async fn what_was_agreed_changes_and_counts_at_once() -> Result<()> {
    let ours = given_cloud().await?;
    let platform = given_platform(&ours).await?;
    let owner = ours.given_owner("acme").await?;
    let base = format!("{ADMIN}/tenants/{}", tenant_of(&owner).await?);
    let deed =
        async |deed: &str, body: Value| platform.post(&format!("{base}/{deed}"), &body).await;

    let longer = deed("extend-trial", json!({"days": 14})).await?;
    assert_eq!(longer.status, StatusCode::OK, "{:?}", longer.body);
    assert_eq!(longer.body["tenant"]["daysRemaining"], 21);
    for (name, body, field) in [
        ("extend-trial", json!({"days": 366}), "days"),
        (
            "activate",
            json!({"subscriptionMonths": 0}),
            "subscriptionMonths",
        ),
        ("extend-subscription", json!({}), "months"),
    ] {
        let wrong = deed(name, body).await?;
        assert_eq!(wrong.status, StatusCode::BAD_REQUEST, "{name}");
        assert_eq!(wrong.body["details"][0]["field"], field);
    }

    let suspended = deed("suspend", json!({})).await?;
    assert_eq!(suspended.body["tenant"]["status"], "SUSPENDED");
    assert_eq!(owner.get("/api/sites").await?.code(), "TENANT_SUSPENDED");
    assert_eq!(
        deed("suspend", json!({})).await?.code(),
        "ALREADY_SUSPENDED"
    );
    let back = deed("reactivate", json!({})).await?;
    assert_eq!(back.body["tenant"]["subscriptionStatus"], "trial");
    assert_eq!(back.body["tenant"]["daysRemaining"], 21);
    assert_eq!(owner.get("/api/sites").await?.status, StatusCode::OK);

    let active = deed("activate", json!({"subscriptionMonths": 1})).await?;
    assert_eq!(active.body["tenant"]["subscriptionStatus"], "subscribed");
    assert_eq!(active.body["tenant"]["isActivated"], true);
    assert_eq!(
        deed("extend-trial", json!({"days": 1})).await?.code(),
        "PAST_TRIAL"
    );
    let past = json!({"subscriptionEndsAt": "2020-01-01T00:00:00Z"});
    let past = deed("extend-subscription", past).await?;
    assert_eq!(past.body["details"][0]["field"], "subscriptionEndsAt");
    let more = deed("extend-subscription", json!({"months": 2})).await?;
    // 2027-01-15 with three months: to 2027-04-15.
    assert_eq!(more.body["tenant"]["daysRemaining"], 90);
    let forever = deed("activate", json!({})).await?;
    assert_eq!(forever.body["tenant"]["subscriptionStatus"], "lifetime");
    assert_eq!(forever.body["tenant"]["daysRemaining"], Value::Null);
    let longer = deed("extend-subscription", json!({"months": 1})).await?;
    assert_eq!(longer.code(), "NEVER_ENDS");
    Ok(())
}

#[tokio::test]
async fn balances_settings_and_passwords_are_set_for_a_tenant() -> Result<()> {
    let ours = given_cloud().await?;
    let platform = given_platform(&ours).await?;
    let owner = ours.given_owner("acme").await?;
    let base = format!("{ADMIN}/tenants/{}", tenant_of(&owner).await?);

    let add = async |key: &str, body: Value| {
        let request = platform.request(Method::POST, &format!("{base}/add-balance"));
        platform
            .send(request.header("Idempotency-Key", key).json(&body))
            .await
    };
    let wallet = json!({"amount": 99.5, "type": "wallet"});
    let first = add("one", wallet.clone()).await?;
    assert_eq!(first.status, StatusCode::OK, "{:?}", first.body);
    let again = add("one", wallet.clone()).await?;
    assert_eq!(first.body, again.body);
    add("two", wallet).await?;
    add("three", json!({"amount": 7, "type": "sms"})).await?;
    for wrong in [json!(0), json!(-5), json!(1e9)] {
        let body = json!({"amount": wrong, "type": "wallet"});
        let wrong = add(&wrong.to_string(), body).await?;
        assert_eq!(wrong.body["details"][0]["field"], "amount");
    }
    assert_eq!(
        owner.get("/api/tenant/me").await?.body["walletBalance"],
        199
    );

    let settings = json!({"businessName": "Acme Fibre", "email": "", "location": "Thika",
        "smsProvider": "own", "smsApiKey": "a-key-of-theirs", "smsSenderId": "ACME"});
    let path = format!("{base}/settings");
    ours.clock.advance(MINUTE);
    let saved = platform.put(&path, &settings).await?;
    assert_eq!(saved.status, StatusCode::OK, "{:?}", saved.body);
    let masked = json!({"smsApiKey": "********", "location": ""});
    ours.clock.advance(MINUTE);
    platform.put(&path, &masked).await?;
    let whole = platform.get(&base).await?.body["tenant"].clone();
    assert_eq!(whole["businessName"], "Acme Fibre");
    assert_eq!(whole["email"], "owner@acme.isp");
    assert_eq!(whole["smsBalance"], 7);
    assert_eq!(whole["smsApiKey"], "********");
    assert_eq!(whole["smsSenderId"], "ACME");
    assert_eq!(whole["location"], Value::Null);
    ours.clock.advance(MINUTE);
    let phone = json!({"phone": "+254700000001"});
    let saved = platform.put(&path, &phone).await?;
    assert_eq!(saved.status, StatusCode::OK, "{:?}", saved.body);

    // The trail tells that the key and the number are others, and neither of them.
    let logs = owner.get("/api/audit-logs").await?.body;
    let keys = |line: &Value| (line["smsApiKey"].clone(), line["phone"].clone());
    let changed = json!("changed");
    for (line, expected) in [
        (0, (Value::Null, changed.clone())),
        (1, (Value::Null, Value::Null)),
        (2, (changed.clone(), Value::Null)),
    ] {
        assert_eq!(keys(&logs["logs"][line]["after"]), expected, "{logs}");
    }
    let text = logs.to_string();
    assert!(!text.contains("a-key-of-theirs") && !text.contains("+254700000001"));

    let amina = enter(&owner, "amina", "STAFF").await?;
    let session = sign_in(&ours, "amina", PASSWORD).await?;
    let reset = json!({"userId": amina.body["id"], "newPassword": "four-green-bottles"});
    let path = format!("{base}/reset-user-password");
    let done = platform.post(&path, &reset).await?;
    assert_eq!(done.status, StatusCode::OK, "{:?}", done.body);
    let out = session.get("/api/auth/me").await?;
    assert_eq!(out.status, StatusCode::UNAUTHORIZED);
    sign_in(&ours, "amina", "four-green-bottles").await?;
    let stranger = ours.given_owner("other").await?;
    let other = stranger.get("/api/auth/me").await?;
    let foreign = json!({"userId": other.body["id"], "newPassword": "four-green-bottles"});
    let foreign = platform.post(&path, &foreign).await?;
    assert_eq!(foreign.status, StatusCode::NOT_FOUND);
    Ok(())
}

#[tokio::test]
async fn a_deleted_tenant_is_hidden_and_cut_off_at_once() -> Result<()> {
    let ours = given_cloud().await?;
    let platform = given_platform(&ours).await?;
    let owner = ours.given_owner("acme").await?;
    let key = json!({"name": "Books", "permissions": ["pppoe:view"], "password": PASSWORD});
    let key = owner.post("/api/api-keys", &key).await?;
    let program = ours.anonymous();
    let program = program.with(key.body["key"].as_str().context("a key")?);
    let base = format!("{ADMIN}/tenants/{}", tenant_of(&owner).await?);
    let gone = delete(&platform, &base).await?;
    assert_eq!(gone.status, StatusCode::OK, "{:?}", gone.body);

    let out = owner.get("/api/auth/me").await?;
    assert_eq!(out.status, StatusCode::UNAUTHORIZED);
    let out = program.get("/api/customers").await?;
    assert_eq!(out.status, StatusCode::FORBIDDEN);
    let body = json!({"email": "owner@acme.isp", "password": PASSWORD});
    let refused = ours.anonymous().post("/api/auth/login", &body).await?;
    assert_eq!(refused.code(), "TENANT_SUSPENDED");
    assert_eq!(platform.get(&base).await?.status, StatusCode::NOT_FOUND);
    let path = format!("{base}/reactivate");
    let back = platform.post(&path, &json!({})).await?;
    assert_eq!(back.status, StatusCode::NOT_FOUND);
    let list = platform.get(&format!("{ADMIN}/tenants")).await?.body;
    assert_eq!(list["tenants"], json!([]));
    Ok(())
}

/// What waited while a tenant was deleted finds it deleted.
#[tokio::test]
async fn nothing_that_waited_for_a_deletion_revives_the_tenant() -> Result<()> {
    let ours = given_cloud().await?;
    let platform = given_platform(&ours).await?;
    let owner = ours.given_owner("acme").await?;
    let tenant: easyisp_shared::id::TenantId = tenant_of(&owner).await?.parse()?;
    let path = format!("{ADMIN}/tenants/{tenant}/activate");

    let db = &ours.cloud.app.db;
    let mut tx = db.begin(tenant).await?;
    sqlx::query("select from tenants where tenant_id = $1 for no key update")
        .bind(tenant)
        .execute(&mut *tx)
        .await?;
    let revived = tokio::spawn(async move { platform.post(&path, &json!({})).await });
    let waits = async || {
        let mut connection = db.glance().await?;
        let waits: bool = sqlx::query_scalar(
            "select exists (select from pg_stat_activity
                             where datname = current_database() and wait_event_type = 'Lock')",
        )
        .fetch_one(&mut *connection)
        .await?;
        anyhow::Ok(waits)
    };
    while !revived.is_finished() && !waits().await? {
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    sqlx::query("update directory.tenants set deleted_at = $2 where tenant_id = $1")
        .bind(tenant)
        .bind(ours.clock.now())
        .execute(&mut *tx)
        .await?;
    tx.commit().await?;
    let refused = revived.await??;
    assert_eq!(refused.status, StatusCode::NOT_FOUND, "{:?}", refused.body);
    Ok(())
}

/// Whoever changes somebody of the platform could take his right, which reaches every tenant.
#[tokio::test]
async fn an_owner_takes_no_platform_right_from_who_holds_it() -> Result<()> {
    let ours = given_cloud().await?;
    let pat = given_platform(&ours).await?;
    let robin = given_platform_person(&ours, "robin").await?;
    let robin_path = own_path(&robin).await?;
    let boss = enter(&pat, "boss", "ADMIN").await?;
    let boss_path = crate::operators::path_of(&boss)?;
    let raised = json!({"role": "SUPER_ADMIN"});
    let raised = pat.put(&boss_path, &raised).await?;
    assert_eq!(raised.status, StatusCode::OK, "{:?}", raised.body);
    let boss = sign_in(&ours, "boss", PASSWORD).await?;

    let reset = format!("{robin_path}/reset-password");
    let factor = format!("{robin_path}/second-factor");
    for (method, path, body) in [
        (Method::PUT, &robin_path, json!({"name": "Robin B"})),
        (Method::PUT, &robin_path, json!({"email": "boss@boss.isp"})),
        (Method::PUT, &robin_path, json!({"role": "ADMIN"})),
        (Method::DELETE, &robin_path, json!({})),
        (Method::POST, &reset, json!({})),
        (Method::DELETE, &factor, json!({})),
    ] {
        let request = boss.request(method, path).json(&body);
        let refused = boss.send(request).await?;
        assert_eq!(refused.status, StatusCode::FORBIDDEN, "{path} {body}");
        assert_eq!(refused.code(), "PLATFORM_PERSON");
    }
    let stats = format!("{ADMIN}/stats");
    assert_eq!(robin.get(&stats).await?.status, StatusCode::OK);

    // One of the platform may, and who is less than an owner then is the platform's no more.
    let renamed = pat.put(&robin_path, &json!({"name": "Robin B"})).await?;
    assert_eq!(renamed.status, StatusCode::OK, "{:?}", renamed.body);
    assert_eq!(robin.get(&stats).await?.status, StatusCode::OK);
    pat.put(&robin_path, &json!({"role": "ADMIN"})).await?;
    let robin = sign_in_platform(&ours, "robin").await?;
    assert_eq!(robin.get(&stats).await?.code(), "PLATFORM_ONLY");
    let back = boss
        .put(&robin_path, &json!({"role": "SUPER_ADMIN"}))
        .await?;
    assert_eq!(back.status, StatusCode::OK, "{:?}", back.body);
    assert_eq!(robin.get(&stats).await?.code(), "PLATFORM_ONLY");
    let reset = boss.post(&reset, &json!({})).await?;
    assert_eq!(reset.status, StatusCode::OK, "{:?}", reset.body);
    Ok(())
}

/// Two of the platform who show each other out at once leave one.
#[tokio::test]
async fn somebody_of_the_platform_stays() -> Result<()> {
    let ours = given_cloud().await?;
    let pat = given_platform(&ours).await?;
    let robin = given_platform_person(&ours, "robin").await?;
    let (pat_path, robin_path) = (own_path(&pat).await?, own_path(&robin).await?);
    // A third owner, so that it is not the last owner who stays.
    let third = crate::operators::path_of(&enter(&pat, "third", "ADMIN").await?)?;
    pat.put(&third, &json!({"role": "SUPER_ADMIN"})).await?;
    let (one, other) = tokio::join!(delete(&pat, &robin_path), delete(&robin, &pat_path));
    let answers = [one?.status, other?.status];
    let done = answers.iter().filter(|status| status.is_success()).count();
    assert_eq!(done, 1, "{answers:?}");
    let mut left = 0;
    for client in [&pat, &robin] {
        let stats = client.get(&format!("{ADMIN}/stats")).await?;
        left += usize::from(stats.status == StatusCode::OK);
    }
    assert_eq!(left, 1);
    Ok(())
}

/// G7: somebody of the platform acts inside a tenant for a reason, for half an hour, and the tenant reads
/// both that he was there and what he did.
#[tokio::test]
async fn a_visit_has_a_reason_an_end_and_a_trail() -> Result<()> {
    let ours = given_cloud().await?;
    let platform = given_platform(&ours).await?;
    let owner = ours.given_owner("acme").await?;
    let tenant = tenant_of(&owner).await?;
    ours.clock.advance(MINUTE);
    let path = format!("{ADMIN}/tenants/{tenant}/enter");
    for why in [json!({}), json!({"reason": "  because  "})] {
        let refused = platform.post(&path, &why).await?;
        assert_eq!(refused.body["details"][0]["field"], "reason");
    }
    let reason = "The owner asked on the phone for a new location";
    let entered = platform.post(&path, &json!({"reason": reason})).await?;
    assert_eq!(entered.status, StatusCode::OK, "{:?}", entered.body);
    assert_eq!(entered.body["user"]["tenantId"], tenant);
    let banner = entered.body["banner"].as_str().context("a banner")?;
    assert!(banner.contains("acme networks"), "{banner}");
    let inside = platform.with(entered.body["token"].as_str().context("a token")?);

    assert_eq!(inside.get("/api/tenant/me").await?.body["id"], tenant);
    assert_eq!(inside.get("/api/auth/me").await?.body["tenantId"], tenant);
    ours.clock.advance(MINUTE);
    inside
        .put("/api/tenant/settings", &json!({"location": "Thika"}))
        .await?;
    // Nothing that outlives the half hour, and nothing of the platform from in there.
    let person = crate::operators::person("backdoor", "STAFF");
    for (method, path, body) in [
        (Method::POST, "/api/tenant/operators", person),
        (
            Method::POST,
            "/api/api-keys",
            json!({"name": "Back door", "permissions": ["pppoe:view"]}),
        ),
        (Method::POST, "/api/auth/refresh", json!({})),
        (
            Method::PUT,
            "/api/auth/password",
            json!({"oldPassword": PASSWORD, "newPassword": "four-green-bottles"}),
        ),
        (Method::GET, "/api/super-admin/stats", json!({})),
    ] {
        let request = inside.request(method, path).json(&body);
        let refused = inside.send(request).await?;
        assert_eq!(refused.status, StatusCode::FORBIDDEN, "{path}");
    }

    let logs = owner.get("/api/audit-logs").await?.body;
    let entered = &logs["logs"][1];
    assert_eq!(logs["logs"][0]["action"], "SETTINGS_UPDATE");
    assert_eq!(logs["logs"][0]["operator"]["name"], "Pat (platform)");
    assert_eq!(entered["action"], "SUPPORT_ENTER");
    let details = entered["details"].as_str().context("details")?;
    assert!(details.contains(reason), "{details}");

    ours.clock.advance(29 * MINUTE);
    let over = inside.get("/api/tenant/me").await?;
    assert_eq!(over.status, StatusCode::UNAUTHORIZED);

    let stale = platform.post(&path, &json!({"reason": reason})).await?;
    assert_eq!(
        stale.code(),
        "FRESH_LOGIN_REQUIRED",
        "signed in half an hour ago"
    );
    let password = json!({"password": PASSWORD});
    platform.post("/api/auth/confirm", &password).await?;
    let again = platform.post(&path, &json!({"reason": reason})).await?;
    let inside = platform.with(again.body["token"].as_str().context("a token")?);
    inside.post("/api/auth/logout", &json!({})).await?;
    let left = inside.get("/api/tenant/me").await?;
    assert_eq!(left.status, StatusCode::UNAUTHORIZED);
    assert_eq!(platform.get("/api/auth/me").await?.status, StatusCode::OK);

    // Who is no more of the platform is out of the tenant as well.
    let last = platform.post(&path, &json!({"reason": reason})).await?;
    let inside = platform.with(last.body["token"].as_str().context("a token")?);
    let other = given_platform_person(&ours, "robin").await?;
    let own = own_path(&platform).await?;
    assert_eq!(delete(&other, &own).await?.body["success"], true);
    let out = inside.get("/api/tenant/me").await?;
    assert_eq!(out.status, StatusCode::UNAUTHORIZED);
    Ok(())
}

/// Every deed stands in the tenant's own trail, as the platform's.
#[tokio::test]
async fn a_tenant_reads_what_the_platform_did_to_it() -> Result<()> {
    let ours = given_cloud_with(|config| {
        let file = || Some("not-read".into());
        config.mpesa.shortcode = Some("600100".to_owned());
        config.mpesa.initiator_name = Some("easyisp".to_owned());
        config.mpesa.consumer_key_file = file();
        config.mpesa.consumer_secret_file = file();
        config.mpesa.passkey_file = file();
        config.mpesa.initiator_password_file = file();
    })
    .await?;
    let platform = given_platform(&ours).await?;
    let owner = ours.given_owner("acme").await?;
    let amina = enter(&owner, "amina", "STAFF").await?;
    let phoned = sign_in(&ours, "amina", PASSWORD).await?;
    crate::second_factor::enable(&ours, &phoned).await?;
    let tenant: easyisp_shared::id::TenantId = tenant_of(&owner).await?.parse()?;
    let reset = json!({"userId": amina.body["id"], "newPassword": "four-green-bottles"});
    let collecting = json!({"enabled": true, "payoutKind": "BUYGOODS", "payoutNumber": "5200123"});
    let settlement = easyisp_shared::id::SettlementId(uuid::Uuid::from_u128(7));
    let outcome = format!("POST settlements/{settlement}/outcome");
    let topup = easyisp_shared::id::TopupId(uuid::Uuid::from_u128(8));
    let topped_up = format!("POST topups/{topup}/outcome");
    // M-Pesa's part of these is a story of its own, which looks for them in the trail: `collecting::unasked`.
    let mut called = BTreeSet::from([
        format!("POST {ADMIN}/collecting/register-c2b"),
        format!("POST {ADMIN}/collecting/stray/{{receipt}}/assign"),
        format!("POST {ADMIN}/tenants/{{tenant}}/topups"),
    ]);
    for (route, body) in [
        ("POST extend-trial", json!({"days": 1})),
        ("POST suspend", json!({})),
        ("POST reactivate", json!({})),
        ("POST activate", json!({"subscriptionMonths": 1})),
        ("POST extend-subscription", json!({"months": 1})),
        ("POST add-balance", json!({"amount": 1, "type": "sms"})),
        ("PUT settings", json!({"location": "Thika"})),
        ("PUT collecting", collecting),
        (&outcome, json!({"sent": false})),
        (&topped_up, json!({"paid": false})),
        ("POST reset-user-password", reset),
        (
            "POST forget-second-factor",
            json!({"userId": amina.body["id"]}),
        ),
        ("POST enter", json!({"reason": "looking at the routers"})),
        ("DELETE ", json!({})),
    ] {
        let (method, deed) = route.split_once(' ').context("a method")?;
        let path = format!("{ADMIN}/tenants/{tenant}/{deed}");
        let path = path.trim_end_matches('/');
        let before = lines(&ours, tenant).await?;
        let request = platform.request(method.parse()?, path).json(&body);
        let answer = platform.send(request).await?;
        assert_eq!(answer.status, StatusCode::OK, "{route}: {:?}", answer.body);
        let says = answer.body["message"].is_string();
        assert!(says || deed == "enter" || deed == "collecting", "{route}");
        assert_eq!(lines(&ours, tenant).await?, before + 1, "{route}");
        if deed == "collecting" {
            owe(&ours, tenant, settlement).await?;
            pay_ahead(&ours, tenant, topup).await?;
        }
        let described = path.replace(&tenant.to_string(), "{tenant}");
        let described = described.replace(&settlement.to_string(), "{settlement}");
        let described = described.replace(&topup.to_string(), "{topup}");
        called.insert(format!("{method} {described}"));
    }
    let silent: Vec<String> = easyisp_cloud::routes()
        .infos()
        .into_iter()
        .filter(|route| route.access == Access::Platform && route.method != "GET")
        .map(|route| format!("{} {}", route.method, route.path))
        .filter(|route| !called.contains(route))
        .collect();
    assert_eq!(silent, Vec::<String>::new(), "nobody looked at these");
    Ok(())
}

/// A settlement of which nobody knows, two days after it was sent, whether it went.
async fn owe(
    ours: &Ours,
    tenant: easyisp_shared::id::TenantId,
    settlement: easyisp_shared::id::SettlementId,
) -> Result<()> {
    let mut tx = ours.cloud.app.db.begin(tenant).await?;
    sqlx::query(
        "insert into settlements (tenant_id, id, gateway_id, day, held, amount, fee, payout_kind, payout_number, state,
                                  created_at, sent_at)
         select tenant_id, $1, gateway_id, '2026-01-31', 5000, 5000, 0, 'BUYGOODS', '5200123', 'UNKNOWN', $2, $2
           from collecting",
    )
    .bind(settlement)
    .bind(ours.clock.now().minus(2 * DAY))
    .execute(&mut *tx)
    .await?;
    Ok(tx.commit().await?)
}

/// A top-up of which nobody knows whether it was paid.
async fn pay_ahead(
    ours: &Ours,
    tenant: easyisp_shared::id::TenantId,
    topup: easyisp_shared::id::TopupId,
) -> Result<()> {
    let mut tx = ours.cloud.app.db.begin(tenant).await?;
    sqlx::query(
        "insert into topups (tenant_id, id, amount, phone, operator_id, state, created_at, ended_at)
         values ($1, $2, 5000, '254712345655', $2, 'UNKNOWN', $3, $3)",
    )
    .bind(tenant)
    .bind(topup)
    .bind(ours.clock.now())
    .execute(&mut *tx)
    .await?;
    Ok(tx.commit().await?)
}

/// What the platform did, with who and from where.
async fn lines(ours: &Ours, tenant: easyisp_shared::id::TenantId) -> Result<i64> {
    let mut tx = ours.cloud.app.db.begin(tenant).await?;
    let count = sqlx::query_scalar(
        "select count(*) from audit
          where actor_kind = 'PLATFORM' and actor_id is not null and ip_address is not null",
    );
    Ok(count.fetch_one(&mut *tx).await?)
}

pub async fn given_platform(ours: &Ours) -> Result<Client> {
    given_platform_person(ours, "Pat").await
}

async fn given_platform_person(ours: &Ours, name: &str) -> Result<Client> {
    let app = &ours.cloud.app;
    let email = Email::parse(&format!("{name}@platform.isp")).context("an address")?;
    let password = PASSWORD.into();
    let hash = app.sign_in.new_password("password", &password, &email);
    let hash = hash.await.map_err(|error| error.into_cause())?;
    let now = ours.clock.now();
    let made = tenants::create_platform_owner(&app.db, &app.secrets, name, &email, &hash, now);
    made.await.map_err(|error| error.into_cause())?;
    sign_in_platform(ours, name).await
}

async fn sign_in_platform(ours: &Ours, name: &str) -> Result<Client> {
    let body = json!({"email": format!("{name}@platform.isp"), "password": PASSWORD});
    let answer = ours.anonymous().post("/api/auth/login", &body).await?;
    let token = answer.body["token"].as_str().context("a token")?;
    Ok(ours.anonymous().with(token))
}

async fn own_path(client: &Client) -> Result<String> {
    let me = client.get("/api/auth/me").await?;
    Ok(format!("/api/tenant/operators/{}", id(&me.body)?))
}

async fn tenant_of(client: &Client) -> Result<String> {
    let me = client.get("/api/auth/me").await?;
    Ok(me.body["tenantId"].as_str().context("a tenant")?.to_owned())
}
