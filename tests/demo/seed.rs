//! A believable small provider.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Result;
use easyisp_shared::time::Timestamp;
use easyisp_tests::operator::Operator;
use serde_json::json;

use crate::ports::Ports;

pub const OWNER: &str = "owner@demo.isp";
pub const OWNER_PASSWORD: &str = "demo-owner-pass";
pub const PLATFORM: &str = "platform@demo.isp";
pub const PLATFORM_PASSWORD: &str = "demo-platform-pass";
pub const SECRET: &str = "demo-secret";
pub const API_USER: &str = "easyisp";
pub const API_PASSWORD: &str = "demo-api-pass";
pub const COMMUNITY: &str = "demo-community";

/// The subscribers that the pretend router keeps online.
pub fn online() -> impl Iterator<Item = String> {
    (11..=20).map(name)
}

fn name(number: u32) -> String {
    format!("demo{number:03}")
}

/// Signs the owner up with a package, a router, a pay bill and 21 customers, the last of them expired.
pub async fn seed(api: SocketAddr, ports: &Ports, now: Timestamp) -> Result<()> {
    let owner = Operator::register(api, "Demo ISP", OWNER, OWNER_PASSWORD).await?;
    let package = owner.add_package("Home 10", 10, 1000, 5).await?;
    let router = owner
        .add_router("Demo router", "127.0.0.0/8", SECRET, ports.coa)
        .await?;
    owner
        .set_router_api(&router, API_USER, API_PASSWORD, ports.router_api)
        .await?;
    let snmp = json!({"nasId": router, "community": COMMUNITY, "port": ports.snmp});
    owner.post("/snmp/settings", &snmp).await?;
    owner.add_paybill().await?;

    let day = Duration::from_secs(86_400);
    for number in 1..=21 {
        let expires_at = match number {
            21 => now.minus(3 * day),
            number => now.plus((5 + number) * day),
        };
        let phone = format!("2547000000{number:02}");
        owner
            .add_customer(&name(number), &package, &phone, &expires_at.to_string())
            .await?;
    }
    Ok(())
}

/// The id of the expired customer.
pub async fn expired_customer(owner: &Operator) -> Result<String> {
    let answer = owner
        .get("/customers?page=1&pageSize=20&search=demo021")
        .await?;
    let id = answer["customers"][0]["id"].as_str();
    Ok(id
        .ok_or_else(|| anyhow::anyhow!("demo021 is gone from this state"))?
        .to_owned())
}
