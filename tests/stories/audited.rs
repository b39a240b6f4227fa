//! Every mutation is in the trail, with who did it and from where.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use easyisp_cloud::api::Access;
use easyisp_shared::id::TenantId;
use easyisp_shared::time::Timestamp;
use easyisp_tests::etims::Mood;
use easyisp_tests::mpesa::callback;
use easyisp_tests::operator::Operator;
use easyisp_tests::router::session::Usage;
use easyisp_tests::scenario::{Errand, Payer, Pin, PushAnswer};
use easyisp_tests::world::{self, PASSWORD, Provider, Site, World, eventually, soon};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::c2b;
use crate::second_factor::App;
use crate::words::DAY;

/// Routes by which nothing changes that a trail is kept of.
const CHANGE_NOTHING: [&str; 5] = [
    "POST /api/auth/refresh",
    "POST /api/nas/{router}/test",
    "POST /api/nas/{router}/moving/check",
    "POST /api/sessions/sync",
    "POST /api/payment-gateways/{gateway}/test",
];

/// Routes that take a form or a file, or need one before, or the platform's own short code; stories
/// of their own look at them: `pictures`, `statement`, `statement_days`, `imports`, `collecting`.
const TAKE_A_FILE: [&str; 8] = [
    "POST /api/auth/profile-picture",
    "POST /api/tenant/logo",
    "POST /api/payments/statement",
    "POST /api/payments/days/explain",
    "POST /api/payments/days/reopen",
    "POST /api/tenant/wallet/topup",
    "POST /api/customers/import",
    "POST /api/packages/import",
];

/// Routes that need a router that answers, or a box that waits; the stories `confirmed`, `certificates`, `control`,
/// `drift`, `configurations`, `rollouts`, `wizard`, `imports` and `access` look for them in the trail.
const ASK_A_ROUTER: [&str; 26] = [
    "POST /api/nas/{router}/import",
    "POST /api/nas/{router}/access",
    "POST /api/customers/{customer}/access",
    "DELETE /api/access/{access}",
    "POST /api/wizard/enrolment-token",
    "POST /api/sites/{site}/agents/{agent}/confirm",
    "POST /api/nas/{router}/certificates",
    "DELETE /api/nas/{router}/certificates/{serial}",
    "POST /api/wizard/{router}/configure",
    "POST /api/wizard/{router}/auto-configure",
    "POST /api/wizard/{router}/configure-wireless",
    "POST /api/mikrotik/{router}/update-config",
    "POST /api/mikrotik/{router}/update-hotspot",
    "POST /api/mikrotik/{router}/queues",
    "PUT /api/mikrotik/{router}/queues/{queue}",
    "DELETE /api/mikrotik/{router}/queues/{queue}",
    "POST /api/mikrotik/{router}/reboot",
    "POST /api/nas/{router}/drift/repair",
    "POST /api/nas/{router}/configurations",
    "POST /api/nas/{router}/configurations/{configuration}/restore",
    "POST /api/rollouts",
    "POST /api/rollouts/{rollout}/pause",
    "POST /api/rollouts/{rollout}/resume",
    "POST /api/rollouts/{rollout}/stop",
    "POST /api/wizard/{router}/firmware/check",
    "POST /api/wizard/{router}/firmware/update",
];

