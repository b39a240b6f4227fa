//! MikroTik routers: where they are, what their secrets are, whether they are heard.
//!
//! A router belongs to a site and is known to that site's agents only. A changed secret leaves the one
//! before valid for a day, so that the router itself can be changed in peace.

mod around;
mod certificates;
mod claims;
pub mod edge;
mod http;
mod live;
mod rotation;
mod rules;
mod store;
mod told;
mod words;

use std::time::Duration;

use easyisp_shared::id::{RouterId, SiteId, TenantId};
use easyisp_shared::time::Timestamp;
use easyisp_shared::wire::diagnosis::{ReachV1, RouterFactV1};
use easyisp_shared::wire::monitor::{DeviceFactsV1, SampleV1};
use easyisp_shared::wire::router::SystemV1;

use crate::api::{Access, Routes, routes};
use crate::db::{Database, Kind, Tx};
use crate::due;
use crate::permission::Permission::*;
use crate::secrets::{SecretError, Secrets};
use crate::sites::warnings;

pub use claims::{Writer, claim, idle, release, running};
pub use edge::Outside;
pub use rotation::end as end_rotation;
pub use rules::{Change, Draft, Drifted, LocalSecrets, Pool, WAY_UNSEEN, draft, random_secret};
pub use store::{called, lock_to_note};
pub use told::tell_changed;
pub use words::{Provisioning, Signing, Status};

/// The routes of this feature.
pub fn routes() -> Routes {
    Routes::new()
        .route(Access::Any(&[RoutersView]), routes!(http::list))
        .route(
            Access::Any(&[RoutersDetailsView, RoutersView]),
            routes!(http::get),
        )
        .route(
            Access::Any(&[RoutersDetailsView, RoutersView]),
            routes!(live::live_status),
        )
        .route(Access::Any(&[RoutersAdd]), routes!(http::create))
        .route(Access::Any(&[RoutersEdit]), routes!(http::update))
        .route(Access::Any(&[RoutersDelete]), routes!(http::delete))
        .route(
            Access::Any(&[RoutersView, RoutersAdd]),
            routes!(around::around),
        )
        .route(
            Access::Any(&[RoutersDetailsView, RoutersView]),
            routes!(certificates::list),
        )
        .route(Access::Any(&[RoutersEdit]), routes!(certificates::issue))
        .route(Access::Any(&[RoutersEdit]), routes!(certificates::revoke))
}

/// Enters a router at a site and tells the site's agents.
///
/// Fails with a unique violation of `router_name` when the tenant has one of that name.
pub async fn create(
    tx: &mut Tx,
    secrets: &Secrets,
    site: SiteId,
    draft: &Draft,
    clear: &Clear,
    now: Timestamp,
) -> Result<RouterId, SecretError> {
    let router = RouterId::new(now, &tx.entropy());
    adopt(tx, secrets, (router, site), (draft, clear), now).await?;
    Ok(router)
}

/// The same under an id that somebody else made.
pub async fn adopt(
    tx: &mut Tx,
    secrets: &Secrets,
    (router, site): (RouterId, SiteId),
    (draft, clear): (&Draft, &Clear),
    now: Timestamp,
) -> Result<(), SecretError> {
    let key = secrets.tenant(tx).await?;
    let sealed = store::Sealed {
        secret: key.seal(SECRET, router.0, clear.secret.as_bytes()),
        previous: None,
        api_password: clear
            .api_password
            .as_ref()
            .map(|password| key.seal(API_PASSWORD, router.0, password.as_bytes())),
    };
    let signing = match draft.message_authenticator {
        Some(signing) => signing,
        None => usual_signing(tx, site, now).await?,
    };
    store::insert(tx, router, site, (draft, signing), &sealed, now).await?;
    tx.changed(Kind::Router, router);
    Ok(())
}

