//! Many customers at once: the rules of one by one, in a handful of statements for up to 500.

mod before;

use std::collections::{HashMap, HashSet};
use std::net::Ipv4Addr;
use std::time::Duration;

use easyisp_shared::account::AccountNumber;
use easyisp_shared::id::{CustomerId, PackageId, RouterId, SiteId};
use easyisp_shared::net::Mac;
use easyisp_shared::time::Timestamp;

use super::rules::{self, Change, Draft, Place};
use super::store::many::{self as store, Edited, Held, NewRow};
use super::words::{ConnectionType, Standing};
use super::{
    ChangeError, FIRST_TIME, FOLLOW, New, PASSWORD, RECKON, disconnect, follow, follow_voucher,
    parent_fits, told,
};
use crate::db::{Kind, Tx};
use crate::due;
use crate::error::FieldError;
use crate::ledger;
use crate::packages::{self, PackageType};
use crate::secrets::{Secrets, TenantKey};
use crate::webhooks::{self, Event};

pub use before::{Former, PutBack, put_back, remember};

pub use super::store::many::{Unused, hide_unused, named, numbered, unused};

/// Gives customers these labels and no others; returns those who had others before. With [`Depth::Look`] nothing is
/// written.
pub async fn tag(
    tx: &mut Tx,
    wanted: &[(CustomerId, Vec<String>)],
    depth: Depth,
) -> sqlx::Result<Vec<CustomerId>> {
    if wanted.is_empty() {
        return Ok(Vec::new());
    }
    let others = store::tagged_otherwise(tx, wanted).await?;
    if depth == Depth::Write && !others.is_empty() {
        let changed: Vec<(CustomerId, Vec<String>)> = wanted
            .iter()
            .filter(|(customer, _)| others.contains(customer))
            .cloned()
            .collect();
        store::set_tags(tx, &changed).await?;
    }
    Ok(others)
}

/// Whether anything is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Depth {
    /// Only what would be.
    Look,
    /// For good.
    Write,
}

/// Somebody to be made.
#[derive(Clone)]
pub struct Newcomer {
    /// The record.
    pub new: New,
    /// An address of his own.
    pub static_ip: Option<Ipv4Addr>,
    /// The devices he is locked to.
    pub macs: Vec<Mac>,
}

/// A change of somebody who is there. What is `None` stays.
#[derive(Clone)]
pub struct Edit {
    /// Who.
    pub customer: CustomerId,
    /// His record.
    pub change: Change,
    /// His password in the clear.
    pub password: Option<String>,
    /// The end of his time.
    pub expires_at: Option<Timestamp>,
    /// An address of his own.
    pub static_ip: Option<Ipv4Addr>,
    /// The devices he is locked to.
    pub macs: Option<Vec<Mac>>,
}

/// What an edit came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Updated {
    /// Something is different; where the end of his time is, the one before and the new one.
    Changed(Option<(Timestamp, Timestamp)>),
    /// He was so already.
    Same,
}

/// What became of each, in the order asked: the fields that cannot be, or him.
pub type Outcomes<T> = Vec<Result<T, Vec<FieldError>>>;

