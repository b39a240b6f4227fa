//! What belongs to one provider is not there for another, whatever he calls.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use easyisp_shared::id::TenantId;
use easyisp_tests::router::session::Usage;
use easyisp_tests::scenario::Payer;
use easyisp_tests::world::{PASSWORD, Provider, Site, World, eventually, soon};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::words::{DAY, comes_to_agree};

/// G1: every route that takes an id, called with every id of another provider, answers as if there were
/// no such thing, after asking the database exactly what it asks for an id that nobody has: neither words
/// nor time tell them apart. Lists and filters show none of it, and nothing of it changes.
#[tokio::test(flavor = "multi_thread")]
async fn no_route_reaches_what_belongs_to_another_provider() -> Result<()> {
    let mut world = World::start().await?;
    let victim = Victim::settle(&world).await?;
    let stranger = Provider::sign_up(&world, "stranger").await?;
    let owned = victim.ids(&world).await?;
    let before = victim.rows(&world).await?;
    world.listen_in().await?;

    let manual = stranger.owner.get("/openapi.json").await?;
    let routes = routes(&manual)?;
    let mut called = 0;
    for (method, path) in &routes {
        if path.contains('{') {
            for id in &owned {
                let (status, answer) = call(&stranger, method, &fill(path, id)).await?;
                ensure!(
                    is_absent(status, method, path),
                    "{method} {path} with {id}: {status} {answer}"
                );
                called += 1;
                costs_what_an_unknown_one_does(&world, &stranger, method, path, id).await?;
            }
        } else if method == Method::GET {
            let (_, answer) = call(&stranger, method, path).await?;
            let text = answer.to_string();
            let shown = owned.iter().find(|id| text.contains(&id.to_string()));
            ensure!(shown.is_none(), "{path} shows {shown:?}");
        }
    }
    println!("{called} calls of {} routes", routes.len());
    ensure!(
        called > 100,
        "the manual lists too few routes: {called} calls"
    );
    not_as_part_of_something(&stranger, &victim).await?;

    assert_eq!(victim.rows(&world).await?, before, "something changed");
    world.stop().await
}

/// Compares what is asked of the database. Jobs ask at moments of their own, so it is
/// looked at again.
async fn costs_what_an_unknown_one_does(
    world: &World,
    stranger: &Provider,
    method: &Method,
    path: &str,
    id: &Uuid,
) -> Result<()> {
    let asked = async |id: &Uuid| -> Result<(StatusCode, Vec<String>)> {
        world.take_said();
        let (status, _) = call(stranger, method, &fill(path, id)).await?;
        let mut said = world.take_said();
        // Whoever looks for due work does so at any moment.
        said.retain(|one| !JOBS.iter().any(|looks| one.starts_with(looks)));
        Ok((status, said))
    };
    let mut seen = Vec::new();
    for number in 0..8 {
        let nobodys = Uuid::from_u128(id.as_u128() ^ (0xfeed_beef + number));
        let (theirs, unknown) = (asked(id).await?, asked(&nobodys).await?);
        if theirs == unknown {
            return Ok(());
        }
        seen.push((theirs, unknown));
    }
    anyhow::bail!("{method} {path} tells {id} from an id that nobody has: {seen:#?}")
}

/// How the loops of the jobs ask for work, and when there is some.
const JOBS: [&str; 2] = [
    "with due as (\n             select tenant_id, kind, subject",
    "select min(greatest(due_at",
];

/// A provider with one of everything.
struct Victim {
    isp: Provider,
    tenant: TenantId,
    customer: String,
    router: String,
}