/// Whether there is a router of this id, or was one.
pub async fn was_entered(tx: &mut Tx, router: RouterId) -> sqlx::Result<bool> {
    store::was_entered(tx, router).await
}

/// The router that is called so, locked until the transaction ends; `None` when none is.
pub async fn lock_by_name(tx: &mut Tx, name: &str) -> sqlx::Result<Option<Named>> {
    let found = store::lock_by_name(tx, name).await?;
    Ok(found.map(|(id, site, address, last_seen)| Named {
        id,
        site,
        address: address
            .parse()
            .unwrap_or(std::net::Ipv4Addr::UNSPECIFIED.into()),
        last_seen,
    }))
}

/// A router that was looked for by its name.
pub struct Named {
    /// Its id.
    pub id: RouterId,
    /// Where it stands.
    pub site: SiteId,
    /// Where it is, as far as is known.
    pub address: std::net::IpAddr,
    /// When it was heard of last.
    pub last_seen: Option<Timestamp>,
}

/// What holds for a router of a site unless somebody says otherwise: where the agent stands across a WAN,
/// every request must be signed (A1).
async fn usual_signing(tx: &mut Tx, site: SiteId, now: Timestamp) -> sqlx::Result<Signing> {
    let told = warnings::conditions(tx, &[site], now).await?;
    Ok(match told.iter().any(|(_, _, told)| told.hosted) {
        true => Signing::Require,
        false => Signing::Learn,
    })
}

/// A router's secrets in the clear.
#[derive(Clone)]
pub struct Clear {
    /// The RADIUS secret.
    pub secret: String,
    /// The password of its API user.
    pub api_password: Option<String>,
}

impl std::fmt::Debug for Clear {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Clear(…)")
    }
}

/// A router with its secrets.
pub struct Opened {
    /// Its record.
    pub draft: Draft,
    /// Its secrets.
    pub clear: Clear,
    /// Where it stands.
    pub site: SiteId,
    /// The release of RouterOS, as it said.
    pub version: Option<String>,
}

/// A router with its secrets; `None` when this tenant has no such router.
pub async fn opened(
    tx: &mut Tx,
    secrets: &Secrets,
    router: RouterId,
) -> Result<Option<Opened>, SecretError> {
    let Some(stored) = store::present(tx, &[router.0]).await?.into_iter().next() else {
        return Ok(None);
    };
    let key = secrets.tenant(tx).await?;
    let open = |column, sealed: &[u8]| -> Result<String, SecretError> {
        let clear = key.open(column, router.0, sealed)?;
        Ok(String::from_utf8_lossy(&clear).into_owned())
    };
    Ok(Some(Opened {
        clear: Clear {
            secret: open(SECRET, &stored.secret_sealed)?,
            api_password: match &stored.api_password_sealed {
                Some(sealed) => Some(open(API_PASSWORD, sealed)?),
                None => None,
            },
        },
        draft: stored.draft(),
        site: stored.site_id,
        version: stored.routeros_version,
    }))
}

/// Has the agents log in to a locked router in another way; whether it was another one, `(user, password, port)`.
pub async fn login_is(
    tx: &mut Tx,
    secrets: &Secrets,
    router: RouterId,
    (user, password, port): (&str, &str, u16),
    now: Timestamp,
) -> Result<bool, SecretError> {
    let Some(held) = opened(tx, secrets, router).await? else {
        return Ok(false);
    };
    let port = i32::from(port);
    let is_so = held.draft.api_username.as_deref() == Some(user)
        && held.clear.api_password.as_deref() == Some(password)
        && held.draft.api_port == port;
    if !is_so {
        let key = secrets.tenant(tx).await?;
        let sealed = key.seal(API_PASSWORD, router.0, password.as_bytes());
        store::put_login(tx, router, (user, &sealed, port), now).await?;
        tx.changed(Kind::Router, router);
    }
    Ok(!is_so)
}

