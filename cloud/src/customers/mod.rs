//! Subscribers: who they are, what they buy, until when, and what may be done to them.
//!
//! A customer has a home site: his router's, else the one named, else the tenant's first. Everything that
//! is changed here is known to that site's agents with the same commit. Money becomes time in
//! `renewals/`, not here.

pub mod edge;
mod forecast;
mod http;
mod jobs;
pub mod lines;
pub mod many;
mod networks;
mod rules;
mod store;
mod told;
mod words;

use std::collections::HashSet;
use std::time::Duration;

use easyisp_shared::account::AccountNumber;
use easyisp_shared::entropy::Entropy;
use easyisp_shared::id::{CustomerId, PackageId, RouterId, SiteId, TenantId};
use easyisp_shared::net::Mac;
use easyisp_shared::seal::CannotOpen;
use easyisp_shared::time::Timestamp;
use easyisp_shared::wire::down::{Order, Whom};

use crate::api::{Access, Routes, routes};
use crate::commands;
use crate::db::{Database, Kind, Tx};
use crate::due;
use crate::error::{ApiError, FieldError, violated};
use crate::ledger;
use crate::permission::Permission::*;
use crate::secrets::{SecretError, Secrets, TenantKey};
use crate::{packages, sites};

pub use forecast::{Asks, Forecast, forecast};
pub use http::{Brief, Customer, full, reach};
use jobs::give_back;
pub use jobs::{COLLECT, FOLLOW, INSTALL, RESUME, follow, resume};
pub use rules::{
    Change, Deed, Draft, beginning_of_phone, draft, password, tag_form, tags, uptime,
    usable_address,
};
pub use store::{AtHotspot, ExportRow, Filter, exported, lock_idle, of_account};
pub use told::tell_expired;
pub use words::{ConnectionType, Standing, Status};

/// The routes of this feature. Each handler narrows what the route allows by how the customer is
/// connected.
pub fn routes() -> Routes {
    const ACT: Access = Access::Any(&[
        CustomersEdit,
        PppoeEdit,
        PppoeSuspend,
        PppoeChangeExpiry,
        PppoeChangePlan,
        PppoeOverridePlan,
        PppoeSpeedBoost,
        PppoeStaticIp,
        PppoeLockMac,
        PppoeResetMac,
        PppoePurge,
        HotspotChangePackage,
        HotspotResetMac,
        HotspotPurge,
        RoutersDisconnect,
    ]);
    const VIEW: Access = Access::Any(&[PppoeDetailsView, HotspotDetailsView]);
    const EDIT: Access = Access::Any(&[CustomersEdit, PppoeEdit]);
    const SUSPEND: Access = Access::Any(&[CustomersEdit, PppoeSuspend]);

    Routes::new()
        .route(Access::Any(&[PppoeView, HotspotView]), routes!(http::list))
        .route(
            Access::Any(&[CustomersCreate, PppoeAddUser, PppoeAddChild, HotspotAddUser]),
            routes!(http::create),
        )
        .route(VIEW, routes!(http::get))
        .route(VIEW, routes!(http::transactions))
        .route(
            Access::Any(&[CustomersEdit, PppoeEdit]),
            routes!(http::update),
        )
        .route(
            Access::Any(&[CustomersDelete, PppoeDelete, HotspotDelete]),
            routes!(http::delete),
        )
        .route(ACT, routes!(http::act::suspend))
        .route(ACT, routes!(http::act::activate))
        .route(ACT, routes!(http::act::expiry))
        .route(ACT, routes!(http::unlock::unlock_code))
        .route(ACT, routes!(http::act::package))
        .route(
            ACT,
            routes!(http::act::override_plan, http::act::end_override),
        )
        .route(ACT, routes!(http::act::speed_boost))
        .route(ACT, routes!(http::act::assign_ip))
        .route(ACT, routes!(http::access::networks))
        .route(VIEW, routes!(http::access::access))
        .route(ACT, routes!(http::act::mac_lock))
        .route(ACT, routes!(http::act::mac_reset))
        .route(ACT, routes!(http::act::disconnect))
        .route(SUSPEND, routes!(http::life::pause))
        .route(SUSPEND, routes!(http::life::resume))
        .route(
            Access::Any(&[CustomersDelete, PppoeDelete, HotspotDelete]),
            routes!(http::life::restore),
        )
        .route(VIEW, routes!(http::life::notes))
        .route(EDIT, routes!(http::life::add_note))
        .route(EDIT, routes!(http::life::delete_note))
}

/// Has a customer billed afterwards, or not any more: who is buys nothing from his wallet.
pub async fn set_postpaid(
    tx: &mut Tx,
    customer: CustomerId,
    postpaid: bool,
    now: Timestamp,
) -> sqlx::Result<()> {
    store::set_postpaid(tx, customer, postpaid, now).await
}