impl Victim {
    async fn settle(world: &World) -> Result<Victim> {
        let isp = Provider::with_paybill(world, "victim").await?;
        let site = Site::open(world, &isp).await?;
        let phone = "254712345660";
        let until = world.clock.now().plus(DAY);
        let customer = isp.add_subscriber("imani", phone, until).await?;
        site.knows("imani", "at all", |_| true).await?;
        world.outside.mpesa.script(phone, Payer::prompt());
        isp.ask_to_pay(&customer, 1000).await?;
        let later = until.plus(DAY);
        site.knows("imani", "as paid", |known| {
            known.entitlement.paid_until > later
        })
        .await?;
        let online = site.dial("imani").await.online();
        online.started().await;
        online.transfer(Usage { up: 5, down: 6 });
        online.hang_up().await;
        comes_to_agree(&isp, &site).await?;

        let hour = json!({"name": "Hour", "type": "HOTSPOT", "price": 20, "downloadSpeed": 4,
            "uploadSpeed": 2, "sessionTime": 60});
        let hour = isp.owner.post("/packages", &hour).await?;
        let batch = json!({"count": 2, "packageId": hour["id"]});
        isp.owner.post("/vouchers", &batch).await?;

        let key = json!({"name": "Books", "permissions": ["sms:view"], "password": PASSWORD});
        isp.owner.post("/api-keys", &key).await?;
        let hook = json!({"url": "https://127.0.0.1:1024/hook", "events": ["voucher.used"]});
        let hook = isp.owner.post("/webhooks", &hook).await?;
        let hook = hook["id"].as_str().context("a webhook")?;
        isp.owner
            .post(&format!("/webhooks/{hook}/test"), &json!({}))
            .await?;

        let income = json!({"customerName": "Mast tenant", "amount": 5, "method": "Cash"});
        isp.owner.post("/finance/income", &income).await?;
        let rent = json!({"description": "Office", "category": "Rent", "amount": 5,
            "date": "2027-01-15", "isRecurring": true});
        isp.owner.post("/finance/expenses", &rent).await?;
        let bill = json!({"customerId": customer, "amount": 5, "dueDate": "2027-02-15",
            "items": [{"description": "Cable", "amount": 5}]});
        isp.owner.post("/finance/invoices", &bill).await?;
        let person = json!({"name": "Juma", "email": "juma@victim.example", "password": PASSWORD,
            "role": "STAFF"});
        let juma = isp.owner.post("/tenant/operators", &person).await?;
        let juma = juma["id"].as_str().context("an operator")?;
        let seller = format!("/finance/sellers/{juma}");
        let sells = json!({"active": true});
        isp.owner.put(&seller, &sells).await?;
        let load = json!({"kind": "LOAD", "amount": 5});
        isp.owner.post(&format!("{seller}/moves"), &load).await?;
        let file = "username,password,name,type\nfiled,filed,Filed,PPPOE\n";
        crate::imports::report(world, &isp.owner, "", file).await?;
        let gift = json!({"routerId": site.router_id, "hours": 1});
        let gift = isp.owner.post("/outages/extend", &gift).await?;
        let gift = gift["id"].as_str().context("an outage")?;
        let given = format!("/outages/{gift}");
        eventually("the gift is given", async || {
            let shown = isp.owner.get(&given).await?;
            Ok(shown["repaidAt"].is_string().then_some(()))
        })
        .await?;
        let note = json!({"text": "The gate is green."});
        let noted = format!("/customers/{customer}/notes");
        isp.owner.post(&noted, &note).await?;
        let tagged = json!({"tags": ["vip"]});
        isp.owner
            .put(&format!("/customers/{customer}"), &tagged)
            .await?;

        let watched = json!({"nasId": site.router_id, "community": "kept-quiet"});
        isp.owner.post("/snmp/settings", &watched).await?;

        // Of a router whose API nobody is asked for before night.
        isp.owner
            .set_router_api(&site.router_id, "agent", "a-long-api-password", 1)
            .await?;
        let night = json!({"action": {"kind": "REBOOT"}, "routerIds": [site.router_id],
            "windowFrom": "02:00", "windowTo": "02:01"});
        isp.owner.post("/rollouts", &night).await?;

        let me = isp.owner.get("/tenant/me").await?;
        let tenant = me["id"].as_str().context("the tenant's id")?;
        crate::alerts::begin(world, tenant.parse()?, &site.router_id).await?;
        let router = site.router_id.clone();
        site.stop().await;
        Ok(Victim {
            tenant: TenantId(tenant.parse()?),
            isp,
            customer,
            router,
        })
    }

