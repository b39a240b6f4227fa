//! Who may call what: every route that asks for a permission, called by every role.

use anyhow::Result;
use easyisp_cloud::api::Access;
use easyisp_cloud::auth::Role;
use reqwest::StatusCode;
use serde_json::json;

use crate::cloud::{PASSWORD, given_cloud};
use crate::operators::{enter, sign_in};
use crate::routes::filled;

#[tokio::test]
async fn every_role_gets_what_its_permissions_say_and_nothing_else() -> Result<()> {
    let ours = given_cloud().await?;
    let owner = ours.given_owner("acme").await?;
    let (mut let_in, mut kept_out) = (0, 0);
    for (name, role) in [
        ("ADMIN", Role::Admin),
        ("CUSTOMER_CARE", Role::CustomerCare),
        ("FIELD_TECH", Role::FieldTech),
        ("VIEWER", Role::Viewer),
        ("STAFF", Role::Staff),
    ] {
        let person = name.to_lowercase();
        let made = enter(&owner, &person, name).await?;
        assert_eq!(made.status, StatusCode::CREATED, "{:?}", made.body);
        let client = sign_in(&ours, &person, PASSWORD).await?;
        for route in easyisp_cloud::routes().infos() {
            let Access::Any(permissions) = route.access else {
                continue;
            };
            let path = filled(&route.path);
            let request = client.request(route.method.parse()?, &path);
            let answer = client.send(request.json(&json!({}))).await?;
            let shown = format!("{name}: {} {path}: {:?}", route.method, answer.body);
            if role.defaults().has_any(permissions) {
                // A body may be wanting, a thing unknown, and a deed finer than its route.
                assert_ne!(answer.status, StatusCode::UNAUTHORIZED, "{shown}");
                let_in += 1;
            } else {
                assert_eq!(answer.status, StatusCode::FORBIDDEN, "{shown}");
                assert_eq!(answer.code(), "PERMISSION_MISSING", "{shown}");
                kept_out += 1;
            }
        }
    }
    assert!(let_in > 100 && kept_out > 100, "{let_in} and {kept_out}");
    Ok(())
}
