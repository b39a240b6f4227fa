//! What customers were before they were changed together, and how they become so again.

use std::collections::{HashMap, HashSet};

use easyisp_shared::id::{CustomerId, PackageId, RouterId, SiteId};
use easyisp_shared::time::Timestamp;
use serde::Deserialize;
use serde_json::Value;

use super::{Addresses, Edited, Held, follow_edits, store};
use crate::customers::ChangeError;
use crate::customers::store::before as sql;
use crate::db::Tx;

/// What some customers are, with their labels, for [`put_back`]; locks them until the transaction ends. Passwords are
/// among it, as they are stored: keep it sealed.
pub async fn remember(
    tx: &mut Tx,
    customers: &[CustomerId],
) -> sqlx::Result<HashMap<CustomerId, Value>> {
    if customers.is_empty() {
        return Ok(HashMap::new());
    }
    Ok(sql::remember(tx, customers).await?.into_iter().collect())
}

/// Somebody who is to be what he was.
pub struct Former {
    /// Who.
    pub customer: CustomerId,
    /// What he was, as [`remember`] told.
    pub was: Value,
    /// As what he was left then: who is another by now is not put back. What we reckon by ourselves is not in it.
    pub left: Value,
}

/// What came of putting somebody back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PutBack {
    /// He is what he was; where the end of his time moved, the one until now and the one from here on.
    Done(Option<(Timestamp, Timestamp)>),
    /// He stays as he is; a sentence that begins with him.
    Stays(&'static str),
}

/// Makes customers what they were, where nobody changed them since; in the order asked. Locks them until the
/// transaction ends, in the order of their ids.
pub async fn put_back(
    tx: &mut Tx,
    former: &[Former],
    now: Timestamp,
) -> Result<Vec<PutBack>, ChangeError> {
    let ids: Vec<CustomerId> = former.iter().map(|one| one.customer).collect();
    let held: HashMap<CustomerId, Held> = by_id(store::lock(tx, &ids).await?);
    let present = remember(tx, &ids).await?;
    let wanted: Vec<Option<Wanted>> = former
        .iter()
        .map(|one| Wanted::deserialize(&one.was).ok())
        .collect();
    let places = Places::of(tx, wanted.iter().flatten()).await?;
    let asked: Vec<String> = wanted
        .iter()
        .flatten()
        .filter_map(|one| one.static_ip.clone())
        .collect();
    let mut addresses = Addresses::of(tx, &asked).await?;

    let mut outcomes = Vec::with_capacity(former.len());
    let (mut rows, mut labels) = (Vec::new(), Vec::new());
    for (one, wanted) in former.iter().zip(wanted) {
        let why = match (present.get(&one.customer), wanted) {
            (None, _) => Some(DELETED),
            (Some(present), _) if *present != one.left => Some(CHANGED),
            (Some(_), Some(wanted))
                if places.has(&wanted)
                    && addresses.claim(wanted.site_id, wanted.static_ip.clone(), one.customer) =>
            {
                labels.push((one.customer, wanted.tags));
                rows.push(&one.was);
                None
            }
            (Some(_), Some(_) | None) => Some(GONE),
        };
        outcomes.push(match why {
            Some(why) => PutBack::Stays(why),
            None => PutBack::Done(None),
        });
    }
    if rows.is_empty() {
        return Ok(outcomes);
    }
    sql::put_back(tx, &rows, now).await?;
    store::set_tags(tx, &labels).await?;

    let done: Vec<CustomerId> = labels.into_iter().map(|(customer, _)| customer).collect();
    let is = by_id(store::lock(tx, &done).await?);
    let mut edited = Vec::with_capacity(done.len());
    for (one, outcome) in former.iter().zip(&mut outcomes) {
        let PutBack::Done(ends) = outcome else {
            continue;
        };
        if let (Some(was), Some(is)) = (held.get(&one.customer), is.get(&one.customer)) {
            let until = (was.paid_until != is.paid_until).then_some(is.paid_until);
            *ends = until.map(|until| (was.paid_until, until));
            edited.push(Edited {
                id: is.id,
                site: is.site_id,
                draft: is.draft(),
                sealed: is.password_sealed.clone(),
                until,
                static_ip: is.static_ip.clone(),
                macs: is.macs.clone(),
            });
        }
    }
    follow_edits(tx, &held, &edited, now).await?;
    Ok(outcomes)
}

fn by_id(held: Vec<Held>) -> HashMap<CustomerId, Held> {
    held.into_iter().map(|one| (one.id, one)).collect()
}

/// What somebody wants back that another may have, or that may be gone.
#[derive(Deserialize)]
struct Wanted {
    site_id: SiteId,
    package_id: Option<PackageId>,
    router_id: Option<RouterId>,
    static_ip: Option<String>,
    tags: Vec<String>,
}

/// What is there of that, locked against deletion.
struct Places {
    packages: HashSet<PackageId>,
    routers: HashMap<RouterId, SiteId>,
    sites: HashSet<SiteId>,
}

impl Places {
    async fn of<'a>(
        tx: &mut Tx,
        wanted: impl Iterator<Item = &'a Wanted> + Clone,
    ) -> sqlx::Result<Places> {
        let packages: HashSet<PackageId> = wanted.clone().filter_map(|w| w.package_id).collect();
        let routers: HashSet<RouterId> = wanted.clone().filter_map(|w| w.router_id).collect();
        let sites: HashSet<SiteId> = wanted.map(|w| w.site_id).collect();
        let (sites, _) = store::sites(tx, &Vec::from_iter(sites)).await?;
        let packages = store::packages(tx, &Vec::from_iter(packages)).await?;
        Ok(Places {
            packages: packages.into_keys().collect(),
            routers: store::routers(tx, &Vec::from_iter(routers)).await?,
            sites: sites.into_iter().collect(),
        })
    }

    fn has(&self, wanted: &Wanted) -> bool {
        let package = wanted.package_id;
        let router = wanted.router_id;
        package.is_none_or(|package| self.packages.contains(&package))
            && router.is_none_or(|router| self.routers.get(&router) == Some(&wanted.site_id))
            && self.sites.contains(&wanted.site_id)
    }
}

const DELETED: &str = "was deleted already";
const CHANGED: &str = "was changed since";
const GONE: &str =
    "had a package, router, site or address that is gone or another's; change it at the customer";