/// Moves the end of service of a customer who is billed; with `month_began` his data is counted from then on. Whether
/// anything changed.
pub async fn serve_billed(
    tx: &mut Tx,
    customer: CustomerId,
    until: Timestamp,
    month_began: Option<Timestamp>,
    now: Timestamp,
) -> sqlx::Result<bool> {
    store::serve_billed(tx, customer, until, month_began, now).await
}

/// Which of these user names are customers'.
pub async fn taken(tx: &mut Tx, names: &[String]) -> sqlx::Result<HashSet<String>> {
    Ok(store::taken(tx, names).await?.into_iter().collect())
}

/// Who a customer will be, and until when he may be online.
#[derive(Clone)]
pub struct New {
    /// The record.
    pub draft: Draft,
    /// His password in the clear.
    pub password: String,
    /// The end of his time; 30 days from now when nobody says.
    pub expires_at: Option<Timestamp>,
}

/// Makes a customer, gives him an account number of his own and tells his home site.
pub async fn create(
    tx: &mut Tx,
    secrets: &Secrets,
    new: &New,
    now: Timestamp,
) -> Result<CustomerId, ChangeError> {
    if let Some(package) = new.draft.package {
        let place = (new.draft.router, new.draft.site);
        fits(tx, package, new.draft.connection_type, place).await?;
    }
    parent_fits(tx, None, new.draft.parent).await?;
    let customer = CustomerId::new(now, &tx.entropy());
    create_as(tx, secrets, customer, new, now).await?;
    Ok(customer)
}

/// The same under an id that is known already: who uses a voucher has the voucher's. Its package may have
/// been switched off since.
pub async fn create_as(
    tx: &mut Tx,
    secrets: &Secrets,
    customer: CustomerId,
    new: &New,
    now: Timestamp,
) -> Result<(), ChangeError> {
    let draft = &new.draft;
    password(&new.password).map_err(|wrong| ChangeError::Wrong(vec![wrong]))?;
    let site = home_site(tx, draft.router, draft.site).await?;
    let entropy = tx.entropy();
    let number = account_number(tx, customer, &entropy).await?;
    let key = secrets.tenant(tx).await?;
    let sealed = key.seal(PASSWORD, customer.0, new.password.as_bytes());
    let until = new.expires_at.unwrap_or_else(|| now.plus(FIRST_TIME));
    let told = told::created(tx, customer, number, site, draft, until, now);
    store::insert(
        tx, customer, number, site, draft, &sealed, until, &told, now,
    )
    .await?;
    ledger::open_wallet(tx, customer, now).await?;
    if let Some(parent) = draft.parent {
        follow(tx, parent, now).await?;
    }
    store::count(tx, draft.connection_type, 1).await?;
    tx.changed(Kind::Subscriber, customer);
    Ok(())
}

/// A customer's password in the clear.
pub fn password_of(
    key: &TenantKey,
    customer: CustomerId,
    sealed: &[u8],
) -> Result<String, CannotOpen> {
    let clear = key.open(PASSWORD, customer.0, sealed)?;
    Ok(String::from_utf8_lossy(&clear).into_owned())
}

/// What decides whether a voucher fits a customer; `None` when this tenant has no such customer.
pub async fn at_hotspot(tx: &mut Tx, customer: CustomerId) -> sqlx::Result<Option<AtHotspot>> {
    store::at_hotspot(tx, customer).await
}

/// Whether others are on a customer's account.
pub async fn has_children(tx: &mut Tx, customer: CustomerId) -> sqlx::Result<bool> {
    Ok(store::children(tx, customer).await? > 0)
}

/// Whether a customer is billed once a month, afterwards.
pub async fn is_billed(tx: &mut Tx, customer: CustomerId) -> sqlx::Result<bool> {
    store::is_postpaid(tx, customer).await
}

/// Puts a customer on another package. His time stays what it is.
pub async fn put_on(
    tx: &mut Tx,
    customer: CustomerId,
    package: PackageId,
    now: Timestamp,
) -> sqlx::Result<()> {
    store::set_package(tx, customer, package, now).await?;
    tx.changed(Kind::Subscriber, customer);
    Ok(())
}

/// Serves a locked customer on his word between two moments. What he pays later begins with the days he was
/// served; see `renewals`.
pub async fn promise(
    tx: &mut Tx,
    customer: CustomerId,
    from: Timestamp,
    until: Timestamp,
    now: Timestamp,
) -> sqlx::Result<()> {
    store::promise(tx, customer, from, until, now).await?;
    due::at(tx, RECKON, customer, now).await?;
    tx.changed(Kind::Subscriber, customer);
    Ok(())
}

