//! By which authority a site's boxes are known to devices (802.1X, IKEv2) and routers (RadSec): one for all of them.

use easyisp_shared::time::Timestamp;
use easyisp_shared::wire::enroll::SiteAuthorityV1;
use serde_json::json;
use sha2::{Digest, Sha256};

use super::agents::{self, Agent};
use super::pki;
use super::store::authorities as store;
pub use super::store::authorities::of_site;
use crate::audit::{self, Action, Actor, Audit};
use crate::db::Database;
use crate::secrets::{SecretError, Secrets};

/// What an agent told is not its site's authority.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// It is too long, its key is not sealed under the site's key, or not that of its certificate.
    #[error("this is no authority of this site")]
    Unusable,
    /// The database did not answer, or the site's key does not open.
    #[error(transparent)]
    Secret(#[from] SecretError),
}

impl From<sqlx::Error> for AuthorityError {
    fn from(cause: sqlx::Error) -> AuthorityError {
        AuthorityError::Secret(cause.into())
    }
}

/// Takes an agent's authority for its site's where the site has none, or this agent had the site's until now; the site's,
/// where it is another.
pub async fn tell(
    db: &Database,
    secrets: &Secrets,
    agent: &Agent,
    told: &SiteAuthorityV1,
    now: Timestamp,
) -> Result<Option<SiteAuthorityV1>, AuthorityError> {
    if !told.is_bounded() {
        return Err(AuthorityError::Unusable);
    }
    let mut tx = db.begin(agent.tenant).await?;
    let key = secrets.site_key(&mut tx, agent.site).await?;
    let opened = key.open(&SiteAuthorityV1::place(agent.site), &told.key);
    let opened = opened.map_err(|_| AuthorityError::Unusable)?;
    if !pki::is_pair(&told.certificate, &opened) {
        return Err(AuthorityError::Unusable);
    }
    let before = store::of_site(&mut tx, agent.site).await?;
    store::keep(&mut tx, agent, told, now).await?;
    store::note(&mut tx, agent.id, &Sha256::digest(&told.certificate)).await?;
    let kept = store::of_site(&mut tx, agent.site).await?;
    let print = |one: &SiteAuthorityV1| hex::encode(Sha256::digest(&one.certificate));
    let (before, now_is) = (before.as_ref().map(print), kept.as_ref().map(print));
    if before.is_some() && before != now_is {
        let name = agents::store::site_name(&mut tx, agent.site).await?;
        let name = name.unwrap_or_default();
        let line = Audit {
            details:
                "Its access authority is another one: devices and RadSec routers must be given it"
                    .to_owned(),
            before: Some(json!({"accessAuthority": before})),
            after: Some(json!({"accessAuthority": now_is})),
            ..Audit::new(Action::SiteUpdate, "site", agent.site, &name)
        };
        audit::record(&mut tx, &Actor::agent(agent.id), line, now).await?;
    }
    tx.commit().await?;
    Ok(kept.filter(|kept| kept.certificate != told.certificate))
}