/// A route that comes later and changes something needs a call here, and an audit line of its own.
#[tokio::test(flavor = "multi_thread")]
async fn every_route_that_changes_something_writes_who_did_it() -> Result<()> {
    let world = World::start().await?;
    let isp = Provider::with_paybill(&world, "trail").await?;
    let calls = Calls::prepare(&world, &isp).await?;

    let mut called: BTreeSet<String> = CHANGE_NOTHING.map(str::to_owned).into();
    called.extend(TAKE_A_FILE.map(str::to_owned));
    called.extend(ASK_A_ROUTER.map(str::to_owned));
    for (route, ids, body) in calls.in_order() {
        let (method, path) = route.split_once(' ').context("a method and a path")?;
        let path = path.strip_prefix("/api").context("a path of the API")?;
        let path = ids
            .iter()
            .fold(path.to_owned(), |path, id| filled(&path, id));
        let before = calls.trail(&world).await?;
        let (status, answer) = isp
            .owner
            .call(Method::from_bytes(method.as_bytes())?, &path, Some(&body))
            .await?;
        // The site is away: what it is asked to do is written down, and in the trail.
        let written_down = status == StatusCode::SERVICE_UNAVAILABLE
            && answer["message"]
                .as_str()
                .is_some_and(|said| said.contains("written down"));
        ensure!(
            status.is_success() || written_down,
            "{route}: {status} {answer}"
        );
        let written: Vec<_> = calls
            .trail(&world)
            .await?
            .difference(&before)
            .cloned()
            .collect();
        ensure!(!written.is_empty(), "{route} leaves no trace");
        for (_, actor, address) in written {
            ensure!(actor == Some(calls.owner), "{route}: by whom?");
            ensure!(address.is_some(), "{route}: from where?");
        }
        called.insert(route.to_owned());
    }

    let routes = easyisp_cloud::routes().infos().into_iter();
    let silent: Vec<String> = routes
        // The platform's are looked at in a story of their own.
        .filter(|route| {
            !matches!(
                route.access,
                Access::Public | Access::Token | Access::Platform
            )
        })
        .filter(|route| route.method != "GET")
        .map(|route| format!("{} {}", route.method, route.path))
        .filter(|route| !called.contains(route))
        .collect();
    ensure!(
        silent.is_empty(),
        "nobody looked whether these are in the trail: {silent:?}"
    );
    world.stop().await
}

fn filled(path: &str, id: &str) -> String {
    match (path.find('{'), path.find('}')) {
        (Some(from), Some(to)) => format!("{}{id}{}", &path[..from], &path[to + 1..]),
        (_, _) => path.to_owned(),
    }
}

/// Id, actor and address of a line.
type Line = (Uuid, Option<Uuid>, Option<String>);

/// What there is to call.
struct Calls {
    tenant: TenantId,
    owner: Uuid,
    site: String,
    agent: String,
    router: String,
    package: String,
    spare_package: String,
    spare_router: String,
    alert: String,
    /// A router that nobody has met yet.
    new_router: String,
    spare_gateway: String,
    customer: String,
    spare_customer: String,
    session: String,
    payment: String,
    /// Nobody's yet.
    held: String,
    /// A prompt that a person must look at.
    doubtful: String,
    /// Payments by M-Pesa.
    sent: Vec<String>,
    /// Refunds that another operator asked for: two of them are to be decided, of one nothing is known.
    asked_back: Vec<String>,
    hotspot: String,
    note: String,
    voucher: String,
    code: String,
    router_login: String,
    operator: String,
    /// The owner's second factor, begun and not confirmed; `operator` has one.
    app: App,
    /// When codes were made.
    now: Timestamp,
    /// Another session of the owner's.
    elsewhere: String,
    api_key: String,
    webhook: String,
    delivery: String,
    account: String,
    income: String,
    expense: String,
    invoice: String,
    /// The same as the state's system, which is down, knows it.
    document: String,
    import: String,
}