/// Makes customers as [`super::create`] makes one; one that cannot be made does not stop the others.
///
/// Somebody who takes a user name or an address at the same moment wins: his rival is refused as if he had
/// been there. With [`Depth::Look`] the ids mean nothing.
pub async fn create(
    tx: &mut Tx,
    secrets: &Secrets,
    newcomers: &[Newcomer],
    depth: Depth,
    now: Timestamp,
) -> Result<Outcomes<CustomerId>, ChangeError> {
    let drafts = || newcomers.iter().map(|newcomer| &newcomer.new.draft);
    let known = Known::of(tx, drafts()).await?;
    let names: Vec<String> = drafts().map(|draft| draft.username.clone()).collect();
    let mut names: HashSet<String> = super::taken(tx, &names).await?;
    let address = |newcomer: &Newcomer| newcomer.static_ip.map(|address| address.to_string());
    let wanted: Vec<String> = newcomers.iter().filter_map(address).collect();
    let mut addresses = Addresses::of(tx, &wanted).await?;

    let entropy = tx.entropy();
    let mut outcomes = Vec::with_capacity(newcomers.len());
    let mut places = Vec::with_capacity(newcomers.len());
    for newcomer in newcomers {
        let draft = &newcomer.new.draft;
        let mut wrong: Vec<FieldError> = Vec::new();
        wrong.extend(rules::password(&newcomer.new.password).err());
        wrong.extend(known.fits(draft).err());
        let site = known.home(draft.router, draft.site);
        wrong.extend(site.as_ref().err().cloned());
        let customer = CustomerId::new(now, &entropy);
        if let Ok(site) = site
            && wrong.is_empty()
        {
            if !names.insert(draft.username.clone()) {
                wrong.push(username_taken());
            } else if !addresses.claim(site, address(newcomer), customer) {
                wrong.push(address_taken());
            }
            places.push((outcomes.len(), site));
        }
        outcomes.push(if wrong.is_empty() {
            Ok(customer)
        } else {
            Err(wrong)
        });
    }
    if depth == Depth::Look {
        return Ok(outcomes);
    }

    let made: Vec<(usize, CustomerId, SiteId)> = places
        .into_iter()
        .filter_map(|(at, site)| Some((at, *outcomes[at].as_ref().ok()?, site)))
        .collect();
    let ids: Vec<CustomerId> = made.iter().map(|(_, id, _)| *id).collect();
    let mut numbers = account_numbers(tx, &ids).await?;
    let key = secrets.tenant(tx).await?;
    let mut rows = Vec::with_capacity(made.len());
    let mut events = HashMap::with_capacity(made.len());
    for (at, customer, site) in made {
        let newcomer = &newcomers[at];
        let number = numbers
            .remove(&customer)
            .ok_or(ChangeError::NoAccountNumber)?;
        let until = newcomer
            .new
            .expires_at
            .unwrap_or_else(|| now.plus(FIRST_TIME));
        let draft = &newcomer.new.draft;
        let event = told::created(tx, customer, number, site, draft, until, now);
        events.insert(customer, (at, event));
        let sealed = key.seal(PASSWORD, customer.0, newcomer.new.password.as_bytes());
        rows.push(NewRow::new(
            customer,
            number,
            site,
            draft,
            &sealed,
            until,
            (newcomer.static_ip, &newcomer.macs),
        ));
    }
    let written: HashSet<CustomerId> = store::insert(tx, &rows, now).await?.into_iter().collect();
    let mut told: Vec<Event> = Vec::with_capacity(written.len());
    let mut counts: HashMap<ConnectionType, i64> = HashMap::new();
    for (customer, (at, event)) in events {
        if !written.contains(&customer) {
            outcomes[at] = Err(vec![lost_race()]);
            continue;
        }
        told.push(event);
        *counts
            .entry(newcomers[at].new.draft.connection_type)
            .or_default() += 1;
        tx.changed(Kind::Subscriber, customer);
    }
    let written: Vec<CustomerId> = written.into_iter().collect();
    ledger::open_wallets(tx, &written, now).await?;
    webhooks::tell(tx, &told, now).await?;
    count(tx, &counts).await?;
    Ok(outcomes)
}

/// Changes customers as an edit of one does, without lines in the trail: the caller writes one for all. No end is
/// moved to an earlier moment: that is one customer's own matter.
///
/// Locks them until the transaction ends, in the order of their ids.
pub async fn update(
    tx: &mut Tx,
    secrets: &Secrets,
    edits: &[Edit],
    depth: Depth,
    now: Timestamp,
) -> Result<Outcomes<Updated>, ChangeError> {
    let ids: Vec<CustomerId> = edits.iter().map(|edit| edit.customer).collect();
    let mut held: HashMap<CustomerId, Held> = HashMap::new();
    for one in store::lock(tx, &ids).await? {
        held.insert(one.id, one);
    }
    let drafts: Vec<Option<Result<Draft, Vec<FieldError>>>> = edits
        .iter()
        .map(|edit| {
            let before = held.get(&edit.customer)?.draft();
            Some(rules::draft(edit.change.clone(), Some(&before)))
        })
        .collect();
    let known = Known::of(tx, drafts.iter().flatten().flatten()).await?;
    // Also the addresses that stay: who moves to another site may find his own taken there.
    let mut wanted: Vec<String> = Vec::new();
    for edit in edits {
        wanted.extend(edit.static_ip.map(|address| address.to_string()));
        wanted.extend(
            held.get(&edit.customer)
                .and_then(|one| one.static_ip.clone()),
        );
    }
    let mut addresses = Addresses::of(tx, &wanted).await?;
    let key = secrets.tenant(tx).await?;

    let mut outcomes = Vec::with_capacity(edits.len());
    let mut edited = Vec::new();
    for (edit, draft) in edits.iter().zip(drafts) {
        let (Some(before), Some(draft)) = (held.get(&edit.customer), draft) else {
            outcomes.push(Err(vec![lost_race()]));
            continue;
        };
        let outcome = draft.and_then(|draft| {
            let changed = changed(edit, before, draft, &known, &key)?;
            if let Some(changed) = &changed
                && (changed.site != before.site_id || changed.static_ip != before.static_ip)
                && !addresses.claim(changed.site, changed.static_ip.clone(), edit.customer)
            {
                return Err(vec![address_taken()]);
            }
            Ok(changed)
        });
        outcomes.push(outcome.map(|changed| match changed {
            Some(changed) => {
                let ends = changed.until.map(|until| (before.paid_until, until));
                edited.push(changed);
                Updated::Changed(ends)
            }
            None => Updated::Same,
        }));
    }
    if depth == Depth::Write {
        write(tx, &held, &edited, now).await?;
    }
    Ok(outcomes)
}