/// Locks a customer to one device.
pub async fn lock_to_device(
    tx: &mut Tx,
    customer: CustomerId,
    mac: Mac,
    now: Timestamp,
) -> sqlx::Result<()> {
    store::set_macs(tx, customer, &[mac.to_string()], now).await?;
    tx.changed(Kind::Subscriber, customer);
    Ok(())
}

/// Hides a customer, frees his user name and address and ends his sessions; his site forgets him with the same
/// commit. Takes the last lock before the site counters.
pub async fn hide(
    tx: &mut Tx,
    customer: CustomerId,
    home: SiteId,
    kind: ConnectionType,
    now: Timestamp,
) -> sqlx::Result<()> {
    disconnect(tx, customer, home, now).await?;
    store::delete(tx, customer, now).await?;
    tx.changed(Kind::Subscriber, customer);
    follow_voucher(tx, customer);
    store::count(tx, kind, -1).await
}

/// Who came with nothing but a voucher has its id, and it stands at his site as long as he does.
fn follow_voucher(tx: &mut Tx, customer: CustomerId) {
    tx.changed(Kind::Voucher, customer);
}

/// Asks the sites where a customer is (his home site when he is nowhere) to end his sessions.
pub async fn disconnect(
    tx: &mut Tx,
    customer: CustomerId,
    home: SiteId,
    now: Timestamp,
) -> sqlx::Result<Disconnect> {
    let online = store::sites_online(tx, customer).await?;
    let known_online = !online.is_empty();
    let sites = if known_online { online } else { vec![home] };
    for site in sites {
        let order = Order::Disconnect(Whom::Customer(customer));
        commands::issue(tx, site, order, Some(customer), now).await?;
    }
    Ok(if known_online {
        Disconnect::Asked
    } else {
        Disconnect::NobodyKnownOnline
    })
}

/// What a customer is called, and the site where he is (his home site when he is nowhere); `None` when this tenant has
/// no such customer.
pub async fn whereabouts(
    tx: &mut Tx,
    customer: CustomerId,
) -> sqlx::Result<Option<(String, SiteId)>> {
    let Some((name, home)) = store::name_and_home(tx, customer).await? else {
        return Ok(None);
    };
    let online = store::sites_online(tx, customer).await?;
    Ok(Some((name, online.first().copied().unwrap_or(home))))
}

/// The sites where a customer is, as far as known; his home site when he is nowhere.
async fn sites_of(tx: &mut Tx, customer: CustomerId, home: SiteId) -> sqlx::Result<Vec<SiteId>> {
    let online = store::sites_online(tx, customer).await?;
    Ok(if online.is_empty() {
        vec![home]
    } else {
        online
    })
}

/// What became of a wish to disconnect. The router's own word follows as the command's result.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Disconnect {
    /// The sites where he is online were asked.
    Asked,
    /// No session is known; his home site was asked all the same.
    NobodyKnownOnline,
}

impl Disconnect {
    /// One sentence for a person.
    pub fn sentence(self) -> &'static str {
        match self {
            Disconnect::Asked => "The site was asked to end the session.",
            Disconnect::NobodyKnownOnline => {
                "No open session is known; the site was asked to end any there is."
            }
        }
    }
}

/// Why a customer cannot be made or changed so.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    /// Fields that cannot be.
    #[error("{} fields are wrong", .0.len())]
    Wrong(Vec<FieldError>),
    /// Another customer of the tenant has the user name.
    #[error("user name taken")]
    UsernameTaken,
    /// Another customer of the site has the address.
    #[error("address taken")]
    AddressTaken,
    /// No account number was free in many tries.
    #[error("no account number is free")]
    NoAccountNumber,
    /// The database or the keys.
    #[error(transparent)]
    Secret(#[from] SecretError),
}

impl From<sqlx::Error> for ChangeError {
    fn from(error: sqlx::Error) -> ChangeError {
        match violated(&error) {
            Some("customer_username") => ChangeError::UsernameTaken,
            Some("customer_static_ip") => ChangeError::AddressTaken,
            Some(_) | None => ChangeError::Secret(error.into()),
        }
    }
}

impl From<ChangeError> for ApiError {
    fn from(error: ChangeError) -> ApiError {
        match error {
            ChangeError::Wrong(fields) => ApiError::fields(fields),
            ChangeError::UsernameTaken => {
                ApiError::conflict("USERNAME_TAKEN", "Username already exists")
            }
            ChangeError::AddressTaken => ApiError::conflict(
                "ADDRESS_TAKEN",
                "ipAddress is taken: another customer of this site has this address",
            ),
            ChangeError::NoAccountNumber => ApiError::internal(error),
            ChangeError::Secret(error) => error.into(),
        }
    }
}

/// The home site for a router and a wish.
async fn home_site(
    tx: &mut Tx,
    router: Option<RouterId>,
    asked: Option<SiteId>,
) -> Result<SiteId, ChangeError> {
    let place = store::place(tx, router, asked).await?;
    rules::home(place, router, asked).map_err(|error| ChangeError::Wrong(vec![error]))
}