/// Enters a login for the agents where none is whole, or the port of one that nobody got in with yet; the router's name
/// and what was done, `None` where nothing was. What is entered is `(user, password, port)`; a port that somebody may
/// have chosen changes where it `may_move`.
pub async fn enter_login(
    tx: &mut Tx,
    secrets: &Secrets,
    router: RouterId,
    (user, password, port): (&str, &str, u16),
    may_move: bool,
    now: Timestamp,
) -> Result<Option<(String, &'static str)>, SecretError> {
    let found = match store::lock(tx, router).await? {
        true => store::present(tx, &[router.0]).await?.into_iter().next(),
        false => None,
    };
    let Some(stored) = found else {
        return Ok(None);
    };
    let port = i32::from(port);
    let draft = stored.draft();
    let is_whole = draft.api_username.is_some() && stored.api_password_sealed.is_some();
    let how = if !is_whole {
        let key = secrets.tenant(tx).await?;
        let sealed = key.seal(API_PASSWORD, router.0, password.as_bytes());
        store::put_login(tx, router, (user, &sealed, port), now).await?;
        "Entered a login for its agents"
    } else if may_move
        && draft.api_port == PLAIN_API
        && port != PLAIN_API
        && store::was_never_entered(tx, router).await?
    {
        store::put_api_port(tx, router, port, now).await?;
        "Its agents enter it in TLS"
    } else {
        return Ok(None);
    };
    tx.changed(Kind::Router, router);
    Ok(Some((draft.name, how)))
}

/// When the agents got in by its API, if they did the last time that they tried.
pub async fn entered_at(tx: &mut Tx, router: RouterId) -> sqlx::Result<Option<Timestamp>> {
    store::entered_at(tx, router).await
}

/// A password for the agents' login, as it is kept.
pub async fn seal_login(
    tx: &mut Tx,
    secrets: &Secrets,
    router: RouterId,
    password: &str,
) -> Result<Vec<u8>, SecretError> {
    let key = secrets.tenant(tx).await?;
    Ok(key.seal(API_PASSWORD, router.0, password.as_bytes()))
}

/// Has the agents log in by this sealed password from here on.
pub async fn renew_login(
    tx: &mut Tx,
    router: RouterId,
    password_sealed: &[u8],
    now: Timestamp,
) -> sqlx::Result<()> {
    store::renew_login(tx, router, password_sealed, now).await?;
    tx.changed(Kind::Router, router);
    Ok(())
}

/// What a router has before anybody says otherwise.
const PLAIN_API: i32 = 8728;

/// Which of these routers stand at `site`: what an agent of the site may speak of.
pub async fn at_site(
    tx: &mut Tx,
    site: SiteId,
    routers: &[RouterId],
) -> sqlx::Result<Vec<RouterId>> {
    store::at_site(tx, site, routers).await
}

/// Whose router this is, for who knows nothing but its id; `None` when there is none.
pub async fn tenant_of(db: &Database, router: RouterId) -> sqlx::Result<Option<TenantId>> {
    let tenant = store::tenant_of(&mut *db.glance().await?, router).await?;
    let Some(tenant) = tenant else {
        return Ok(None);
    };
    let mut tx = db.begin(tenant).await?;
    Ok(site_of(&mut tx, router).await?.map(|_| tenant))
}

/// The site where a router stands; `None` when this tenant has no such router.
pub async fn site_of(tx: &mut Tx, router: RouterId) -> sqlx::Result<Option<SiteId>> {
    store::site_of(tx, router).await
}

/// The customers whom a router answers by its own lists; `None` when this tenant has no such router.
pub async fn local_secrets(tx: &mut Tx, router: RouterId) -> sqlx::Result<Option<LocalSecrets>> {
    let present = store::present(tx, &[router.0]).await?;
    Ok(present.first().map(store::Stored::local_secrets))
}

