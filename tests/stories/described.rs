//! The API does what its own description says: whatever is sent, no error of the server's, no status that it
//! does not name. Judged by Schemathesis, which reads the description and makes requests of it.

use std::path::Path;
use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use easyisp_tests::operator::Operator;
use easyisp_tests::world::{PASSWORD, Provider, Site, World};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::Command;

use crate::words::{DAY, full};

/// Routes that would sign the caller out, or need a secret in their path.
const LEFT_OUT: &str = "/auth/(logout|sessions)|/console/session|/hooks/|/api/webhooks/mpesa";

/// As the owner and as somebody who may look and do nothing, on things that are there; as the owner on things
/// that are not, and with everything that deletes.
#[tokio::test(flavor = "multi_thread")]
async fn every_route_answers_as_described() -> Result<()> {
    let world = World::start().await?;
    let isp = Provider::with_paybill(&world, "described").await?;
    isp.subscribe(&world).await?;
    let site = Site::open_with_api(&world, &isp).await?;
    let things = furnish(&world, &isp, &site).await?;
    let viewer = json!({"name": "Amina", "email": "amina@described.isp", "password": PASSWORD,
        "role": "VIEWER"});
    isp.owner.post("/tenant/operators", &viewer).await?;
    let viewer = Operator::login(world.api(), "amina@described.isp", PASSWORD).await?;
    let all = "examples,coverage,fuzzing";
    let others = if full() { all } else { "examples,fuzzing" };
    let kept = ["--phases", all, "--exclude-method", "DELETE"];
    let any = ["--phases", others];
    tokio::try_join!(
        judge(&world, &isp.owner, &things, &kept),
        judge(&world, &isp.owner, &[], &any),
        judge(&world, &viewer, &things, &any),
    )?;
    assert_eq!(world.book_findings().await?, Vec::<String>::new());
    site.stop().await;
    world.stop().await
}

/// One of everything: the names that ids have in paths, and ids.
async fn furnish(
    world: &World,
    isp: &Provider,
    site: &Site,
) -> Result<Vec<(&'static str, String)>> {
    let until = world.clock.now().plus(DAY);
    let customer = isp.add_subscriber("imani", "254712345640", until).await?;
    site.knows("imani", "at all", |_| true).await?;
    let online = site.dial("imani").await.online();
    online.started().await;
    let hour = json!({"name": "Hour", "type": "HOTSPOT", "price": 20, "downloadSpeed": 4,
        "uploadSpeed": 2, "sessionTime": 60});
    let hour = isp.owner.post("/packages", &hour).await?;
    let batch = json!({"count": 1, "packageId": hour["id"]});
    let batch = isp.owner.post("/vouchers", &batch).await?;
    let person = json!({"name": "Baraka", "email": "baraka@described.isp", "password": PASSWORD,
        "role": "STAFF"});
    let person = isp.owner.post("/tenant/operators", &person).await?;
    let hook = json!({"url": "https://127.0.0.1:1024/hook", "events": ["voucher.used"]});
    let hook = isp.owner.post("/webhooks", &hook).await?;
    let ping = format!(
        "/webhooks/{}/test",
        hook["id"].as_str().context("a webhook")?
    );
    let ping = isp.owner.post(&ping, &json!({})).await?;
    let sites = isp.owner.get("/sites").await?;
    let sessions = isp.owner.get("/sessions").await?;
    let gateways = isp.owner.get("/payment-gateways").await?;
    let id = |value: &Value| value.as_str().map(str::to_owned).context("an id");
    Ok(vec![
        ("customer", customer),
        ("package", isp.package.clone()),
        ("router", site.router_id.clone()),
        ("voucher", id(&batch["vouchers"][0]["id"])?),
        ("operator", id(&person["id"])?),
        ("site", id(&sites["sites"][0]["id"])?),
        ("session", id(&sessions["sessions"][0]["id"])?),
        ("gateway", id(&gateways[0]["id"])?),
        ("webhook", id(&hook["id"])?),
        ("delivery", id(&ping["deliveryId"])?),
    ])
}

async fn judge(
    world: &World,
    operator: &Operator,
    things: &[(&str, String)],
    arguments: &[&str],
) -> Result<()> {
    let folder = TempDir::new()?;
    let settings = folder.path().join("schemathesis.toml");
    let parameters: Vec<String> = things
        .iter()
        .map(|(name, id)| format!("\"path.{name}\" = \"{id}\"\n"))
        .collect();
    // A device that is away is a 502, 503 or 504 where the description says so; anything else is a mistake.
    let text = format!(
        "[checks]\nnot_a_server_error.expected-statuses = [\"2xx\", \"3xx\", \"4xx\", 502, 503, 504]\n\
         [parameters]\n{}",
        parameters.concat()
    );
    std::fs::write(&settings, text)?;
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/python/bin/schemathesis");
    let base = format!("http://{}", world.api());
    let examples = if full() { "50" } else { "3" };
    let output = Command::new(program)
        .arg("--config-file")
        .arg(&settings)
        .args(["run", &format!("{base}/api/openapi.json")])
        .args([
            "--header",
            &format!("Authorization: Bearer {}", operator.token()),
        ])
        .args(["--checks", "not_a_server_error,status_code_conformance"])
        .args(["--exclude-path-regex", LEFT_OUT])
        .args([
            "--max-examples",
            examples,
            "--phases",
            "examples,coverage,fuzzing",
        ])
        .args([
            // Two of them trip over one another inside the tool now and then.
            "--workers",
            "1",
            "--no-color",
            "--suppress-health-check",
            "all",
        ])
        .args(arguments)
        .current_dir(folder.path())
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .context("Schemathesis: tests/prepare installs it")?;
    let said = String::from_utf8_lossy(&output.stdout);
    let lines: Vec<&str> = said.lines().collect();
    println!("{}", lines[lines.len().saturating_sub(25)..].join("\n"));
    ensure!(
        output.status.success(),
        "{said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}
