//! The hotspot's pages for the provider's own eyes: the same templates, with what a router would fill in filled in.

use std::sync::Arc;

use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::IntoResponse;
use easyisp_shared::id::TenantId;

use super::pages::{Page, SCRIPT, Whose, api_base, constants, escaped};
use crate::api::{Path, Query};
use crate::config::Config;
use crate::db::Database;
use crate::error::ApiError;
use crate::packages::{self, Offer};
use crate::tenants;

/// `GET /portal-preview/{file}?tenantId=`: `login.html` with what the tenant sells, `status.html`, `error.html`, and what
/// these load: `styles.css`, `script.js`, `config.js`. Nobody gets online by it, and it holds no secret. 404 for any other
/// file, and for nobody's.
pub async fn file(
    State(db): State<Database>,
    State(config): State<Arc<Config>>,
    Path(file): Path<String>,
    Query(whose): Query<Whose>,
) -> Result<impl IntoResponse, ApiError> {
    let tenant = whose.tenant_id;
    let mut tx = db.begin(tenant).await?;
    let brand = tenants::brand(&mut tx).await?;
    let brand = brand.ok_or(ApiError::NotFound("page"))?;
    let api = api_base(&config);
    let (kind, text) = match file.as_str() {
        "config.js" => (SCRIPT, constants(tenant, &api)),
        other => {
            let page = Page::named(other).ok_or(ApiError::NotFound("page"))?;
            let offers = packages::offers(&mut tx, None).await?;
            let rows: String = offers.iter().map(row).collect();
            let text = page.filled(&brand, tenant, &api, &rows);
            (page.kind, shown(&text, tenant))
        }
    };
    // Who changes his name or a price looks at it at once.
    let headers = [(CONTENT_TYPE, kind), (CACHE_CONTROL, "no-cache")];
    Ok((headers, text))
}

fn row(offer: &Offer) -> String {
    let text = format!(
        "{}: {}, {}, {}, {}",
        offer.name, offer.price, offer.speed, offer.duration, offer.data
    );
    format!("<li>{}</li>", escaped(&text))
}

/// What a router shows a guest who has just come, or is online; its links lead on within the preview, and its forms
/// nowhere.
fn shown(text: &str, tenant: TenantId) -> String {
    let mut text = text.to_owned();
    for unseen in ["error", "refresh-timeout"] {
        text = without(&text, &format!("$(if {unseen})"));
    }
    text = text.replace("$(if session-time-left)", "");
    text = text.replace("$(endif)", "");
    for file in ["styles.css", "script.js"] {
        text = text.replace(
            &format!("=\"{file}\""),
            &format!("=\"{file}?tenantId={tenant}\""),
        );
    }
    let login = format!("login.html?tenantId={tenant}");
    for form in ["link-login-only", "link-logout"] {
        let form = format!("<form action=\"$({form})\" method=\"post\">");
        text = text.replace(&form, "<form method=\"dialog\">");
    }
    for (name, value) in [
        ("link-login", login.as_str()),
        ("error", "invalid username or password"),
        ("mac", "02:00:00:00:00:01"),
        ("session-time-left", "48m"),
        ("uptime", "12m"),
        ("bytes-out-nice", "38.2 MiB"),
        ("bytes-in-nice", "4.1 MiB"),
    ] {
        text = text.replace(&format!("$({name})"), value);
    }
    text
}

/// Without what stands between a condition and its end.
fn without(text: &str, condition: &str) -> String {
    const END: &str = "$(endif)";
    let Some((before, rest)) = text.split_once(condition) else {
        return text.to_owned();
    };
    let after = rest.split_once(END).map_or("", |(_, after)| after);
    format!("{before}{after}")
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use uuid::Uuid;

    use super::*;
    use crate::tenants::Brand;

    #[test]
    fn nothing_is_left_for_a_router_to_fill_in() {
        let brand = Brand {
            name: "Mast".to_owned(),
            phone: None,
            colour: None,
        };
        let tenant = TenantId(Uuid::from_u128(7));
        for file in ["login.html", "status.html", "error.html"] {
            let page = Page::named(file).unwrap();
            let text = shown(&page.filled(&brand, tenant, "/api", ""), tenant);
            assert!(!text.contains("$(") && !text.contains("{{"), "{text}");
            assert!(
                text.contains(&format!("styles.css?tenantId={tenant}")),
                "{text}"
            );
            assert!(!text.contains("method=\"post\""), "{text}");
        }
    }
}
