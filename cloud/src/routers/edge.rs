//! What a site knows of its own routers.

use std::sync::Arc;

use easyisp_shared::seal::SealKey;
use easyisp_shared::wire::Down;
use easyisp_shared::wire::down::{MessageAuthenticator, RouterApiV1, RouterV1, secret_place};
use uuid::Uuid;

use super::store::{self, Stored};
use super::{API_PASSWORD, PREVIOUS_SECRET, SECRET};
use crate::db::{Kind, Lister, Projection, Projector, Tx};
use crate::secrets::{SecretError, Secrets, TenantKey};

/// Projects routers to the site they stand at, their secrets sealed under the site's key.
pub fn projector(secrets: Secrets) -> Projector {
    Arc::new(move |tx, ids| {
        let secrets = secrets.clone();
        Box::pin(async move {
            project(tx, ids, &secrets)
                .await
                .map_err(SecretError::into_sqlx)
        })
    })
}

/// Names all routers.
pub fn lister() -> Lister {
    Arc::new(|tx, after, most| Box::pin(store::every_id(tx, after, most)))
}

async fn project(
    tx: &mut Tx,
    ids: &[Uuid],
    secrets: &Secrets,
) -> Result<Vec<Projection>, SecretError> {
    let key = secrets.tenant(tx).await?;
    let mut projections = Vec::new();
    for stored in store::present(tx, ids).await? {
        let site_key = secrets.site_key(tx, stored.site_id).await?;
        projections.push(Projection {
            id: stored.id.0,
            site: stored.site_id,
            body: Down::Router(body(&stored, &key, &site_key)?).encode(),
        });
    }
    Ok(projections)
}

fn body(stored: &Stored, key: &TenantKey, site_key: &SealKey) -> Result<RouterV1, SecretError> {
    let id = stored.id.0;
    // From under the tenant's key to under the site's.
    let reseal = |column: &str, field: &str, sealed: &[u8]| {
        let clear = key.open(column, id, sealed)?;
        Ok::<_, SecretError>(site_key.seal_same(&secret_place(Kind::Router, id, field), &clear))
    };
    let draft = stored.draft();
    let port = u16::try_from(draft.api_port).unwrap_or(8728);
    let api = match (draft.api_username, &stored.api_password_sealed) {
        (Some(user), Some(sealed)) => Some(RouterApiV1 {
            port,
            tls: port == 8729,
            user,
            password: reseal(API_PASSWORD, "api", sealed)?,
        }),
        (None, _) | (_, None) => None,
    };
    Ok(RouterV1 {
        router: stored.id,
        name: draft.name,
        address: draft.ip_address,
        source: draft.source_network.into(),
        secret: reseal(SECRET, "secret", &stored.secret_sealed)?,
        previous_secret: match &stored.previous_secret_sealed {
            Some(sealed) => Some(reseal(PREVIOUS_SECRET, "previous", sealed)?),
            None => None,
        },
        coa_port: u16::try_from(draft.coa_port).unwrap_or(3799),
        message_authenticator: match stored.message_authenticator.as_str() {
            "REQUIRE" => MessageAuthenticator::Require,
            _ => MessageAuthenticator::Learn, // a checked column of two words
        },
        api,
    })
}