impl Calls {
    async fn prepare(world: &World, isp: &Provider) -> Result<Calls> {
        let owner = &isp.owner;
        let phone = "254712345677";
        world.outside.mpesa.script(
            phone,
            Payer {
                pin: Pin::Never,
                ..Payer::default()
            },
        );
        let until = world.clock.now().plus(DAY);
        let mut site = Site::open(world, isp).await?;
        let customer = isp.add_subscriber("imani", phone, until).await?;
        site.knows("imani", "at all", |_| true).await?;
        let online = site.dial("imani").await.online();
        online.started().await;
        online.transfer(Usage {
            up: 5000,
            down: 6000,
        });
        online.interim().await;
        site.reported().await?;
        let session = isp
            .session_becomes("imani", online.id(), "metered", |row| {
                row["bytesOut"] == 6000
            })
            .await?;
        let router = site.router_id.clone();
        // Nobody does what the calls ask for, so that the session stays open.
        site.stop_agent().await;

        let made = async |path: &str, body: Value| id(&owner.post(path, &body).await?);
        world.outside.etims.script(vec![Mood::Down; 20]);
        owner.put("/fiscal/settings", &fiscal()).await?;
        // Of somebody for whom no money comes: it would be paid.
        let billed = isp.add_subscriber("jabali", "254712345699", until).await?;
        let invoice = made("/finance/invoices", bill(&billed)).await?;
        let document = eventually("the invoice is to be reported", async || {
            let page = owner.get("/fiscal/documents").await?;
            Ok(page["documents"][0]["id"].as_str().map(str::to_owned))
        })
        .await?;
        let home = id(&owner.get("/sites").await?["sites"][0])?;
        // With a second site the cloud holds the vouchers, so that no agent is asked.
        made("/sites", json!({"name": "Second"})).await?;
        let mut hotspot = package("Hour");
        hotspot["type"] = json!("HOTSPOT");
        let hotspot = made("/packages", hotspot).await?;
        let vouchers = json!({"count": 2, "packageId": hotspot});
        let vouchers = owner.post("/vouchers", &vouchers).await?;
        let code = vouchers["vouchers"][1]["code"].as_str().context("a code")?;
        let me = owner.get("/auth/me").await?;
        let now = world.clock.now();
        let spare_operator = made("/tenant/operators", operator("spare")).await?;
        let signed_in = async |email: &str| Operator::login(world.api(), email, PASSWORD).await;
        let begun = json!({"password": PASSWORD});
        let phoned = signed_in("spare@trail.isp").await?;
        let first = App::scan(&phoned.post("/auth/second-factor", &begun).await?)?.code(now)?;
        let confirmed = json!({"code": first});
        phoned
            .post("/auth/second-factor/confirm", &confirmed)
            .await?;
        signed_in(me["email"].as_str().context("an address")?).await?;
        let webhook = made("/webhooks", webhook()).await?;
        let ping = format!("/webhooks/{webhook}/test");
        let ping = owner.post(&ping, &json!({})).await?;
        let delivery = ping["deliveryId"].as_str().context("a delivery")?;
        let sessions = owner.get("/auth/sessions").await?;
        let elsewhere = sessions["sessions"].as_array().context("sessions")?;
        let elsewhere = elsewhere.iter().find(|session| session["current"] == false);
        let spare = json!({"customerId": customer, "amount": 5});
        c2b::register(isp).await?;
        let receipt = c2b::pay(world, "0799000111", "5", "who knows").await?;
        c2b::worked(world, isp).await?;
        let held = c2b::lookup(isp, &format!("receipt={receipt}")).await?;
        let doubtful = doubtful(world, isp).await?;
        let (sent, asked_back) = asked_back(world, isp).await?;
        // The other gateway of this short code registers too.
        world.outside.mpesa.forget_c2b(c2b::CODE);
        let file = "username,password,name,type\nfiled,filed,Filed,PPPOE\n";
        let file = crate::imports::report(world, owner, "", file).await?;
        let import = file["importId"].as_str().context("an import")?.to_owned();
        let tenant = TenantId(me["tenantId"].as_str().context("a tenant")?.parse()?);
        Ok(Calls {
            import,
            tenant,
            alert: crate::alerts::begin(world, tenant, &router).await?,
            owner: id(&me)?.parse()?,
            agent: id(&owner.get(&format!("/sites/{home}")).await?["agents"][0])?,
            site: home,
            package: isp.package.clone(),
            spare_package: made("/packages", package("Spare")).await?,
            spare_router: made("/nas", json!({"name": "Spare", "ipAddress": "10.0.0.9"})).await?,
            new_router: {
                let new = json!({"name": "Unmet", "agents": ["10.9.0.2"]});
                let new = owner.post("/wizard/start", &new).await?;
                new["routerId"].as_str().context("a router")?.to_owned()
            },
            spare_gateway: owner.add_paybill().await?,
            spare_customer: isp.add_subscriber("spare", phone, until).await?,
            payment: made("/payments/manual", spare).await?,
            held: id(&held["payments"][0])?,
            doubtful,
            sent,
            asked_back,
            session: id(&session)?,
            note: made(
                &format!("/customers/{customer}/notes"),
                json!({"text": "The dog bites."}),
            )
            .await?,
            voucher: id(&vouchers["vouchers"][0])?,
            code: code.to_owned(),
            hotspot,
            router_login: made(
                "/router-logins",
                json!({"username": "spare", "password": "zebra-quilt-moon"}),
            )
            .await?,
            operator: spare_operator,
            app: App::scan(&owner.post("/auth/second-factor", &begun).await?)?,
            now,
            elsewhere: id(elsewhere.context("another session")?)?,
            api_key: made("/api-keys", api_key()).await?,
            delivery: delivery.to_owned(),
            account: made(
                "/finance/accounts",
                json!({"code": "5900", "name": "Spare", "type": "Expense"}),
            )
            .await?,
            income: made("/finance/income", income()).await?,
            expense: made("/finance/expenses", expense()).await?,
            invoice,
            document,
            webhook,
            customer,
            router,
        })
    }