/// Locks a router until the transaction ends and tells its name; `None` when this tenant has no such router.
pub async fn lock_named(tx: &mut Tx, router: RouterId) -> sqlx::Result<Option<String>> {
    if !store::lock(tx, router).await? {
        return Ok(None);
    }
    let present = store::present(tx, &[router.0]).await?;
    Ok(present.into_iter().next().map(|stored| stored.name))
}

/// A router as a list shows it.
pub struct Brief {
    /// Its name.
    pub name: String,
    /// Where it stands.
    pub site: SiteId,
    /// Where CoA, API and SNMP go.
    pub address: std::net::IpAddr,
    /// Whether it is heard of.
    pub status: Status,
    /// How far its set-up is.
    pub provisioning: Provisioning,
    /// When it was last heard of.
    pub last_seen: Option<Timestamp>,
}

/// A router as a list shows it; `None` when this tenant has no such router.
pub async fn brief(tx: &mut Tx, router: RouterId, now: Timestamp) -> sqlx::Result<Option<Brief>> {
    let row = store::find(tx, router, (now.minus(SILENCE), now)).await?;
    Ok(row.map(|row| {
        let draft = row.stored.draft();
        Brief {
            name: draft.name,
            site: row.stored.site_id,
            address: draft.ip_address,
            status: row.present_status,
            provisioning: row.stored.provisioning_status,
            last_seen: row.stored.last_seen_at,
        }
    }))
}

/// The site that was asked for, else the tenant's first; `None` when there is no such site.
pub async fn site(tx: &mut Tx, asked: Option<SiteId>) -> sqlx::Result<Option<SiteId>> {
    store::site(tx, asked).await
}

/// Notes what of a router differs from its set-up; `true` when anything does and nothing did.
pub async fn note_drift(
    tx: &mut Tx,
    router: RouterId,
    differs: &[String],
    now: Timestamp,
) -> sqlx::Result<bool> {
    let shown: Vec<String> = differs.iter().take(DRIFT_SHOWN).cloned().collect();
    let count = i64::try_from(differs.len()).unwrap_or(i64::MAX);
    store::note_drift(tx, router, (&shown, count), now).await
}

/// Notes how far a router's set-up is.
pub async fn provisioning(tx: &mut Tx, router: RouterId, how: Provisioning) -> sqlx::Result<()> {
    store::provisioning(tx, router, how).await
}

/// Notes that a locked router called from somewhere: that is where it is, and where its requests come from.
pub async fn placed(
    tx: &mut Tx,
    router: RouterId,
    address: std::net::IpAddr,
    now: Timestamp,
) -> sqlx::Result<()> {
    store::placed(tx, router, address, now).await?;
    store::heard(tx, &[router], now, (now, now)).await?;
    tx.changed(Kind::Router, router);
    Ok(())
}

/// Deletes a router that nobody was served at; `false` when customers belong to it.
pub async fn withdraw(tx: &mut Tx, router: RouterId, now: Timestamp) -> sqlx::Result<bool> {
    let row = store::find(tx, router, (now, now)).await?;
    if row.is_none_or(|row| row.customers > 0) {
        return Ok(false);
    }
    store::delete(tx, router, now).await?;
    http::changed(tx, router).await?;
    store::delete_logins(tx, router).await?;
    Ok(true)
}

/// A router's name; `None` when this tenant has no such router.
pub async fn name_of(tx: &mut Tx, router: RouterId) -> sqlx::Result<Option<String>> {
    store::name_of(tx, router).await
}

/// Notes what a router said of itself over SNMP, where its API says nothing.
pub async fn note_reading(
    tx: &mut Tx,
    router: RouterId,
    facts: &DeviceFactsV1,
    sample: &SampleV1,
    at: Timestamp,
) -> sqlx::Result<()> {
    store::note_reading(tx, router, &edge::read(facts, sample), at).await
}

