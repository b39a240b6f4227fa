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

/// Routes that ask a device or a provider while the caller waits, and may say that it is away. Any other route
/// that does not answer is a mistake, whatever its description lets it say when the database is busy.
const ASK_OUTSIDE: [&str; 50] = [
    "DELETE /api/mikrotik/{router}/queues/{queue}",
    "DELETE /api/sessions/{session}",
    "GET /api/customers/{customer}/bandwidth",
    "GET /api/customers/{customer}/diagnosis",
    "GET /api/customers/{customer}/live-status",
    "GET /api/mikrotik/{router}/dhcp-leases",
    "GET /api/mikrotik/{router}/hotspot-users",
    "GET /api/mikrotik/{router}/interfaces",
    "GET /api/mikrotik/{router}/logs",
    "GET /api/mikrotik/{router}/neighbours",
    "GET /api/mikrotik/{router}/netwatch",
    "GET /api/mikrotik/{router}/ping",
    "GET /api/mikrotik/{router}/queues",
    "GET /api/mikrotik/{router}/sessions",
    "GET /api/mikrotik/{router}/system-stats",
    "GET /api/nas/{router}/drift",
    "GET /api/snmp/poll/{router}",
    "GET /api/wizard/{router}/firmware",
    "GET /api/wizard/{router}/interfaces",
    "GET /api/wizard/{router}/system-info",
    "GET /api/wizard/{router}/test",
    "GET /api/wizard/{router}/wireless",
    "POST /api/customers/{customer}/access",
    "POST /api/customers/{customer}/disconnect",
    "POST /api/mikrotik/{router}/disconnect",
    "POST /api/mikrotik/{router}/queues",
    "POST /api/mikrotik/{router}/reboot",
    "POST /api/mikrotik/{router}/update-config",
    "POST /api/mikrotik/{router}/update-hotspot",
    "POST /api/nas/{router}/access",
    "POST /api/nas/{router}/certificates",
    "POST /api/nas/{router}/configurations",
    "POST /api/nas/{router}/configurations/{configuration}/restore",
    "POST /api/nas/{router}/drift/repair",
    "POST /api/nas/{router}/import",
    "POST /api/nas/{router}/moving/check",
    "POST /api/nas/{router}/test",
    "POST /api/payment-gateways/{gateway}/register-c2b",
    "POST /api/payment-gateways/{gateway}/test",
    "POST /api/payments/mpesa/stk",
    "POST /api/radius/disconnect",
    "POST /api/sessions/sync",
    "POST /api/super-admin/collecting/register-c2b",
    "POST /api/tenant/wallet/topup",
    "POST /api/vouchers/redeem",
    "POST /api/wizard/{router}/auto-configure",
    "POST /api/wizard/{router}/configure",
    "POST /api/wizard/{router}/configure-wireless",
    "POST /api/wizard/{router}/firmware/check",
    "PUT /api/mikrotik/{router}/queues/{queue}",
];

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
    only_those_say_that_something_is_away(&isp.owner).await?;
    what_is_there_answers(&isp.owner, &things).await?;
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

/// The routes that ask outside are those whose description tells of an answer that does not come.
async fn only_those_say_that_something_is_away(owner: &Operator) -> Result<()> {
    let described = owner.get("/openapi.json").await?;
    let paths = described["paths"].as_object().context("paths")?;
    let mut asking = Vec::new();
    for (path, operations) in paths {
        for (method, operation) in operations.as_object().context("operations")? {
            if operation["responses"].get("504").is_some() {
                asking.push(format!("{} {path}", method.to_uppercase()));
            }
        }
    }
    asking.sort();
    assert_eq!(asking, ASK_OUTSIDE);
    Ok(())
}

/// A device and a provider that are there are reached by every route that asks them: else one that never reaches
/// them would look like one whose device is away.
async fn what_is_there_answers(owner: &Operator, things: &[(&str, String)]) -> Result<()> {
    let bodies = [
        (
            "POST /api/payments/mpesa/stk",
            json!({"customerId": "{customer}", "amount": 10}),
        ),
        (
            "POST /api/vouchers/redeem",
            json!({"code": "K7WQ-9XRM-2ZTC"}),
        ),
        ("POST /api/radius/disconnect", json!({"username": "nobody"})),
        (
            "POST /api/mikrotik/{router}/disconnect",
            json!({"username": "nobody"}),
        ),
    ];
    // What ends his session comes last.
    let (ending, before): (Vec<_>, Vec<_>) = ASK_OUTSIDE
        .into_iter()
        .partition(|route| route.starts_with("DELETE ") || route.ends_with("/disconnect"));
    for route in before.into_iter().chain(ending) {
        let (method, path) = route.split_once(' ').context("a route")?;
        let filled = |text: &str| {
            things.iter().fold(text.to_owned(), |text, (name, id)| {
                text.replace(&format!("{{{name}}}"), id)
            })
        };
        let path = filled(path.trim_start_matches("/api"));
        let body = bodies.iter().find(|(of, _)| *of == route);
        let body = body.map_or(Ok(json!({})), |(_, body)| {
            serde_json::from_str::<Value>(&filled(&body.to_string()))
        })?;
        let body = (method == "POST").then_some(&body);
        let (status, said) = owner.call(method.parse()?, &path, body).await?;
        ensure!(status.as_u16() < 500, "{route}: {status} {said}");
    }
    Ok(())
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
    // What Schemathesis makes up is away: a router of its own invention, a customer at a site without an agent.
    let text = format!(
        "[checks]\nnot_a_server_error.expected-statuses = [\"2xx\", \"3xx\", \"4xx\"]\n\
         [parameters]\n{}\
         [[operations]]\ninclude-name = {ASK_OUTSIDE:?}\n\
         checks.not_a_server_error.expected-statuses = [\"2xx\", \"3xx\", \"4xx\", 502, 503, 504]\n",
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