    /// Every route that changes something, the ids in its path, a body; what ends things comes last.
    fn in_order(&self) -> Vec<(&'static str, Vec<&str>, Value)> {
        let customer = vec![self.customer.as_str()];
        let speed = json!({"downloadMbps": 5, "uploadMbps": 5});
        let boost = json!({"downloadMbps": 5, "uploadMbps": 5, "durationMinutes": 5});
        let gateway = vec![self.spare_gateway.as_str()];
        let new_customer = json!({"username": "newcomer", "password": "a-word", "name": "New",
            "connectionType": "PPPOE", "packageId": self.package});
        let asked = json!({"customerId": self.customer, "amount": 10});
        let second = json!({"type": "MPESA_API", "subType": "PAYBILL", "shortcode": "600000",
            "consumerKey": "k", "consumerSecret": "s", "passkey": "p", "env": "sandbox"});
        let passwords = json!({"oldPassword": PASSWORD, "newPassword": "four green bottles"});
        let to_spare = json!({"packageId": self.spare_package});
        let back = json!({"packageId": self.package});
        let expiry = json!({"expiresAt": "2027-05-01T00:00:00Z"});
        let router = json!({"name": "New", "ipAddress": "10.0.0.1"});
        let vouchers = json!({"count": 1, "packageId": self.hotspot});
        let code = json!({"code": self.code});
        let old_server = json!({"mode": "SHADOW",
            "oldServer": {"address": "10.0.0.5", "secret": "testing123"}});
        let nothing = || json!({});
        let shown = |later| {
            let now = self.now.plus(Duration::from_secs(later));
            self.app.code(now).unwrap()
        };
        vec![
            (
                "PUT /api/tenant/settings",
                vec![],
                json!({"businessName": "Another name"}),
            ),
            ("POST /api/sites", vec![], json!({"name": "Thika"})),
            (
                "DELETE /api/auth/sessions/{session}",
                vec![&self.elsewhere],
                nothing(),
            ),
            ("POST /api/tenant/operators", vec![], operator("newcomer")),
            (
                "PUT /api/tenant/operators/{operator}",
                vec![&self.operator],
                json!({"role": "VIEWER"}),
            ),
            (
                "POST /api/tenant/operators/{operator}/reset-password",
                vec![&self.operator],
                nothing(),
            ),
            (
                "DELETE /api/tenant/operators/{operator}/second-factor",
                vec![&self.operator],
                nothing(),
            ),
            (
                "POST /api/auth/second-factor/confirm",
                vec![],
                json!({"code": shown(0)}),
            ),
            (
                "POST /api/auth/second-factor/end",
                vec![],
                json!({"password": PASSWORD, "code": shown(30)}),
            ),
            (
                "POST /api/auth/second-factor",
                vec![],
                json!({"password": PASSWORD}),
            ),
            ("DELETE /api/auth/sessions", vec![], nothing()),
            ("POST /api/api-keys", vec![], api_key()),
            ("DELETE /api/api-keys/{key}", vec![&self.api_key], nothing()),
            ("POST /api/webhooks", vec![], webhook()),
            (
                "PUT /api/webhooks/{webhook}",
                vec![&self.webhook],
                json!({"description": "Books"}),
            ),
            (
                "POST /api/webhooks/{webhook}/rotate-secret",
                vec![&self.webhook],
                nothing(),
            ),
            (
                "POST /api/webhooks/{webhook}/test",
                vec![&self.webhook],
                nothing(),
            ),
            (
                "POST /api/webhooks/{webhook}/deliveries/{delivery}/replay",
                vec![&self.webhook, &self.delivery],
                nothing(),
            ),
            (
                "DELETE /api/webhooks/{webhook}",
                vec![&self.webhook],
                nothing(),
            ),
            (
                "PUT /api/finance/sellers/{operator}",
                vec![&self.operator],
                json!({"active": true}),
            ),
            (
                "POST /api/finance/sellers/{operator}/moves",
                vec![&self.operator],
                json!({"kind": "LOAD", "amount": 100}),
            ),
            (
                "DELETE /api/tenant/operators/{operator}",
                vec![&self.operator],
                nothing(),
            ),
            ("PUT /api/router-logins", vec![], json!({"enabled": true})),
            (
                "POST /api/router-logins",
                vec![],
                json!({"username": "noc", "password": "zebra-quilt-moon"}),
            ),
            (
                "PUT /api/router-logins/{login}",
                vec![&self.router_login],
                json!({"group": "full"}),
            ),
            (
                "DELETE /api/router-logins/{login}",
                vec![&self.router_login],
                nothing(),
            ),
            (
                "PUT /api/nas/{router}/moving",
                vec![&self.spare_router],
                old_server,
            ),
            (
                "PUT /api/tenant/enforcement",
                vec![],
                json!({"graceMinutes": 5}),
            ),
            (
                "PUT /api/customers/{customer}/networks",
                customer.clone(),
                json!({"routes": ["10.9.0.0/24"]}),
            ),
            (
                "POST /api/snmp/settings",
                vec![],
                json!({"nasId": self.router, "community": "public"}),
            ),
            (
                "POST /api/snmp/alerts/{alert}/acknowledge",
                vec![&self.alert],
                json!({"note": "Seen"}),
            ),
            (
                "PUT /api/snmp/alert-rules/{rule}",
                vec!["CPU"],
                json!({"delaySecs": 60}),
            ),
            (
                "PUT /api/snmp/alert-notify",
                vec![],
                json!({"sms": "off", "email": "off"}),
            ),
            (
                "DELETE /api/snmp/settings/{router}",
                vec![&self.router],
                nothing(),
            ),
            (
                "POST /api/mikrotik/{router}/disconnect",
                vec![&self.router],
                json!({"username": "imani"}),
            ),
            (
                "POST /api/sites/{site}/agents/{agent}/revoke",
                vec![&self.site, &self.agent],
                nothing(),
            ),
            (
                "POST /api/auth/confirm",
                vec![],
                json!({"password": PASSWORD}),
            ),
            (
                "POST /api/sites/{site}/join-token",
                vec![&self.site],
                nothing(),
            ),
            ("POST /api/packages", vec![], package("New")),
            (
                "PUT /api/packages/{package}",
                vec![&self.package],
                json!({"price": 900}),
            ),
            ("POST /api/nas", vec![], router),
            (
                "PUT /api/nas/{router}",
                vec![&self.router],
                json!({"location": "Hill"}),
            ),
            ("POST /api/customers", vec![], new_customer),
            (
                "POST /api/imports/{import}/undo",
                vec![&self.import],
                nothing(),
            ),
            (
                "PUT /api/customers/{customer}",
                customer.clone(),
                json!({"name": "Imani"}),
            ),
            (
                "PUT /api/customers/{customer}",
                customer.clone(),
                json!({"dataUsed": 0}),
            ),
            (
                "PUT /api/customers/{customer}",
                customer.clone(),
                json!({"password": "another"}),
            ),
            (
                "POST /api/customers/{customer}/suspend",
                customer.clone(),
                nothing(),
            ),
            (
                "POST /api/customers/{customer}/activate",
                customer.clone(),
                nothing(),
            ),
            (
                "POST /api/customers/{customer}/pause",
                customer.clone(),
                nothing(),
            ),
            (
                "POST /api/customers/{customer}/resume",
                customer.clone(),
                nothing(),
            ),
            (
                "POST /api/customers/{customer}/promise",
                customer.clone(),
                json!({"days": 1}),
            ),
            (
                "POST /api/customers/{customer}/send-message",
                customer.clone(),
                json!({"message": "We come at ten."}),
            ),
            (
                "POST /api/customers/{customer}/notes",
                customer.clone(),
                json!({"text": "The gate is green."}),
            ),
            (
                "DELETE /api/customers/{customer}/notes/{note}",
                vec![&self.customer, &self.note],
                nothing(),
            ),
            (
                "PUT /api/tenant/courtesy",
                vec![],
                json!({"promiseDays": 5}),
            ),
            (
                "PUT /api/customers/{customer}/expiry",
                customer.clone(),
                expiry,
            ),
            (
                "PUT /api/customers/{customer}/package",
                customer.clone(),
                to_spare,
            ),
            (
                "PUT /api/customers/{customer}/package",
                customer.clone(),
                back,
            ),
            (
                "POST /api/customers/{customer}/override-plan",
                customer.clone(),
                speed,
            ),
            (
                "DELETE /api/customers/{customer}/override-plan",
                customer.clone(),
                nothing(),
            ),
            (
                "POST /api/customers/{customer}/speed-boost",
                customer.clone(),
                boost,
            ),
            (
                "POST /api/customers/{customer}/assign-ip",
                customer.clone(),
                json!({"ipAddress": "10.1.1.1"}),
            ),
            (
                "POST /api/customers/{customer}/mac-lock",
                customer.clone(),
                nothing(),
            ),
            (
                "POST /api/customers/{customer}/mac-reset",
                customer.clone(),
                nothing(),
            ),
            (
                "POST /api/customers/{customer}/unlock-code",
                customer.clone(),
                json!({"hours": 4}),
            ),
            (
                "POST /api/customers/{customer}/disconnect",
                customer.clone(),
                nothing(),
            ),
            (
                "POST /api/customers/{customer}/recharge",
                customer,
                json!({"amount": 7}),
            ),
            ("POST /api/payments/manual", vec![], asked.clone()),
            (
                "POST /api/payments/{payment}/allocate",
                vec![&self.held],
                json!({"customerId": self.customer}),
            ),
            (
                "POST /api/payments/intents/{intent}/reviewed",
                vec![&self.doubtful],
                json!({"reason": "It is in the statement once."}),
            ),
            (
                "POST /api/payments/inquiries",
                vec![],
                json!({"receipt": "SJK4H7L2PQ"}),
            ),
            (
                "POST /api/payments/{payment}/refunds",
                vec![&self.sent[2]],
                json!({"service": "KEEP", "reason": "x"}),
            ),
            (
                "POST /api/payments/refunds/{refund}/approve",
                vec![&self.asked_back[0]],
                nothing(),
            ),
            (
                "POST /api/payments/refunds/{refund}/decline",
                vec![&self.asked_back[1]],
                nothing(),
            ),
            (
                "POST /api/payments/refunds/{refund}/outcome",
                vec![&self.asked_back[2]],
                json!({"sent": false}),
            ),
            (
                "POST /api/payment-gateways/{gateway}/register-c2b",
                gateway.clone(),
                nothing(),
            ),
            ("POST /api/payments/mpesa/stk", vec![], asked),
            ("POST /api/payment-gateways", vec![], second),
            (
                "PUT /api/payment-gateways/{gateway}",
                gateway.clone(),
                json!({"name": "Other"}),
            ),
            (
                "POST /api/payment-gateways/{gateway}/default",
                gateway.clone(),
                nothing(),
            ),
            ("POST /api/vouchers", vec![], vouchers),
            ("POST /api/vouchers/redeem", vec![], code),
            (
                "DELETE /api/vouchers/{voucher}",
                vec![&self.voucher],
                nothing(),
            ),
            ("POST /api/sessions/cleanup", vec![], nothing()),
            (
                "POST /api/radius/disconnect",
                vec![],
                json!({"username": "imani"}),
            ),
            (
                "DELETE /api/sessions/{session}",
                vec![&self.session],
                nothing(),
            ),
            (
                "DELETE /api/payments/manual/{payment}",
                vec![&self.payment],
                nothing(),
            ),
            ("DELETE /api/payments/manual", vec![], nothing()),
            ("DELETE /api/payment-gateways/{gateway}", gateway, nothing()),
            (
                "DELETE /api/customers/{customer}",
                vec![&self.spare_customer],
                nothing(),
            ),
            (
                "POST /api/customers/{customer}/restore",
                vec![&self.spare_customer],
                nothing(),
            ),
            (
                "POST /api/customers/{customer}/erase",
                vec![&self.spare_customer],
                json!({"reason": "Asked by letter", "confirm": "spare"}),
            ),
            (
                "DELETE /api/packages/{package}",
                vec![&self.spare_package],
                nothing(),
            ),
            (
                "DELETE /api/nas/{router}",
                vec![&self.spare_router],
                nothing(),
            ),
            (
                "POST /api/wizard/start",
                vec![],
                json!({"routerId": self.new_router, "agents": ["10.9.0.3"]}),
            ),
            (
                "POST /api/wizard/{router}/save-state",
                vec![&self.new_router],
                json!({"page": 2}),
            ),
            (
                "DELETE /api/wizard/{router}",
                vec![&self.new_router],
                nothing(),
            ),
            (
                "POST /api/finance/accounts",
                vec![],
                json!({"code": "5901", "name": "Fuel", "type": "Expense"}),
            ),
            (
                "DELETE /api/finance/accounts/{account}",
                vec![&self.account],
                nothing(),
            ),
            ("POST /api/finance/income", vec![], income()),
            (
                "DELETE /api/finance/income/{income}",
                vec![&self.income],
                nothing(),
            ),
            ("POST /api/finance/expenses", vec![], expense()),
            (
                "POST /api/finance/expenses/{expense}/stop",
                vec![&self.expense],
                nothing(),
            ),
            (
                "DELETE /api/finance/expenses/{expense}",
                vec![&self.expense],
                nothing(),
            ),
            (
                "PUT /api/finance/lock",
                vec![],
                json!({"until": "2027-01-01"}),
            ),
            (
                "PUT /api/finance/taxes",
                vec![],
                json!({"taxes": [{"name": "VAT", "rate": 16}]}),
            ),
            (
                "POST /api/fiscal/documents/{document}/retry",
                vec![&self.document],
                nothing(),
            ),
            ("PUT /api/fiscal/settings", vec![], fiscal()),
            ("PUT /api/tenant/billing", vec![], json!({"billingDay": 5})),
            ("PUT /api/tenant/prepaid", vec![], json!({"taxed": true})),
            (
                "PUT /api/customers/{customer}/billing",
                vec![&self.customer],
                json!({"postpaid": true}),
            ),
            (
                "POST /api/outages/extend",
                vec![],
                json!({"siteId": self.site, "hours": 1}),
            ),
            ("POST /api/finance/invoices", vec![], bill(&self.customer)),
            (
                "POST /api/finance/invoices/{invoice}/credit-notes",
                vec![&self.invoice],
                json!({"amount": 0.5}),
            ),
            (
                "PUT /api/finance/invoices/{invoice}/status",
                vec![&self.invoice],
                json!({"status": "cancelled"}),
            ),
            ("PUT /api/auth/password", vec![], passwords),
            ("POST /api/auth/logout", vec![], nothing()),
        ]
    }