/// Notes what board a router is, as its API says.
pub async fn note_board(
    db: &Database,
    tenant: TenantId,
    router: RouterId,
    told: &SystemV1,
) -> sqlx::Result<()> {
    let text = |text: &str| {
        let clean: String = text.chars().filter(|c| !c.is_control()).take(200).collect();
        (!clean.is_empty()).then_some(clean)
    };
    let (model, serial) = (text(&told.model), text(&told.serial));
    if model.is_none() && serial.is_none() {
        return Ok(());
    }
    let mut tx = db.begin(tenant).await?;
    store::note_board(&mut tx, router, model.as_deref(), serial.as_deref()).await?;
    tx.commit().await
}

/// The routers of a site as far as the cloud has heard of them, for saying why somebody is offline.
pub async fn facts(tx: &mut Tx, site: SiteId) -> sqlx::Result<Vec<RouterFactV1>> {
    let rows = store::heard_at(tx, site).await?.into_iter();
    let fact = |(router, name, heard)| RouterFactV1 {
        router,
        name,
        heard,
        mismatched: None,
        reach: ReachV1::Unasked,
        booted: None,
        hides: false,
    };
    Ok(rows.map(fact).collect())
}

/// A router at which somebody is online outside the system.
pub struct OutsideAt {
    /// The router.
    pub id: RouterId,
    /// Its name.
    pub name: String,
    /// When it listed them.
    pub seen_at: Option<Timestamp>,
    /// Who.
    pub sessions: Vec<Outside>,
}

/// Who is online at the routers and is no session of ours, as they last listed them.
pub async fn outside(tx: &mut Tx) -> sqlx::Result<Vec<OutsideAt>> {
    let rows = store::outside(tx).await?.into_iter();
    Ok(rows
        .map(|(id, name, seen_at, listed)| OutsideAt {
            id,
            name,
            seen_at,
            sessions: serde_json::from_value(listed).unwrap_or_default(),
        })
        .collect())
}

/// Notes that routers were heard at `at`; what waits for the first sign of life of one is due.
pub async fn heard(tx: &mut Tx, routers: &[RouterId], at: Timestamp) -> sqlx::Result<()> {
    let since = (at.minus(Duration::from_secs(60)), at.minus(SILENCE));
    let woken = store::heard(tx, routers, at, since).await?;
    due::sooner(tx, &AWAITS_LIFE, &woken, at).await
}

/// Notes that a router said by itself that it lives, where no agent of its site is heard; `false` where there is no
/// such router. A router that an agent hears, or does not, is what the agent says.
pub async fn alive(tx: &mut Tx, router: RouterId, now: Timestamp) -> sqlx::Result<bool> {
    if site_of(tx, router).await?.is_none() {
        return Ok(false);
    }
    let unless = (now.minus(Duration::from_secs(60)), now.minus(AGENT_QUIET));
    store::alive(tx, router, now, unless).await?;
    Ok(true)
}

/// An agent that is connected is heard of every minute.
const AGENT_QUIET: Duration = Duration::from_secs(180);
/// As many as a person reads.
const DRIFT_SHOWN: usize = 10;
/// The kind of the job that writes at a router what its agent could not when it brought it up alone; its subject is the
/// router. The wizard's: the application says who does it.
pub const COMPLETE: &str = "wizard.complete";
/// The kind of the job that has such a router take the hotspot's pages; its subject is the router. The wizard's, too.
pub const PAGES: &str = "wizard.pages";
/// What rests ever longer while a router is away, and is due when it gives a sign of life.
const AWAITS_LIFE: [&str; 2] = [COMPLETE, PAGES];
/// The kind of the job that ends a rotation.
pub const ROTATION_JOB: &str = "routers.end-rotation";
/// A router that was not heard for so long is offline: three interim updates.
const SILENCE: Duration = Duration::from_secs(900);

/// Under which names a router's secrets are sealed.
const SECRET: &str = "routers.secret";
const PREVIOUS_SECRET: &str = "routers.previous_secret";
const API_PASSWORD: &str = "routers.api_password";