    /// The id of everything it has.
    async fn ids(&self, world: &World) -> Result<Vec<Uuid>> {
        let mut tx = world.db().begin(self.tenant).await?;
        let ids: Vec<Uuid> = sqlx::query_scalar(
            "select id from customers union select id from packages union select id from routers
              union select id from sites union select id from agents union select id from sessions
              union select id from gateways union select id from payments union select id from intents
              union select id from periods union select id from operators
              union select id from commands union select id from vouchers
              union select id from voucher_batches union select id from api_keys
              union select id from webhooks union select id from webhook_deliveries
              union select id from incomes union select id from expenses
              union select id from invoices union select id from accounts
               union select id from outages union select id from credit_notes
              union select id from imports union select id from refunds union select id from inquiries
               union select id from settlements union select id from alerts union select id from float_moves
              union select id from rollouts
              union select id from customer_notes",
        )
        .fetch_all(&mut *tx)
        .await?;
        ensure!(ids.len() >= 16, "one of everything, not {}", ids.len());
        Ok(ids)
    }

    /// Everything that somebody else might change, as text.
    async fn rows(&self, world: &World) -> Result<BTreeSet<String>> {
        let mut tx = world.db().begin(self.tenant).await?;
        let rows: Vec<String> = sqlx::query_scalar(
            "select c::text from customers c union all select p::text from packages p
              union all select r::text from routers r union all select s::text from sites s
              union all select s::text from sessions s union all select g::text from gateways g
              union all select r::text from refunds r union all select q::text from inquiries q
              union all select s::text from settlements s union all select c::text from collecting c
              union all select d::text from statement_days d union all select t::text from topups t
              union all select d::text from statement_differences d
              union all select p::text from payments p union all select i::text from intents i
              union all select p::text from periods p union all select o::text from operators o
              union all select c::text from commands c union all select w::text from wallets w
              union all select t::text from tenants t union all select v::text from vouchers v
              union all select k::text from api_keys k union all select w::text from webhooks w
              union all select i::text from incomes i union all select e::text from expenses e
              union all select r::text from recurring_expenses r
              union all select f::text from floats f union all select m::text from float_moves m
              union all select i::text from invoices i union all select a::text from accounts a
              union all select i::text from imports i union all select r::text from import_rows r
              union all select n::text from customer_notes n
              union all select m::text from monitored m union all select a::text from alerts a
              union all select r::text from rollouts r union all select p::text from rollout_routers p
              union all select r::text from alert_rules r union all select s::text from alert_settings s
              union all select t::text from customer_tags t
              union all select l::text from customer_lines l
              union all select p::text from promises p
              union all select o::text from outages o union all select r::text from repayments r",
        )
        .fetch_all(&mut *tx)
        .await?;
        Ok(rows.into_iter().collect())
    }
}