    /// What operators did; jobs and providers write lines of their own at any time.
    async fn trail(&self, world: &World) -> Result<BTreeSet<Line>> {
        let mut tx = world.db().begin(self.tenant).await?;
        let lines: Vec<Line> = sqlx::query_as(
            "select id, actor_id, ip_address from audit where actor_kind in ('OPERATOR', 'PLATFORM')",
        )
        .fetch_all(&mut *tx)
        .await?;
        Ok(lines.into_iter().collect())
    }
}

/// Payments, and refunds of some of them that somebody else asked for.
/// A prompt that was paid, and told of once more with another receipt.
async fn doubtful(world: &World, isp: &Provider) -> Result<String> {
    let phone = "254712345698";
    let until = world.clock.now().plus(DAY);
    let payer = isp.add_subscriber("doubtful", phone, until).await?;
    let mpesa = &world.outside.mpesa;
    mpesa.script(phone, Payer::prompt());
    let checkout = isp.ask_to_pay(&payer, 1000).await?;
    let prompt = soon("he pays", mpesa.called_back(&checkout, 1)).await?;
    c2b::worked(world, isp).await?;
    let second = callback::paid(&prompt, "SJK4H7L2PZ", "1000.0", "20270115120000");
    assert_eq!(c2b::post(&prompt.callback_url, &second).await?, 200);
    c2b::worked(world, isp).await?;
    let listed = isp.owner.get("/payments/mpesa?review=true").await?;
    let intent = &listed["transactions"][0]["intentId"];
    Ok(intent.as_str().context("a review")?.to_owned())
}

