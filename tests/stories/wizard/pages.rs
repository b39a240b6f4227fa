//! The pages that guests of a hotspot meet: ours on a new router, somebody's own on one that was there.

use anyhow::{Context, Result, ensure};
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
