//! `demo cloud`: the cloud with its private database; seeds it the first time.

use std::path::Path;

use anyhow::{Context, Result};
use easyisp_cloud::audit::Actor;
use easyisp_cloud::auth::Email;
use easyisp_cloud::config::Config;
use easyisp_cloud::{Cloud, Options, tenants};
use easyisp_shared::id::TenantId;
use easyisp_tests::operator::Operator;
use serde_json::json;

use crate::child;
use crate::ports::{Ports, loopback};
use crate::seed;

/// Runs until the parent goes; says `ready` with what the parent must know.
pub async fn run(data: &Path, ports: &Ports, invite_agent: bool) -> Result<()> {
    child::log_to_stderr();
    let seeded = data.join("seeded");
    if data.exists() && !seeded.exists() {
        // Cut off half-way the first time: begin anew, there is nothing to lose yet.
        std::fs::remove_dir_all(data)?;
    }
    std::fs::create_dir_all(data)?;
    std::fs::write(data.join("sms.key"), easyisp_tests::sms::API_KEY)?;
    let cloud = Cloud::start(Options::new(config(data, ports))).await?;
    if !seeded.exists() {
        add_platform_owner(&cloud).await?;
        seed::seed(cloud.http_addr, ports, cloud.app.clock.now()).await?;
        activate(&cloud).await?;
        std::fs::write(seeded, "")?;
    }

    let owner = Operator::login(cloud.http_addr, seed::OWNER, seed::OWNER_PASSWORD).await?;
    let join_token = match invite_agent {
        true => Some(owner.join_token().await?),
        false => None,
    };
    child::say_ready(&json!({
        "joinToken": join_token,
        "expiredCustomer": seed::expired_customer(&owner).await?,
    }));
    child::asked_to_stop().await;
    cloud.stop().await
}

fn config(data: &Path, ports: &Ports) -> Config {
    let mut config = Config {
        data_dir: data.to_owned(),
        ..Config::default()
    };
    config.http.listen = loopback(ports.http);
    config.http.public_url = Some(format!("http://{}", loopback(ports.http)));
    config.agents.listen = loopback(ports.quic);
    config.agents.public_address = Some(loopback(ports.quic).to_string());
    config.metrics.listen = loopback(ports.metrics);
    config.mpesa.base_url = Some(format!("http://{}", loopback(ports.outside)));
    config.mpesa.sources = vec![loopback(ports.outside).ip().into()];
    config.airtel.base_url = Some(format!("http://{}", loopback(ports.outside)));
    config.sms.base_url = Some(format!("http://{}", loopback(ports.outside)));
    config.sms.api_key_file = Some(data.join("sms.key"));
    config.sms.partner_id = Some("1".to_owned());
    config.sms.sender_id = Some("DEMO".to_owned());
    config
}

async fn add_platform_owner(cloud: &Cloud) -> Result<()> {
    let app = &cloud.app;
    let email = Email::parse(seed::PLATFORM).context("the demo's address is one")?;
    let password = seed::PLATFORM_PASSWORD.into();
    let hash = app
        .sign_in
        .new_password("the password", &password, &email)
        .await;
    let hash = hash.map_err(|error| error.into_cause())?;
    let now = app.clock.now();
    tenants::create_platform_owner(&app.db, &app.secrets, "Platform owner", &email, &hash, now)
        .await
        .map_err(|error| error.into_cause())?;
    Ok(())
}

/// A demo that stops after seven days of trial would be a poor one.
async fn activate(cloud: &Cloud) -> Result<()> {
    let owner = Operator::login(cloud.http_addr, seed::OWNER, seed::OWNER_PASSWORD).await?;
    let me = owner.get("/tenant/me").await?;
    let tenant: TenantId = me["id"].as_str().context("a tenant's id")?.parse()?;
    let mut tx = cloud.app.db.begin(tenant).await?;
    let now = cloud.app.clock.now();
    tenants::activate_without_end(&mut tx, &Actor::system(), now)
        .await
        .map_err(|error| error.into_cause())?;
    Ok(tx.commit().await?)
}
