//! What sites know of router logins.

use std::sync::Arc;

use easyisp_shared::wire::Down;
use easyisp_shared::wire::down::{RouterLoginV1, secret_place};
use uuid::Uuid;

use super::PASSWORD;
use super::store;
use crate::db::{Kind, Lister, Projection, Projector, Tx};
use crate::secrets::{SecretError, Secrets};

/// Projects logins to every site of a tenant that switched them on: all of them, or the one router's.
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

/// Names all logins.
pub fn lister() -> Lister {
    Arc::new(|tx, after, most| Box::pin(store::every_id(tx, after, most)))
}

async fn project(
    tx: &mut Tx,
    ids: &[Uuid],
    secrets: &Secrets,
) -> Result<Vec<Projection>, SecretError> {
    let key = secrets.tenant(tx).await?;
    let mut site_keys = secrets.site_keys();
    let mut projections = Vec::new();
    for row in store::for_sites(tx, ids).await? {
        let site_key = site_keys.of(tx, row.site_id).await?;
        let stored = row.stored;
        let id = stored.id.0;
        let clear = key.open(PASSWORD, id, &stored.password_sealed)?;
        let place = secret_place(Kind::RouterLogin, id, "password");
        let body = Down::RouterLogin(RouterLoginV1 {
            login: stored.id,
            username: stored.username.into_bytes(),
            password: site_key.seal_same(&place, &clear),
            group: stored.router_group,
            router: stored.router_id,
        });
        projections.push(Projection {
            id,
            site: row.site_id,
            body: body.encode(),
        });
    }
    Ok(projections)
}