/// What an edit makes of somebody; `None` when that is nothing new.
fn changed(
    edit: &Edit,
    before: &Held,
    draft: Draft,
    known: &Known,
    key: &TenantKey,
) -> Result<Option<Edited>, Vec<FieldError>> {
    let was = before.draft();
    let mut wrong: Vec<FieldError> = Vec::new();
    // Who has a package keeps it.
    if draft.package != was.package || draft.connection_type != was.connection_type {
        wrong.extend(known.fits(&draft).err());
    }
    let site = match (draft.router, draft.site) == (was.router, was.site) {
        true => Ok(before.site_id),
        false => known.home(draft.router, draft.site),
    };
    wrong.extend(site.as_ref().err().cloned());
    let sealed = match &edit.password {
        Some(password) => {
            wrong.extend(rules::password(password).err());
            let same = key
                .open(PASSWORD, edit.customer.0, &before.password_sealed)
                .is_ok_and(|held| held.as_slice() == password.as_bytes());
            match same {
                true => before.password_sealed.clone(),
                false => key.seal(PASSWORD, edit.customer.0, password.as_bytes()),
            }
        }
        None => before.password_sealed.clone(),
    };
    let until = edit
        .expires_at
        .filter(|until| !is_same_end(*until, before.paid_until));
    let own_time = |field: &str, message: &str| FieldError {
        field: field.to_owned(),
        message: message.to_owned(),
    };
    if until.is_some() && before.parent_id.is_some() {
        wrong.push(own_time("expiresAt", "is his parent's; change the parent"));
    } else if before.paused_at.is_none() && until.is_some_and(|until| until < before.paid_until) {
        // The file may be older than what he paid since.
        let sooner = format!(
            "is earlier than what is paid, {}; change it at the customer",
            before.paid_until
        );
        wrong.push(own_time("expiresAt", &sooner));
    }
    if before.paused_at.is_some() {
        let paused = "stands still while he is paused; resume him first";
        wrong.extend(until.map(|_| own_time("expiresAt", paused)));
        let standing = draft.standing != was.standing;
        wrong.extend(standing.then(|| own_time("status", paused)));
    }
    let Ok(site) = site else { return Err(wrong) };
    if !wrong.is_empty() {
        return Err(wrong);
    }
    let edited = Edited {
        id: edit.customer,
        site,
        sealed,
        until,
        static_ip: match edit.static_ip {
            Some(address) => Some(address.to_string()),
            None => before.static_ip.clone(),
        },
        macs: match &edit.macs {
            Some(macs) => macs.iter().map(ToString::to_string).collect(),
            None => before.macs.clone(),
        },
        draft: Draft {
            site: Some(site),
            ..draft
        },
    };
    let same = edited.draft == was
        && until.is_none()
        && edited.site == before.site_id
        && edited.sealed == before.password_sealed
        && edited.static_ip == before.static_ip
        && edited.macs == before.macs;
    Ok((!same).then_some(edited))
}

/// Whether a file says no other end than there is: a spreadsheet may have dropped the seconds of it.
fn is_same_end(said: Timestamp, held: Timestamp) -> bool {
    said.millis() == held.millis() || said < held && held.since(said) < Duration::from_secs(60)
}

async fn write(
    tx: &mut Tx,
    held: &HashMap<CustomerId, Held>,
    edited: &[Edited],
    now: Timestamp,
) -> Result<(), ChangeError> {
    store::update(tx, edited, now).await?;
    follow_edits(tx, held, edited, now).await
}

