//! Every route there is, walked: who may, what the description says, what strangers get.

use anyhow::Result;
use easyisp_cloud::api::Access;
use reqwest::{Method, StatusCode};
use serde_json::Value;

use crate::cloud::given_cloud;

const SOME_ID: &str = "0190e7a0-0000-7000-8000-000000000000";

#[tokio::test]
async fn every_route_is_described_with_whom_it_is_for() -> Result<()> {
    let ours = given_cloud().await?;
    let served = ours.anonymous().get("/api/openapi.json").await?.body;
    let printed: Value = serde_json::from_str(&easyisp_cloud::openapi().to_json()?)?;
    assert_eq!(served, printed);

    let routes = easyisp_cloud::routes().infos();
    let operations: usize = served["paths"]
        .as_object()
        .expect("paths")
        .values()
        .map(|item| item.as_object().expect("an item").len())
        .sum();
    assert_eq!(routes.len(), operations);
    for route in &routes {
        let operation = &served["paths"][&route.path][route.method.to_lowercase()];
        let text = operation["description"].as_str().unwrap_or_default();
        assert!(!text.is_empty(), "{} {}", route.method, route.path);
        let open = matches!(route.access, Access::Public | Access::Token);
        assert_eq!(operation.get("security").is_none(), open, "{}", route.path);
        if let Access::Any(permissions) = route.access {
            assert!(!permissions.is_empty(), "{} is open to nobody", route.path);
        }
    }
    Ok(())
}

#[tokio::test]
async fn strangers_get_401_everywhere_but_on_open_routes() -> Result<()> {
    let ours = given_cloud().await?;
    let anonymous = ours.anonymous();
    let forged = anonymous.with(&"A".repeat(43));
    for route in easyisp_cloud::routes().infos() {
        if matches!(route.access, Access::Public | Access::Token) {
            continue;
        }
        let method: Method = route.method.parse()?;
        let path = filled(&route.path);
        for client in [&anonymous, &forged] {
            let answer = client.send(client.request(method.clone(), &path)).await?;
            assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{method} {path}");
            assert_eq!(answer.code(), "UNAUTHORIZED");
        }
    }
    Ok(())
}

/// The path with an id in place of each parameter.
pub fn filled(path: &str) -> String {
    let part = |part: &str| match part.starts_with('{') {
        true => SOME_ID.to_owned(),
        false => part.to_owned(),
    };
    path.split('/').map(part).collect::<Vec<_>>().join("/")
}
