//! The hotspot's pages: files that a router serves to guests who are not online yet.
//!
//! They are read by a phone with one bar of signal: a few hundred octets each, nothing from elsewhere, and they work
//! without a script, too. What stands in `$(…)` is the router's to fill in.

use std::sync::Arc;

use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::IntoResponse;
use easyisp_shared::id::{RouterId, TenantId};
use serde::Deserialize;
use serde_json::json;

use crate::api::{Path, Query};
use crate::config::Config;
use crate::db::Database;
use crate::error::ApiError;
use crate::routers;
use crate::tenants::{self, Brand};

/// Whose hotspot it is.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Whose {
    pub(super) tenant_id: TenantId,
}

/// `GET /provision/hotspot/{file}?tenantId=`: `login.html`, `status.html`, `error.html`, `styles.css` or `script.js`, with
/// the name, the colour and the phone number of a tenant filled in. 404 for any other file, and for nobody's.
pub async fn file(
    State(db): State<Database>,
    State(config): State<Arc<Config>>,
    Path(file): Path<String>,
    Query(whose): Query<Whose>,
) -> Result<impl IntoResponse, ApiError> {
    let page = Page::named(&file).ok_or(ApiError::NotFound("page"))?;
    let mut tx = db.begin(whose.tenant_id).await?;
    let brand = tenants::brand(&mut tx).await?;
    let brand = brand.ok_or(ApiError::NotFound("page"))?;
    let headers = [
        (CONTENT_TYPE, page.kind),
        (CACHE_CONTROL, "public, max-age=300"),
    ];
    // What is sold is asked for when the page is shown: it stays on the router for years.
    let url = api_base(&config);
    Ok((headers, page.filled(&brand, whose.tenant_id, &url, "")))
}

/// `GET /provision/hotspot-config/{router}`: `window.EASYISP_CONFIG` for a page that somebody made himself and put on a
/// router: whose it is, and where the API is. No secret. 404 for an id that no router has.
pub async fn config(
    State(db): State<Database>,
    State(config): State<Arc<Config>>,
    Path(router): Path<RouterId>,
) -> Result<impl IntoResponse, ApiError> {
    let tenant = routers::tenant_of(&db, router).await?;
    let tenant = tenant.ok_or(ApiError::NotFound("router"))?;
    let headers = [
        (CONTENT_TYPE, SCRIPT),
        (CACHE_CONTROL, "public, max-age=300"),
    ];
    Ok((headers, constants(tenant, &api_base(&config))))
}

/// Where pages find the API: with `/api`, as every client of it takes its base. Of this server where nobody says what it
/// is called outside.
pub(super) fn api_base(config: &Config) -> String {
    let url = config.http.public_url.as_deref().unwrap_or_default();
    format!("{}/api", url.trim_end_matches('/'))
}

/// A script that tells a page whose it is.
pub(super) fn constants(tenant: TenantId, api: &str) -> String {
    format!("window.EASYISP_CONFIG = {};\n", whose(tenant, api))
}

fn whose(tenant: TenantId, api: &str) -> String {
    let config = json!({"tenantId": tenant, "apiBaseUrl": api});
    // What would end the script, or be the router's to fill in.
    config
        .to_string()
        .replace('<', "\\u003c")
        .replace('$', "\\u0024")
}

pub(super) struct Page {
    pub kind: &'static str,
    text: &'static str,
}

impl Page {
    pub fn named(file: &str) -> Option<Page> {
        let (kind, text) = match file {
            "login.html" => (HTML, include_str!("../pages/login.html")),
            "status.html" => (HTML, include_str!("../pages/status.html")),
            "error.html" => (HTML, include_str!("../pages/error.html")),
            "styles.css" => (
                "text/css; charset=utf-8",
                include_str!("../pages/styles.css"),
            ),
            "script.js" => (SCRIPT, include_str!("../pages/script.js")),
            _ => return None, // a name from the network
        };
        Some(Page { kind, text })
    }

    /// With what is the tenant's; `packages` are rows of its list, as markup.
    pub fn filled(&self, brand: &Brand, tenant: TenantId, api: &str, packages: &str) -> String {
        let help = brand.phone.as_deref().map_or_else(String::new, |phone| {
            format!("<p class=\"small\">Help: {}</p>", escaped(phone))
        });
        let colour = brand.colour.as_deref().filter(|text| is_colour(text));
        self.text
            .replace("{{packages}}", packages)
            .replace("{{config}}", &whose(tenant, api))
            .replace("{{color}}", colour.unwrap_or("#0b5"))
            .replace("{{help}}", &help)
            .replace("{{name}}", &escaped(&brand.name))
    }
}

/// Text of people in a page, for browsers and for the router alike: that one fills in what stands in `$(…)`.
pub(super) fn escaped(text: &str) -> String {
    let mut all = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' | '<' | '>' | '"' | '\'' | '$' | '{' => {
                all.push_str(&format!("&#{};", u32::from(letter)));
            }
            other => all.push(other), // every other letter is only itself
        }
    }
    all
}

/// `#0b5` or `#00bb55`.
fn is_colour(text: &str) -> bool {
    let digits = text.strip_prefix('#').unwrap_or_default();
    matches!(digits.len(), 3 | 6) && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
}

const HTML: &str = "text/html; charset=utf-8";
pub(super) const SCRIPT: &str = "text/javascript; charset=utf-8";

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use uuid::Uuid;

    use super::*;

    const FILES: [&str; 5] = [
        "login.html",
        "status.html",
        "error.html",
        "styles.css",
        "script.js",
    ];

    fn filled(file: &str, name: &str) -> String {
        let brand = Brand {
            name: name.to_owned(),
            phone: Some("0712 <345>".to_owned()),
            colour: Some("red;}body{opacity:0".to_owned()),
        };
        let tenant = TenantId(Uuid::from_u128(7));
        let page = Page::named(file).unwrap();
        page.filled(
            &brand,
            tenant,
            "https://isp.example.com/$(mac)</script>",
            "",
        )
    }

    #[test]
    fn nothing_of_people_becomes_markup_a_script_or_the_routers_word() {
        for file in FILES {
            let plain = filled(file, "Mast");
            let hostile = filled(file, "<b>\"$(error)' {{config}}</b>");
            assert!(!plain.contains("{{"), "{file}");
            assert!(!hostile.contains("<b>"), "{file}");
            assert_eq!(plain.matches("$(").count(), hostile.matches("$(").count());
            assert_eq!(
                plain.matches("</script>").count(),
                plain.matches("<script").count()
            );
            assert!(!plain.contains("opacity:0") && !plain.contains("<345>"));
            // One bar of signal.
            assert!(plain.len() < 2048, "{file}: {}", plain.len());
        }
        assert!(Page::named("../login.html").is_none());
    }

    /// Without a script, by `http-pap`: the code alone, its password left empty.
    #[test]
    fn a_voucher_is_one_field_of_a_form_to_the_router() {
        let login = filled("login.html", "Mast");
        for held in [
            "action=\"$(link-login-only)\" method=\"post\"",
            "name=\"password\" value=\"\"",
            "$(if error)",
            "$(mac)",
        ] {
            assert!(login.contains(held), "{held}");
        }
    }
}