/// What follows from changes that were written.
async fn follow_edits(
    tx: &mut Tx,
    held: &HashMap<CustomerId, Held>,
    edited: &[Edited],
    now: Timestamp,
) -> Result<(), ChangeError> {
    let mut counts: HashMap<ConnectionType, i64> = HashMap::new();
    let (mut reckoned, mut parents) = (Vec::new(), HashSet::new());
    for one in edited {
        let Some(before) = held.get(&one.id) else {
            continue; // only who is held was edited
        };
        let (was, is) = (before.draft(), &one.draft);
        if one.until.is_some()
            || (is.package, is.auto_renew, is.standing)
                != (was.package, was.auto_renew, was.standing)
        {
            reckoned.push(one.id);
            parents.extend(is.parent);
        }
        if is.standing != was.standing && is.standing != Standing::Active {
            disconnect(tx, one.id, before.site_id, now).await?;
        }
        if is.connection_type != was.connection_type {
            *counts.entry(was.connection_type).or_default() -= 1;
            *counts.entry(is.connection_type).or_default() += 1;
        }
        tx.changed(Kind::Subscriber, one.id);
        if one.site != before.site_id {
            follow_voucher(tx, one.id);
        }
    }
    due::at_once(tx, RECKON, &reckoned, now).await?;
    due::at_once(tx, FOLLOW, &Vec::from_iter(parents), now).await?;
    Ok(count(tx, &counts).await?)
}

/// Whose time is lost when he is put on another's account.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OwnTime {
    /// He was made a moment ago: what he has he was given.
    Given,
    /// He paid for it: he keeps it, and is not put there.
    Paid,
}

/// Puts a customer on another's account, whose time is his from here on; whether that is new.
///
/// # Errors
/// [`ChangeError::Wrong`] with nothing written when the two do not fit, or he has time of his own.
pub async fn put_under(
    tx: &mut Tx,
    child: CustomerId,
    parent: CustomerId,
    own: OwnTime,
    now: Timestamp,
) -> Result<bool, ChangeError> {
    let held = store::lock(tx, &[child]).await?;
    let Some(before) = held.into_iter().next() else {
        return Err(ChangeError::Wrong(vec![lost_race()]));
    };
    if before.parent_id == Some(parent) {
        return Ok(false);
    }
    parent_fits(tx, Some(child), Some(parent)).await?;
    let has_time = before.paid_until > now || before.paused_at.is_some();
    if own == OwnTime::Paid && before.parent_id.is_none() && has_time {
        return Err(ChangeError::Wrong(vec![FieldError {
            field: "parentId".to_owned(),
            message: format!(
                "cannot be: he has time of his own until {}, which would be lost",
                before.paid_until
            ),
        }]));
    }
    store::put_under(tx, child, parent, now).await?;
    follow(tx, parent, now).await?;
    due::at(tx, RECKON, child, now).await?;
    tx.changed(Kind::Subscriber, child);
    Ok(true)
}

/// Takes customers whom nobody touched since they had these versions out again, as [`super::hide`] does with one.
/// Returns those who are gone; locks them, and decides under the lock.
pub async fn take_back(
    tx: &mut Tx,
    customers: &[(CustomerId, i64)],
    now: Timestamp,
) -> sqlx::Result<Vec<Unused>> {
    let ids: Vec<CustomerId> = customers.iter().map(|(id, _)| *id).collect();
    store::lock(tx, &ids).await?;
    let found = unused(tx, customers).await?;
    let gone: Vec<&Unused> = found.iter().filter(|one| one.why_not().is_none()).collect();
    let ids: Vec<CustomerId> = gone.iter().map(|one| one.id).collect();
    let mut counts: HashMap<ConnectionType, i64> = HashMap::new();
    for one in &gone {
        *counts.entry(one.connection_type).or_default() -= 1;
        tx.changed(Kind::Subscriber, one.id);
    }
    hide_unused(tx, &ids, now).await?;
    count(tx, &counts).await?;
    Ok(found)
}

/// In one order: the last locks before the site counters.
async fn count(tx: &mut Tx, counts: &HashMap<ConnectionType, i64>) -> sqlx::Result<()> {
    for kind in ConnectionType::ALL {
        match counts.get(&kind) {
            Some(by) if *by != 0 => super::store::count(tx, kind, *by).await?,
            Some(_) | None => {}
        }
    }
    Ok(())
}

