//! Two providers and their customers.

use anyhow::{Context, Result};
use easyisp_shared::time::Timestamp;
use easyisp_tests::mpesa::App;
use easyisp_tests::operator::Operator;
use easyisp_tests::world::{PASSWORD, Provider, World};
use serde_json::{Value, json};
use uuid::Uuid;

use super::model::Plan;

/// Who pays: the first is a customer of both providers, the last of none.
pub const PHONES: [&str; 6] = [
    "254712345601",
    "254712345602",
    "254712345603",
    "254712345604",
    "254712345605",
    "254799000111",
];

/// A provider.
pub struct Isp {
    pub name: &'static str,
    pub provider: Provider,
    /// Asks for money to be sent back, which the owner approves.
    pub clerk: Operator,
    /// Sells out of a float.
    pub seller: Operator,
    pub seller_id: Uuid,
    pub tenant: Uuid,
    pub code: String,
    pub gateway: String,
    /// M-Pesa lists for it what has moved.
    pub pulls: bool,
    pub people: Vec<Person>,
    pub packages: Vec<Package>,
    pub codes: Vec<String>,
}

/// A customer.
pub struct Person {
    pub name: String,
    pub id: Uuid,
    pub phone: &'static str,
    pub account: String,
    pub renews: bool,
    pub hotspot: bool,
    /// Which package he has.
    pub package: usize,
}

/// What is sold.
pub struct Package {
    pub id: Uuid,
    pub hotspot: bool,
    pub plan: Plan,
}

impl Isp {
    /// Signs a provider up with his pay bill, four packages, four customers and vouchers.
    pub async fn open(world: &World, name: &'static str, code: &str, pulls: bool) -> Result<Isp> {
        let provider = Provider::sign_up(world, name).await?;
        provider.subscribe(world).await?;
        let app = App::paybill(code);
        world.outside.mpesa.add_app(app.clone());
        let gateway = json!({"type": "MPESA_API", "subType": "PAYBILL", "shortcode": code,
            "consumerKey": app.key, "consumerSecret": app.secret, "passkey": app.passkey, "env": "sandbox",
            "pullEnabled": pulls, "pullNumber": "0722000000", "forHotspot": true, "forPppoe": true});
        let owner = &provider.owner;
        let gateway = text(&owner.post("/payment-gateways", &gateway).await?, "id")?;
        owner
            .post(
                &format!("/payment-gateways/{gateway}/register-c2b"),
                &json!({}),
            )
            .await?;

        owner.name_initiator().await?;
        let email = format!("clerk@{name}.example");
        let clerk = json!({"name": "Clerk", "email": email, "password": PASSWORD, "role": "ADMIN"});
        owner.post("/tenant/operators", &clerk).await?;
        let clerk = Operator::login(world.api(), &email, PASSWORD).await?;

        let email = format!("seller@{name}.example");
        let seller =
            json!({"name": "Seller", "email": email, "password": PASSWORD, "role": "ADMIN"});
        let seller_id = text(&owner.post("/tenant/operators", &seller).await?, "id")?;
        let seller = Operator::login(world.api(), &email, PASSWORD).await?;
        let sells = json!({"active": true});
        owner
            .put(&format!("/finance/sellers/{seller_id}"), &sells)
            .await?;

        let mut packages = Vec::new();
        for (title, hotspot, shillings, minutes) in [
            ("Day", false, 100, 1_440),
            ("Week", false, 450, 10_080),
            ("Hour", true, 20, 60),
            ("Evening", true, 50, 300),
        ] {
            let kind = if hotspot { "HOTSPOT" } else { "PPPOE" };
            let package = json!({"name": title, "type": kind, "price": shillings, "downloadSpeed": 4,
                "uploadSpeed": 2, "sessionTime": minutes});
            packages.push(Package {
                id: text(&owner.post("/packages", &package).await?, "id")?.parse()?,
                hotspot,
                plan: Plan {
                    price: shillings * 100,
                    secs: minutes * 60,
                },
            });
        }
        let own = match pulls {
            true => [0, 1, 2],
            false => [0, 3, 4],
        };
        let mut people = Vec::new();
        for (nth, title) in ["anna", "beno", "cate"].into_iter().enumerate() {
            let (hotspot, package) = [(false, 0), (true, 2), (false, 1)][nth];
            let (phone, renews) = (PHONES[own[nth]], nth != 2);
            let kind = if hotspot { "HOTSPOT" } else { "PPPOE" };
            let until: Timestamp = world.clock.now();
            let customer = json!({"username": title, "password": title, "name": format!("{title} of {name}"),
                "phone": phone, "connectionType": kind, "packageId": packages[package].id,
                "expiresAt": until.to_string(), "autoRenew": renews});
            let id: Uuid = text(&owner.post("/customers", &customer).await?, "id")?.parse()?;
            let shown = provider.customer(&id.to_string()).await?;
            people.push(Person {
                name: title.to_owned(),
                id,
                phone,
                account: text(&shown, "accountNumber")?,
                renews,
                hotspot,
                package,
            });
        }
        let vouchers = json!({"count": 4, "packageId": packages[2].id, "type": "HOTSPOT"});
        let made = owner.post("/vouchers", &vouchers).await?;
        let codes = made["codes"].as_array().context("codes")?;
        let codes = codes.iter().filter_map(Value::as_str).map(str::to_owned);
        Ok(Isp {
            name,
            tenant: provider.tenant().await?.0,
            code: code.to_owned(),
            gateway,
            pulls,
            people,
            packages,
            codes: codes.collect(),
            clerk,
            seller,
            seller_id: seller_id.parse()?,
            provider,
        })
    }
}

fn text(answer: &Value, field: &str) -> Result<String> {
    let text = answer[field].as_str();
    Ok(text
        .with_context(|| format!("{field} of {answer}"))?
        .to_owned())
}