async fn asked_back(world: &World, isp: &Provider) -> Result<(Vec<String>, Vec<String>)> {
    isp.owner.name_initiator().await?;
    let clerk =
        json!({"name": "Clerk", "email": "clerk@trail.isp", "password": PASSWORD, "role": "ADMIN"});
    isp.owner.post("/tenant/operators", &clerk).await?;
    let clerk = Operator::login(world.api(), "clerk@trail.isp", PASSWORD).await?;
    let (mut payments, mut refunds) = (Vec::new(), Vec::new());
    for number in 0..4 {
        let receipt = c2b::pay(world, "0799000111", "6", "who knows").await?;
        c2b::worked(world, isp).await?;
        let known = c2b::lookup(isp, &format!("receipt={receipt}")).await?;
        let payment = id(&known["payments"][0])?;
        if number != 2 {
            let wish = json!({"service": "KEEP", "reason": "x"});
            let refund = clerk
                .post(&format!("/payments/{payment}/refunds"), &wish)
                .await?;
            refunds.push(id(&refund)?);
        }
        payments.push(payment);
    }
    // M-Pesa neither does nor answers what is asked of it.
    world.outside.mpesa.script_errands(Errand {
        answer: PushAnswer::Lost,
        ..Errand::default()
    });
    let last = format!("/payments/refunds/{}", refunds[2]);
    isp.owner
        .post(&format!("{last}/approve"), &json!({}))
        .await?;
    world::eventually("nobody knows", async || {
        Ok((isp.owner.get(&last).await?["state"] == "UNKNOWN").then_some(()))
    })
    .await?;
    Ok((payments, refunds))
}

