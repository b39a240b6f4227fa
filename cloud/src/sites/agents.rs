//! How a box becomes an agent of a site, stays one, and stops being one.

pub mod generation;
pub mod keepers;
pub mod rotation;
pub mod store;

use std::sync::Arc;
use std::time::Duration;

use easyisp_shared::id::{AgentId, SiteId, TenantId};
use easyisp_shared::time::Timestamp;
use easyisp_shared::wire::JoinToken;
use easyisp_shared::wire::enroll::{EnrollRefusal, EnrollRequest, EnrolledV1, SiteAuthorityV1};
use uuid::Uuid;

use self::store::Waiting;
use super::authorities;
use super::pki::{Authority, BadRequest, Issued};
use crate::db::{Database, Kind, Tx};
use crate::secrets::{SecretError, Secrets};

/// An agent, as its certificate says: the only source of tenant and site on the link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Agent {
    /// Whose.
    pub tenant: TenantId,
    /// Where.
    pub site: SiteId,
    /// Which.
    pub id: AgentId,
}

impl Agent {
    /// How its certificate names it.
    pub fn uri(&self) -> String {
        format!(
            "easyisp:tenant/{}/site/{}/agent/{}",
            self.tenant, self.site, self.id
        )
    }

    /// The agent that a certificate names.
    pub fn of_uri(uri: &str) -> Option<Agent> {
        let rest = uri.strip_prefix("easyisp:tenant/")?;
        let (tenant, rest) = rest.split_once("/site/")?;
        let (site, agent) = rest.split_once("/agent/")?;
        Some(Agent {
            tenant: TenantId(tenant.parse().ok()?),
            site: SiteId(site.parse().ok()?),
            id: AgentId(agent.parse().ok()?),
        })
    }
}

/// The authority and the database's epoch, read at start.
#[derive(Debug, Clone)]
pub struct Standing {
    /// Signs certificates.
    pub authority: Arc<Authority>,
    /// Changes when the database was restored from a backup.
    pub epoch: Uuid,
}

/// Why there is no authority.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// The database did not answer.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
    /// Another master key.
    #[error(
        "the authority's key does not open: is [keys] master_key_file the one it was made with?"
    )]
    Sealed,
    /// The stored certificate or key is not usable.
    #[error("the authority is not usable: {0}")]
    Unusable(#[from] rcgen::Error),
    /// What is stored is no certificate and its key, one after the other.
    #[error("the stored authority is damaged")]
    Damaged,
}

/// Reads the platform's authority; makes it at the first start. Nodes that start at once agree on one.
pub async fn standing(
    db: &Database,
    secrets: &Secrets,
    now: Timestamp,
) -> Result<Standing, AuthorityError> {
    let mut tx = db.directory().await?;
    let birth = store::birth(&mut tx).await?;
    let epoch = uuid::Builder::from_random_bytes(db.entropy().bytes()).into_uuid();
    if store::authority(&mut tx).await?.is_none() {
        let (certificate, key) = Authority::create(now, db.entropy())?;
        let sealed = secrets.seal_platform(AUTHORITY_KEY, &key);
        store::put_authority(&mut tx, &certificate, &sealed, (epoch, &birth), now).await?;
    } else if store::put_epoch(&mut tx, epoch, &birth).await? {
        tracing::warn!(
            "This database was put back or moved: agents send again what it does not have"
        );
    }
    let stored = store::authority(&mut tx).await?;
    let stored = stored.ok_or(sqlx::Error::RowNotFound)?;
    tx.commit().await?;
    let held = rotation::Held::open(&stored.certificate, &stored.key_sealed, secrets)?;
    Ok(Standing {
        authority: Arc::new(held.authority(db.entropy())?),
        epoch: stored.epoch,
    })
}

