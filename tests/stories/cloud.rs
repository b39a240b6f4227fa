//! What stories about the API begin with: a cloud of their own and clients that know nothing of it.

use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroU32;

use anyhow::{Context, Result};
use easyisp_cloud::config::Config;
use easyisp_cloud::{Cloud, DatabaseSource, Options};
use easyisp_shared::entropy::Entropy;
use easyisp_shared::time::{Clock, Timestamp};
use easyisp_tests::database::{FreshDatabase, fresh_database};
use easyisp_tests::operator::http_client;
use reqwest::header::HeaderMap;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;

pub const PASSWORD: &str = "three-green-bottles";

/// A running cloud, its clock and its database.
pub struct Ours {
    pub cloud: Cloud,
    pub clock: Clock,
    pub database: FreshDatabase,
    _data: TempDir,
}

pub async fn given_cloud() -> Result<Ours> {
    given_cloud_with(|_| {}).await
}

/// With settings of the story's own; rates are raised before, so that only a story about them meets them.
pub async fn given_cloud_with(change: impl FnOnce(&mut Config)) -> Result<Ours> {
    let data = TempDir::new()?;
    let any: SocketAddr = (Ipv4Addr::LOCALHOST, 0).into();
    let mut config = Config {
        data_dir: data.path().to_owned(),
        ..Config::default()
    };
    config.http.listen = any;
    config.agents.listen = any;
    config.metrics.listen = any;
    let many = NonZeroU32::new(1_000_000).expect("not zero");
    config.limits.user_per_second = many;
    config.limits.user_burst = many;
    config.limits.tenant_per_second = many;
    config.limits.address_per_second = many;
    config.limits.address_burst = many;
    config.limits.registrations = many;
    config.limits.password_millis = 0;
    change(&mut config);
    let database = fresh_database().await?;
    let clock = Clock::test(Timestamp::from_secs(1_800_000_000));
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
    Ok(Ours {
        cloud,
        clock,
        database,
        _data: data,
    })
}

impl Ours {
    /// A client without a token.
    pub fn anonymous(&self) -> Client {
        Client {
            base: format!("http://{}", self.cloud.http_addr),
            token: None,
            http: http_client(),
        }
    }

    /// Registers a provider and returns its owner.
    pub async fn given_owner(&self, name: &str) -> Result<Client> {
        let anonymous = self.anonymous();
        let answer = anonymous
            .post("/api/auth/register", &registration(name))
            .await?;
        assert_eq!(answer.status, StatusCode::CREATED, "{:?}", answer.body);
        let token = answer.body["token"].as_str().context("a token")?;
        Ok(anonymous.with(token))
    }
}

pub fn registration(name: &str) -> Value {
    json!({
        "name": format!("{name} owner"),
        "email": format!("owner@{name}.isp"),
        "password": PASSWORD,
        "businessName": format!("{name} networks"),
    })
}

/// Calls the API as a program would.
#[derive(Clone)]
pub struct Client {
    base: String,
    token: Option<String>,
    http: reqwest::Client,
}

/// What came back.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Value,
}

impl Answer {
    /// The error envelope's code, after checking that it is whole.
    pub fn code(&self) -> &str {
        let body = &self.body;
        assert_eq!(body["message"], body["error"], "{body}");
        assert_eq!(body["statusCode"], self.status.as_u16(), "{body}");
        assert!(body["requestId"].is_string(), "{body}");
        body["code"].as_str().expect("a code")
    }
}

impl Client {
    /// The same client with this token.
    pub fn with(&self, token: &str) -> Client {
        Client {
            token: Some(token.to_owned()),
            ..self.clone()
        }
    }

    /// The token, or nothing.
    pub fn token(&self) -> &str {
        self.token.as_deref().unwrap_or_default()
    }

    pub async fn get(&self, path: &str) -> Result<Answer> {
        self.send(self.request(Method::GET, path)).await
    }

    pub async fn post(&self, path: &str, body: &Value) -> Result<Answer> {
        self.send(self.request(Method::POST, path).json(body)).await
    }

    pub async fn put(&self, path: &str, body: &Value) -> Result<Answer> {
        self.send(self.request(Method::PUT, path).json(body)).await
    }

    pub fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.base));
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    pub async fn send(&self, request: reqwest::RequestBuilder) -> Result<Answer> {
        let answer = request.send().await?;
        let (status, headers) = (answer.status(), answer.headers().clone());
        let text = answer.text().await?;
        let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
        Ok(Answer {
            status,
            headers,
            body,
        })
    }
}