fn api_key() -> Value {
    json!({"name": "Books", "permissions": ["sms:view"], "password": PASSWORD})
}

fn income() -> Value {
    json!({"customerName": "Mast tenant", "amount": 5, "method": "Cash"})
}

fn expense() -> Value {
    json!({"description": "Office", "category": "Rent", "amount": 5, "date": "2027-01-15",
        "isRecurring": true})
}

fn bill(customer: &str) -> Value {
    json!({"customerId": customer, "amount": 5, "dueDate": "2027-12-15",
        "items": [{"description": "Cable", "amount": 5}]})
}

fn fiscal() -> Value {
    json!({"provider": "KE_ETIMS", "taxpayerPin": "P051234567X", "controlUnit": "KRACU01",
        "key": "key", "itemCode": "KE3NTU1", "itemClass": "8111"})
}

fn webhook() -> Value {
    json!({"url": "https://127.0.0.1:1024/hook", "events": ["voucher.used"]})
}

fn operator(name: &str) -> Value {
    json!({"name": name, "email": format!("{name}@trail.isp"), "password": PASSWORD, "role": "STAFF"})
}

fn package(name: &str) -> Value {
    json!({"name": name, "type": "PPPOE", "price": 1000, "downloadSpeed": 10, "uploadSpeed": 10})
}

fn id(thing: &Value) -> Result<String> {
    Ok(thing["id"].as_str().context("an id")?.to_owned())
}
