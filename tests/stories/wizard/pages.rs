//! The pages that guests of a hotspot meet: ours on a new router, somebody's own on one that was there.

use anyhow::{Context, Result, ensure};
use easyisp_tests::operator::http_client;
use easyisp_tests::router::Router;
use reqwest::StatusCode;
use serde_json::json;

use super::roof::Roof;

fn page(router: &Router, file: &str) -> Option<String> {
    let machine = router.machine();
    let rows = machine.rows("/file", "name", file);
    rows.first().and_then(|row| row.get("contents").cloned())
}

#[tokio::test(flavor = "multi_thread")]
async fn guests_of_a_new_router_meet_the_providers_own_pages() -> Result<()> {
    let roof = Roof::open("pages").await?;
    let hostile = json!({"businessName": "Mzee's <b>$(mac)</b>", "primaryColor": "#00AA66"});
    roof.isp.owner.put("/tenant/settings", &hostile).await?;
    let id = roof.bring_up("Tower").await?;
    let login = page(&roof.router, "hotspot/login.html").context("a page")?;
    ensure!(
        login.contains("<h1>Mzee&#39;s &#60;b&#62;&#36;(mac)&#60;/b&#62;</h1>"),
        "{login}"
    );
    ensure!(login.contains("action=\"$(link-login-only)\""), "{login}");
    let style = page(&roof.router, "hotspot/styles.css").context("a style")?;
    ensure!(style.contains("background:#00AA66"), "{style}");
    for file in ["status.html", "error.html", "script.js"] {
        ensure!(
            page(&roof.router, &format!("hotspot/{file}")).is_some(),
            "{file}"
        );
    }

    // Nobody's, and no other file.
    let some = "0190e7a0-0000-7000-8000-000000000000";
    for path in [
        format!("/provision/hotspot/login.html?tenantId={some}"),
        format!("/provision/hotspot/passwords.txt?tenantId={some}"),
    ] {
        let (status, said) = roof.fetch(&path).await?;
        assert_eq!(status, StatusCode::NOT_FOUND, "{path}: {said}");
    }

    // A router that is there already keeps what somebody made, unless that is wished.
    let own = |router: &Router| {
        router.configure(|machine| machine.write_file("hotspot/login.html", "my own"));
    };
    own(&roof.router);
    for (wish, kept) in [(json!(null), true), (json!(true), false)] {
        let body = json!({"routerId": id, "hotspotPages": wish});
        let started = roof.isp.owner.post("/wizard/start", &body).await?;
        let command = started["provisionCommand"].as_str().context("a command")?;
        let pasted = roof.router.paste(command).await;
        assert_eq!(pasted, Ok(()), "{:?}", roof.router.machine().caught);
        let login = page(&roof.router, "hotspot/login.html").context("a page")?;
        assert_eq!(login == "my own", kept, "{wish}");
    }
    roof.close().await
}

/// What the provider opens in a new tab, and what a page that he made himself loads.
#[tokio::test(flavor = "multi_thread")]
async fn a_provider_sees_his_page_with_what_he_sells_before_any_guest_does() -> Result<()> {
    let roof = Roof::open("preview").await?;
    let owner = &roof.isp.owner;
    let tenant = owner.get("/tenant/me").await?["id"].clone();
    let tenant = tenant.as_str().context("a tenant")?.to_owned();
    let hotspot = |name: &str, price: u32| {
        json!({"name": name, "type": "HOTSPOT", "price": price, "downloadSpeed": 8, "uploadSpeed": 4,
            "sessionTime": 60})
    };
    owner.post("/packages", &hotspot("Day <b>", 80)).await?;
    owner.post("/packages", &hotspot("Hour", 20)).await?;

    let (status, page) = roof
        .fetch(&format!("/portal-preview/login.html?tenantId={tenant}"))
        .await?;
    assert_eq!(status, StatusCode::OK, "{page}");
    let hour = page.find("Hour: 20, 8/4 Mbps, 1 hours, Unlimited");
    let day = page.find("Day &#60;b&#62;: 80");
    ensure!(hour.is_some() && hour < day, "the cheapest first: {page}");
    ensure!(
        !page.contains("Home 10"),
        "a home's is none of theirs: {page}"
    );
    ensure!(!page.contains("$(") && !page.contains("{{"), "{page}");
    for file in ["styles.css", "script.js"] {
        let link = format!("\"{file}?tenantId={tenant}\"");
        ensure!(page.contains(&link), "{link} in {page}");
    }
    for file in [
        "styles.css",
        "script.js",
        "config.js",
        "status.html",
        "error.html",
    ] {
        let path = format!("/portal-preview/{file}?tenantId={tenant}");
        let (status, said) = roof.fetch(&path).await?;
        assert_eq!(status, StatusCode::OK, "{file}: {said}");
    }

    // A page on a router, at an address that nobody here knows, loads this and asks on from there.
    let id = roof.bring_up("Tower").await?;
    let own = format!("http://{}/provision/hotspot-config/{id}", roof.world.api());
    let answer = http_client().get(&own).header("origin", "http://10.5.50.1");
    let answer = answer.send().await?;
    assert_eq!(answer.status(), StatusCode::OK);
    let headers = answer.headers().clone();
    let of = |name: &str| headers.get(name).and_then(|held| held.to_str().ok());
    assert_eq!(of("cross-origin-resource-policy"), Some("cross-origin"));
    assert_eq!(of("access-control-allow-origin"), Some("http://10.5.50.1"));
    assert_eq!(of("content-type"), Some("text/javascript; charset=utf-8"));
    let text = answer.text().await?;
    let config = text
        .strip_prefix("window.EASYISP_CONFIG = ")
        .and_then(|rest| rest.strip_suffix(";\n"))
        .with_context(|| text.clone())?;
    let config: serde_json::Value = serde_json::from_str(config)?;
    assert_eq!(config["tenantId"], tenant.as_str());
    let api = config["apiBaseUrl"].as_str().context("a base")?;
    ensure!(api.ends_with("/api"), "{api}");
    let sold = format!("{api}/portal/packages?tenantId={tenant}&nasId={id}");
    let sold: serde_json::Value =
        serde_json::from_str(&http_client().get(&sold).send().await?.text().await?)?;
    assert_eq!(sold["packages"][0]["name"], "Hour", "{sold}");
    assert_eq!(sold["packages"][0]["price"], 20, "{sold}");
    assert_eq!(sold["packages"][0]["duration"], "1 hours", "{sold}");

    // Nobody's.
    let some = "0190e7a0-0000-7000-8000-000000000000";
    for path in [
        format!("/provision/hotspot-config/{some}"),
        format!("/portal-preview/login.html?tenantId={some}"),
        format!("/portal-preview/passwords.txt?tenantId={tenant}"),
        format!("/api/portal/packages?tenantId={some}"),
    ] {
        let (status, said) = roof.fetch(&path).await?;
        assert_eq!(status, StatusCode::NOT_FOUND, "{path}: {said}");
    }
    roof.close().await
}