/// Refuses a parent who does not exist or has one himself, and a child who has children.
async fn parent_fits(
    tx: &mut Tx,
    child: Option<CustomerId>,
    parent: Option<CustomerId>,
) -> Result<(), ChangeError> {
    let Some(parent) = parent else {
        return Ok(());
    };
    if child == Some(parent) {
        return Err(wrong("parentId", "must be another customer"));
    }
    match store::has_parent(tx, parent).await? {
        None => return Err(wrong("parentId", "is no customer of yours")),
        Some(true) => {
            return Err(wrong(
                "parentId",
                "is a child account himself; name his parent",
            ));
        }
        Some(false) => {}
    }
    if store::children(tx, parent).await? >= MOST_CHILDREN {
        return Err(wrong("parentId", "has 50 child accounts already"));
    }
    let Some(child) = child else {
        return Ok(());
    };
    if store::children(tx, child).await? > 0 {
        return Err(wrong(
            "parentId",
            "must be empty: others are on his account",
        ));
    }
    // Else his time would be the other's, and every month would be billed to him all the same.
    match store::is_postpaid(tx, child).await? {
        true => Err(wrong(
            "parentId",
            "must be empty: he is billed monthly; end that first",
        )),
        false => Ok(()),
    }
}

/// Refuses a package that does not exist, is not sold, is for others, or is not sold where he is: at his router, or
/// where he has none at his site. Who has it keeps it.
async fn fits(
    tx: &mut Tx,
    package: PackageId,
    kind: ConnectionType,
    (router, site): (Option<RouterId>, Option<SiteId>),
) -> Result<(), ChangeError> {
    let found = store::package_type(tx, package).await?;
    let wrong = |error| ChangeError::Wrong(vec![error]);
    rules::fits(found, kind).map_err(wrong)?;
    let site = match site {
        Some(site) => site,
        None => sites::first(tx).await?,
    };
    match packages::is_sold_at(tx, package, router, site).await? {
        true => Ok(()),
        false => Err(wrong(rules::not_sold_there())),
    }
}

fn wrong(field: &str, message: &str) -> ChangeError {
    ChangeError::Wrong(vec![FieldError {
        field: field.to_owned(),
        message: message.to_owned(),
    }])
}

/// A random number that nobody on the platform has. Ten million exist: even with half of them taken,
/// fifty tries fail once in 10^15.
async fn account_number(
    tx: &mut Tx,
    customer: CustomerId,
    entropy: &Entropy,
) -> Result<AccountNumber, ChangeError> {
    for _ in 0..50 {
        let number = AccountNumber::nth(entropy.below(AccountNumber::COUNT));
        if store::claim_account_number(tx, number, customer).await? {
            return Ok(number);
        }
    }
    Err(ChangeError::NoAccountNumber)
}

/// The kind of the job that reckons how far a customer's wallet carries him; its subject is the customer.
/// Money is another feature's: the application says who does it.
pub const RECKON: &str = "customers.reckon";

/// The kind of the job that begins what a customer bought ahead, when its time has come, and looks when the next
/// one does; its subject is the customer. See `renewals`.
pub const BEGIN: &str = "renewals.begin";

/// Makes it due to reckon everybody who renews this package by himself: its price or period changed.
pub async fn reckon_package(
    db: &Database,
    tenant: TenantId,
    package: PackageId,
    now: Timestamp,
) -> sqlx::Result<()> {
    let mut after = None;
    loop {
        let mut tx = db.begin(tenant).await?;
        let some = store::renewing(&mut tx, package, after).await?;
        due::at_once(&mut tx, RECKON, &some, now).await?;
        tx.commit().await?;
        after = some.last().copied();
        if after.is_none() {
            return Ok(());
        }
    }
}

/// Tells sites of whoever has a package whose terms let him roam from now on, or no more; of whoever roams where no
/// package is named. Some hundred a transaction; a repeat tells what is so already.
pub async fn tell_roaming(
    db: &Database,
    tenant: TenantId,
    package: Option<PackageId>,
) -> sqlx::Result<()> {
    let mut after = None;
    loop {
        let mut tx = db.begin(tenant).await?;
        let some = store::roaming(&mut tx, package, after).await?;
        for customer in &some {
            tx.changed(Kind::Subscriber, *customer);
        }
        tx.commit().await?;
        after = some.last().copied();
        if after.is_none() {
            return Ok(());
        }
    }
}

/// So many on one account: all of them change in one transaction.
const MOST_CHILDREN: i64 = 50;

/// Under which name a customer's password is sealed.
const PASSWORD: &str = "customers.password";
/// A new customer's time when nobody says.
const FIRST_TIME: Duration = Duration::from_secs(30 * 86_400);