/// Account numbers that nobody has, one each. See [`super::account_number`].
async fn account_numbers(
    tx: &mut Tx,
    customers: &[CustomerId],
) -> sqlx::Result<HashMap<CustomerId, AccountNumber>> {
    let entropy = tx.entropy();
    let mut numbers = HashMap::with_capacity(customers.len());
    for _ in 0..50 {
        let missing: Vec<CustomerId> = customers
            .iter()
            .filter(|customer| !numbers.contains_key(*customer))
            .copied()
            .collect();
        if missing.is_empty() {
            break;
        }
        let drawn: HashMap<CustomerId, AccountNumber> = missing
            .iter()
            .map(|customer| {
                let number = AccountNumber::nth(entropy.below(AccountNumber::COUNT));
                (*customer, number)
            })
            .collect();
        let wanted: Vec<i32> = missing
            .iter()
            .map(|customer| drawn[customer].number())
            .collect();
        for customer in store::claim_account_numbers(tx, &missing, &wanted).await? {
            numbers.insert(customer, drawn[&customer]);
        }
    }
    Ok(numbers)
}

/// The packages, routers and sites that some drafts name, locked against deletion.
struct Known {
    packages: HashMap<PackageId, (PackageType, bool)>,
    /// Where those packages are sold that are not sold everywhere.
    sold_at: HashMap<PackageId, Vec<(RouterId, SiteId)>>,
    routers: HashMap<RouterId, SiteId>,
    sites: HashSet<SiteId>,
    first: Option<SiteId>,
}

impl Known {
    async fn of<'a>(
        tx: &mut Tx,
        drafts: impl Iterator<Item = &'a Draft> + Clone,
    ) -> sqlx::Result<Known> {
        let packages: HashSet<PackageId> = drafts.clone().filter_map(|d| d.package).collect();
        let routers: HashSet<RouterId> = drafts.clone().filter_map(|d| d.router).collect();
        let sites: HashSet<SiteId> = drafts.filter_map(|d| d.site).collect();
        let (sites, first) = store::sites(tx, &Vec::from_iter(sites)).await?;
        let packages = Vec::from_iter(packages);
        let mut sold_at: HashMap<PackageId, Vec<(RouterId, SiteId)>> = HashMap::new();
        if !packages.is_empty() {
            for (package, router, site) in packages::sold_at(tx, &packages).await? {
                sold_at.entry(package).or_default().push((router, site));
            }
        }
        Ok(Known {
            packages: store::packages(tx, &packages).await?,
            sold_at,
            routers: store::routers(tx, &Vec::from_iter(routers)).await?,
            sites: sites.into_iter().collect(),
            first,
        })
    }

    fn fits(&self, draft: &Draft) -> Result<(), FieldError> {
        let Some(package) = draft.package else {
            return Ok(());
        };
        rules::fits(self.packages.get(&package).copied(), draft.connection_type)?;
        let (Some(places), Ok(home)) = (
            self.sold_at.get(&package),
            self.home(draft.router, draft.site),
        ) else {
            return Ok(());
        };
        let here = |(router, site): &(RouterId, SiteId)| match draft.router {
            Some(his) => *router == his,
            None => *site == home,
        };
        match places.iter().any(here) {
            true => Ok(()),
            false => Err(rules::not_sold_there()),
        }
    }

    fn home(&self, router: Option<RouterId>, asked: Option<SiteId>) -> Result<SiteId, FieldError> {
        let place = Place {
            router_site: router.and_then(|router| self.routers.get(&router).copied()),
            asked_site: asked.filter(|site| self.sites.contains(site)),
            first_site: self.first,
        };
        rules::home(place, router, asked)
    }
}

/// Who has which address at which site.
struct Addresses(HashMap<(SiteId, String), CustomerId>);

impl Addresses {
    async fn of(tx: &mut Tx, wanted: &[String]) -> sqlx::Result<Addresses> {
        let mut held = HashMap::new();
        if !wanted.is_empty() {
            for (site, address, customer) in store::addresses(tx, wanted).await? {
                held.insert((site, address), customer);
            }
        }
        Ok(Addresses(held))
    }

    /// Whether it is his from here on.
    fn claim(&mut self, site: SiteId, address: Option<String>, customer: CustomerId) -> bool {
        let Some(address) = address else { return true };
        *self.0.entry((site, address)).or_insert(customer) == customer
    }
}

fn username_taken() -> FieldError {
    FieldError {
        field: "username".to_owned(),
        message: "is another customer's".to_owned(),
    }
}

fn address_taken() -> FieldError {
    FieldError {
        field: "ipAddress".to_owned(),
        message: "is another customer's at this site; choose another, or leave it empty".to_owned(),
    }
}

fn lost_race() -> FieldError {
    FieldError {
        field: "username".to_owned(),
        message: "was taken, changed or deleted by somebody else at the same moment; send it again"
            .to_owned(),
    }
}
