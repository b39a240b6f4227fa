//! What an operator can name, over HTTP on a whole cloud: customers, packages, routers, sessions.

mod customers;
mod packages;
mod routers;
mod sessions;
mod vouchers;

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::{Context, Result};
use easyisp_cloud::config::Config;
use easyisp_cloud::{Cloud, DatabaseSource, Options};
use easyisp_shared::entropy::Entropy;
use easyisp_shared::id::{SiteId, TenantId};
use easyisp_shared::time::{Clock, Timestamp};
use easyisp_shared::wire::{Down, DownKind};
use easyisp_tests::database::{FreshDatabase, fresh_database};
use easyisp_tests::operator::Operator;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use uuid::Uuid;

/// A cloud with two providers on it: every route is tried by its owner and by the other one.
struct World {
    cloud: Cloud,
    clock: Clock,
    tenant: TenantId,
    /// Of the tenant.
    owner: Operator,
    /// Of another tenant.
    stranger: Operator,
    _data: tempfile::TempDir,
    _database: FreshDatabase,
}

async fn given_world() -> Result<World> {
    let database = fresh_database().await?;
    let data = tempfile::tempdir()?;
    let anywhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let mut config = Config {
        data_dir: data.path().to_owned(),
        ..Config::default()
    };
    config.http.listen = anywhere;
    config.agents.listen = anywhere;
    config.metrics.listen = anywhere;
    let clock = Clock::test(noon());
    let cloud = Cloud::start(Options {
        config,
        clock: clock.clone(),
        entropy: Entropy::system(),
        database: DatabaseSource::Given {
            app: Box::new(database.app()),
            owner: Box::new(database.owner()),
        },
    })
    .await?;
    let api = cloud.http_addr;
    let password = "a-long-password";
    let owner = Operator::register(api, "Acme", "owner@acme.example", password).await?;
    let stranger = Operator::register(api, "Other", "owner@other.example", password).await?;
    let me = owner.get("/tenant/me").await?;
    let tenant = me["id"].as_str().context("the tenant has an id")?;
    Ok(World {
        tenant: tenant.parse()?,
        cloud,
        clock,
        owner,
        stranger,
        _data: data,
        _database: database,
    })
}

fn noon() -> Timestamp {
    Timestamp::parse("2026-01-31T09:00:00Z").unwrap()
}

impl World {
    /// What the tenant's first site is told of a thing: `None` once it is gone.
    async fn told(&self, kind: DownKind, id: &str) -> Result<Option<Down>> {
        let mut tx = self.cloud.app.db.begin(self.tenant).await?;
        let body: Option<Vec<u8>> = sqlx::query_scalar(
            "select body from feed where tenant_id = $1 and kind = $2 and id = $3
              order by version desc limit 1",
        )
        .bind(self.tenant)
        .bind(i16::try_from(kind.code())?)
        .bind(id.parse::<Uuid>()?)
        .fetch_one(&mut *tx)
        .await?;
        Ok(match body {
            Some(body) => Some(Down::decode(kind.code(), &body)?),
            None => None,
        })
    }

    async fn site(&self) -> Result<SiteId> {
        let sites = self.owner.get("/sites").await?;
        Ok(text(&sites["sites"][0]["id"]).parse()?)
    }

    /// Actions in the audit trail, oldest first.
    async fn trail(&self) -> Result<Vec<String>> {
        let mut tx = self.cloud.app.db.begin(self.tenant).await?;
        Ok(
            sqlx::query_scalar("select action from audit where tenant_id = $1 order by id")
                .bind(self.tenant)
                .fetch_all(&mut *tx)
                .await?,
        )
    }

    /// Every one of `calls` answers 404 to the stranger, whatever the body.
    async fn is_hidden_from_strangers(&self, calls: &[(Method, String, Value)]) -> Result<()> {
        for (method, path, body) in calls {
            let (status, answer) = self.stranger.call(method.clone(), path, Some(body)).await?;
            assert_eq!(status, StatusCode::NOT_FOUND, "{method} {path}: {answer}");
        }
        Ok(())
    }

    async fn stop(self) -> Result<()> {
        self.cloud.stop().await
    }
}

/// The refusal's status, code and message.
async fn refused(
    who: &Operator,
    method: Method,
    path: &str,
    body: &Value,
) -> Result<(u16, String, String)> {
    let (status, answer) = who.call(method, path, Some(body)).await?;
    Ok((
        status.as_u16(),
        text(&answer["code"]).to_owned(),
        text(&answer["message"]).to_owned(),
    ))
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn package(name: &str) -> Value {
    json!({"name": name, "type": "PPPOE", "price": 1000, "downloadSpeed": 10, "uploadSpeed": 5})
}

fn customer(username: &str) -> Value {
    json!({
        "username": username, "password": "secret-word", "name": "Jane Doe",
        "connectionType": "PPPOE", "email": "", "phone": "0712345678",
    })
}