/// Another's ids inside a body or a filter are unknown too.
async fn not_as_part_of_something(stranger: &Provider, victim: &Victim) -> Result<()> {
    let package = &victim.isp.package;
    let (customer, router) = (&victim.customer, &victim.router);
    let until = "2027-03-01T00:00:00Z";
    let own = stranger
        .owner
        .add_customer("mine1", &stranger.package, "254712345661", until)
        .await?;

    let posts = [
        (
            "/customers".to_owned(),
            json!({"username": "taker", "password": "taker", "name": "Taker",
            "connectionType": "PPPOE", "packageId": package}),
        ),
        (
            "/customers".to_owned(),
            json!({"username": "taker", "password": "taker", "name": "Taker",
            "connectionType": "PPPOE", "nasId": router}),
        ),
        (
            "/payments/mpesa/stk".to_owned(),
            json!({"customerId": customer, "amount": 1}),
        ),
        (
            "/payments/manual".to_owned(),
            json!({"customerId": customer, "amount": 1}),
        ),
        (
            "/outages/extend".to_owned(),
            json!({"routerId": router, "hours": 1}),
        ),
        (
            "/finance/invoices".to_owned(),
            json!({"customerId": customer, "amount": 1, "dueDate": "2027-02-15",
            "items": [{"description": "Cable", "amount": 1}]}),
        ),
        (
            "/snmp/settings".to_owned(),
            json!({"nasId": router, "community": "taken"}),
        ),
        ("/wizard/start".to_owned(), json!({"routerId": router})),
        (
            "/rollouts".to_owned(),
            json!({"action": {"kind": "REBOOT"}, "routerIds": [router]}),
        ),
    ];
    for (path, body) in posts {
        let (status, answer) = stranger
            .owner
            .call(Method::POST, &path, Some(&body))
            .await?;
        ensure!(
            status.is_client_error(),
            "POST {path} {body}: {status} {answer}"
        );
    }
    let change = format!("/customers/{own}/package");
    let body = json!({"packageId": package});
    let (status, answer) = stranger
        .owner
        .call(Method::PUT, &change, Some(&body))
        .await?;
    ensure!(status.is_client_error(), "{status} {answer}");

    for filter in [format!("packageId={package}"), format!("nasId={router}")] {
        let path = format!("/customers?page=1&pageSize=20&{filter}");
        let (status, answer) = stranger.owner.call(Method::GET, &path, None).await?;
        let nothing = answer["total"] == 0 || status.is_client_error();
        ensure!(nothing, "{filter}: {status} {answer}");
    }
    Ok(())
}

/// Method and path of every route in the API's own manual, but those that take a secret in place of an id.
fn routes(manual: &Value) -> Result<Vec<(Method, String)>> {
    let paths = manual["paths"]
        .as_object()
        .context("the manual has paths")?;
    let mut routes = Vec::new();
    for (path, methods) in paths {
        let Some(path) = path.strip_prefix("/api") else {
            continue;
        };
        let by_secret = ["/hooks/", "/webhooks/mpesa/", "/portal/"];
        // Signing out would end the stranger's own session.
        let own = ["/auth/"];
        if by_secret
            .iter()
            .chain(&own)
            .any(|prefix| path.starts_with(prefix))
        {
            continue;
        }
        let methods = methods.as_object().context("a path has methods")?;
        for method in methods.keys() {
            if let Ok(method) = Method::from_bytes(method.to_uppercase().as_bytes())
                && ["GET", "POST", "PUT", "DELETE", "PATCH"].contains(&method.as_str())
            {
                routes.push((method, path.to_owned()));
            }
        }
    }
    // What ends things comes last.
    routes.sort_by_key(|(method, path)| (method == Method::DELETE, path.clone()));
    Ok(routes)
}

fn fill(path: &str, id: &Uuid) -> String {
    let part = |part: &str| match part.starts_with('{') {
        true => id.to_string(),
        false => part.to_owned(),
    };
    path.split('/').map(part).collect::<Vec<_>>().join("/")
}

async fn call(stranger: &Provider, method: &Method, path: &str) -> Result<(StatusCode, Value)> {
    // Fits every route that looks into its body before it looks for the thing.
    let body = json!({
        "name": "Taken over", "amount": 1, "packageId": stranger.package, "status": "ACTIVE",
        "expiresAt": "2027-03-01T00:00:00Z", "downloadMbps": 1, "uploadMbps": 1,
        "durationMinutes": 1, "ipAddress": "10.0.0.9", "message": "hello", "text": "hello", "days": 1,
        "role": "VIEWER", "reason": "because", "password": "a long story password", "serviceType": "pppoe",
    });
    let body = (method != Method::GET && method != Method::DELETE).then_some(&body);
    let call = stranger.owner.call(method.clone(), path, body);
    soon(path, call).await?
}

/// As if there were no such thing; a body may be found wanting first, and the platform's routes are
/// closed to every provider.
fn is_absent(status: StatusCode, method: &Method, path: &str) -> bool {
    let has_body = method != Method::GET && method != Method::DELETE;
    status == StatusCode::NOT_FOUND
        || status == StatusCode::BAD_REQUEST && has_body
        || status == StatusCode::FORBIDDEN && path.starts_with("/super-admin")
}