/// Makes a one-time token with which a box joins `site` within an hour.
///
/// An agent that the box `replaces` ends in the moment the box joins. The caller has checked that site and
/// agent are the tenant's. The text is shown once; its digest is stored.
pub async fn create_join_token(
    tx: &mut Tx,
    site: SiteId,
    replaces: Option<AgentId>,
    authority: &Authority,
    now: Timestamp,
) -> sqlx::Result<JoinToken> {
    let token = JoinToken::new(tx.entropy().bytes(), authority.fingerprint());
    let digest = JoinToken::digest(token.secret());
    store::put_join_token(tx, &digest, site, replaces, now, now.plus(TOKEN_LIFE)).await?;
    Ok(token)
}

/// Why a box did not become an agent.
#[derive(Debug, thiserror::Error)]
pub enum EnrollError {
    /// A reason that the box is told.
    #[error(transparent)]
    Refused(#[from] EnrollRefusal),
    /// The database did not answer.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
    /// The site key does not open.
    #[error(transparent)]
    Secret(#[from] SecretError),
}

impl From<BadRequest> for EnrollError {
    fn from(_: BadRequest) -> EnrollError {
        EnrollError::Refused(EnrollRefusal::Request)
    }
}

/// Takes a join token and a signing request for an agent's certificate and the site's key, with the site's access authority
/// where there is one.
///
/// The token is used up in the transaction that makes the agent: of two at once, one gets it.
pub async fn enroll(
    db: &Database,
    secrets: &Secrets,
    authority: &Authority,
    request: &EnrollRequest,
    now: Timestamp,
) -> Result<(EnrolledV1, Option<SiteAuthorityV1>), EnrollError> {
    let EnrollRequest::V1(request) = request;
    let digest = JoinToken::digest(&request.token);
    let mut directory = db.directory().await?;
    let place = store::place_of_token(&mut directory, &digest).await?;
    directory.rollback().await?;
    let (tenant, site) = place.ok_or(EnrollRefusal::Token)?;

    let mut tx = db.begin(tenant).await?;
    let waited = store::waiting_with(&mut tx, &digest).await?;
    let agent = match &waited {
        Some(waited) => waited.id,
        None => AgentId::new(now, db.entropy()),
    };
    let issued = authority.agent_certificate(&request.csr, tenant, site, agent, now)?;
    let replaced = match waited {
        Some(waited) => {
            come_again(&waited, &issued, now)?;
            store::forget_waiting(&mut tx, site, agent).await?;
            waited.replaces
        }
        None => {
            let used = store::use_token(&mut tx, &digest, agent, now).await?;
            let replaces = used.ok_or(EnrollRefusal::Token)?.replaces;
            if store::confirms_agents(&mut tx).await? {
                let waiting = Waiting {
                    id: agent,
                    site_id: site,
                    key_digest: issued.key.to_vec(),
                    host: short(&request.host),
                    version: short(&request.version),
                    replaces,
                    asked_at: now,
                    expires_at: now.plus(WAITING_LIFE),
                    confirmed_at: None,
                };
                store::put_waiting(&mut tx, &digest, &waiting).await?;
                tx.commit().await?;
                tracing::info!(agent.id = %agent, site.id = %site, "Agent {agent} waits to be confirmed");
                return Err(EnrollRefusal::Waiting.into());
            }
            replaces
        }
    };
    if let Some(replaced) = replaced {
        revoke(&mut tx, replaced, now).await?;
    }
    super::store::lock_set(&mut tx).await?;
    let site_name = store::site_name(&mut tx, site).await?;
    let site_name = site_name.ok_or(EnrollRefusal::Token)?;
    let agent = Agent {
        tenant,
        site,
        id: agent,
    };
    let version = short(&request.version);
    store::put_agent(&mut tx, &agent, &issued, &version, now).await?;
    store::put_certificate(&mut tx, &agent, &issued, now).await?;
    let site_key = secrets.site_key(&mut tx, site).await?;
    let given = authorities::of_site(&mut tx, site).await?;
    tx.commit().await?;
    tracing::info!(agent.id = %agent.id, site.id = %site, "Enrolled agent {} at {site_name}", agent.id);

    let enrolled = EnrolledV1 {
        agent: agent.id,
        site,
        tenant,
        chain: vec![issued.certificate.clone(), authority.certificate().to_vec()],
        authorities: authority.believed(),
        site_key: *site_key.expose(),
        site_name,
        cloud_name: "EasyISP".to_owned(),
        now,
        replaced,
    };
    Ok((enrolled, given))
}

/// Whether a box that waited may have its certificate: confirmed, in time, and with the key that was confirmed.
fn come_again(waited: &Waiting, issued: &Issued, now: Timestamp) -> Result<(), EnrollRefusal> {
    if waited.key_digest != issued.key || waited.expires_at <= now {
        return Err(EnrollRefusal::Token);
    }
    match waited.confirmed_at {
        Some(_) => Ok(()),
        None => Err(EnrollRefusal::Waiting),
    }
}

/// A new certificate for an agent that proves its key; the old one stays valid to its end.
pub async fn renew(
    db: &Database,
    authority: &Authority,
    agent: &Agent,
    request: &[u8],
    now: Timestamp,
) -> Result<Vec<Vec<u8>>, EnrollError> {
    let issued = authority.agent_certificate(request, agent.tenant, agent.site, agent.id, now)?;
    let mut tx = db.begin(agent.tenant).await?;
    super::store::stand_still(&mut tx).await?;
    if !store::renewed(&mut tx, agent, &issued).await? {
        return Err(EnrollRefusal::Token.into());
    }
    store::put_certificate(&mut tx, agent, &issued, now).await?;
    // One that joined before keys were noted is met by the others from now on.
    tx.changed(Kind::Policy, agent.site);
    tx.commit().await?;
    Ok(vec![issued.certificate, authority.certificate().to_vec()])
}

/// Ends an agent's rights for good. A connected one is cut off within a minute.
///
/// `false` where the tenant has no such agent.
pub async fn revoke(tx: &mut Tx, agent: AgentId, now: Timestamp) -> sqlx::Result<bool> {
    super::store::lock_set(tx).await?;
    let Some(site) = store::revoke_agent(tx, agent, now).await? else {
        return Ok(false);
    };
    store::revoke_certificates(tx, agent, now).await?;
    keepers::settle(tx, site).await?;
    // The others do not hear it any more.
    tx.changed(Kind::Policy, site);
    Ok(true)
}

/// Versions are for people, and bounded.
pub(crate) fn short(version: &str) -> String {
    version
        .chars()
        .filter(|c| !c.is_control())
        .take(64)
        .collect()
}

/// How long a join token is good for.
pub const TOKEN_LIFE: Duration = Duration::from_secs(3600);
/// How long a box that used its token waits for somebody to confirm it.
pub const WAITING_LIFE: Duration = Duration::from_secs(86_400);
const AUTHORITY_KEY: &str = "directory.authority.key";

#[cfg(test)]
mod tests {
    use super::*;

    /// A box that asked once gets its certificate only after somebody confirmed it, for the key that was looked
    /// at, and while that is not too long ago.
    #[test]
    fn who_waits_comes_in_confirmed_with_the_same_key_and_in_time() {
        let at = Timestamp::from_secs;
        let waited = |confirmed_at| Waiting {
            id: AgentId(Uuid::from_u128(1)),
            site_id: SiteId(Uuid::from_u128(2)),
            key_digest: vec![7; 32],
            host: String::new(),
            version: String::new(),
            replaces: None,
            asked_at: at(0),
            expires_at: at(100),
            confirmed_at,
        };
        let issued = |key| Issued {
            certificate: Vec::new(),
            fingerprint: [0; 32],
            key: [key; 32],
            expires: at(1000),
        };
        let (confirmed, not_yet) = (waited(Some(at(50))), waited(None));
        for (waited, key, now, expected) in [
            (&confirmed, 7, 99, Ok(())),
            (&not_yet, 7, 99, Err(EnrollRefusal::Waiting)),
            (&confirmed, 8, 99, Err(EnrollRefusal::Token)),
            (&not_yet, 8, 99, Err(EnrollRefusal::Token)),
            (&confirmed, 7, 100, Err(EnrollRefusal::Token)),
        ] {
            assert_eq!(come_again(waited, &issued(key), at(now)), expected);
        }
    }
}
