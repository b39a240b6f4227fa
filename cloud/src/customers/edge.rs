//! What a home site knows of its customers.

use std::sync::Arc;

use easyisp_shared::entitlement::{Bound, Live, RateOverride, Subscriber};
use easyisp_shared::net::{Mac, RateLimit};
use easyisp_shared::seal::SealKey;
use easyisp_shared::time::Timestamp;
use easyisp_shared::unlock::Grant;
use easyisp_shared::wire::down::{Network, SubscriberV1, UsedV1, secret_place};
use easyisp_shared::wire::{Down, Up};
use uuid::Uuid;

use super::PASSWORD;
use super::networks::net;
use super::store::{self, Edge};
use crate::audit::{self, Action, Actor, Audit};
use crate::db::{Kind, Lister, Projection, Projector, Tx};
use crate::secrets::{SecretError, Secrets, TenantKey};
use crate::sites::agents::Agent;
use crate::sites::reports::{Applier, Report, Unusable};
use crate::{packages, tenants};

/// Projects customers to their home sites, their passwords sealed under the site's key.
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

/// Takes devices that customers were seen with for the first time.
pub fn devices() -> Applier {
    Arc::new(|tx, agent, reports, now| Box::pin(remember(tx, agent, reports, now)))
}

/// A site speaks of its own customers only; a customer who is gone needs no device.
async fn remember(
    tx: &mut Tx,
    agent: &Agent,
    reports: &[Report],
    now: Timestamp,
) -> sqlx::Result<Vec<Unusable>> {
    for report in reports {
        let Up::Device(told) = &report.body else {
            continue;
        };
        let seen = (told.mac.to_string(), told.at);
        if store::remember_device(tx, told.customer, agent.site, &seen, now).await? {
            tx.changed(Kind::Subscriber, told.customer);
        }
    }
    Ok(Vec::new())
}

/// Takes codes from the phone that were used.
pub fn unlocks() -> Applier {
    Arc::new(|tx, agent, reports, now| Box::pin(unlock(tx, agent, reports, now)))
}

/// Who made it and where it was used stand in the trail together; a repeat says nothing new.
async fn unlock(
    tx: &mut Tx,
    agent: &Agent,
    reports: &[Report],
    now: Timestamp,
) -> sqlx::Result<Vec<Unusable>> {
    for report in reports {
        let Up::Unlock(told) = &report.body else {
            continue;
        };
        let grant = Grant {
            customer: told.customer,
            hour: told.hour,
            hours: told.hours,
            serial: told.serial,
        };
        let at = told.at.min(now);
        let used = store::use_unlock(tx, agent.site, agent.id, &grant, at).await?;
        if let Some((name, made_by)) = used {
            let line = Audit {
                details: format!(
                    "Let in at the site from {at} until {} with a code that {made_by} had made",
                    told.until
                ),
                ..Audit::new(Action::UnlockCodeUse, "customer", told.customer, &name)
            };
            audit::record(tx, &Actor::agent(agent.id), line, now).await?;
        }
    }
    Ok(Vec::new())
}

/// Takes devices that first logins bound customers to.
pub fn binds() -> Applier {
    Arc::new(|tx, agent, reports, now| Box::pin(bind(tx, agent, reports, now)))
}

/// A site speaks of its own customers only. Of two of a site's agents that let different devices in for the
/// last place, the one that is heard first keeps it; the other's device is refused from then on.
async fn bind(
    tx: &mut Tx,
    agent: &Agent,
    reports: &[Report],
    now: Timestamp,
) -> sqlx::Result<Vec<Unusable>> {
    let named = reports.iter().filter_map(|report| {
        let Up::Bind(told) = &report.body else {
            return None;
        };
        Some(told.customer)
    });
    // Before anything is read: another agent's bind, or somebody who frees him, comes before or after.
    store::lock_all(tx, &named.collect::<Vec<_>>()).await?;
    let policy = tenants::site_policy(tx).await?;
    for report in reports {
        let Up::Bind(told) = &report.body else {
            continue;
        };
        let found = store::edge(tx, &[told.customer.0]).await?;
        let Some(row) = found.iter().find(|row| row.site_id == agent.site) else {
            continue;
        };
        let package = match row.package_id {
            Some(package) => packages::entitlement(tx, package).await?,
            None => None,
        };
        let freed = row.unbound_at.is_some_and(|freed| told.at <= freed);
        let live = Live {
            mac: Some(told.mac),
            bound: bound(row),
            ..Live::default()
        };
        let fits = package.is_some_and(|package| {
            let is = entitlement(row).bound(&package, &live, &policy);
            matches!(is, Bound::Next { .. })
        });
        let mut macs = bound(row);
        if fits && !freed {
            macs.retain(|held| Some(*held) != told.instead_of);
            macs.push(told.mac);
        }
        let macs: Vec<String> = macs.iter().map(ToString::to_string).collect();
        store::set_bound(tx, told.customer, &macs, now).await?;
        tx.changed(Kind::Subscriber, told.customer);
    }
    Ok(Vec::new())
}

/// Names all customers.
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
    for row in store::edge(tx, ids).await? {
        let site_key = site_keys.open(&key, row.site_id, &row.site_key_sealed)?;
        projections.push(Projection {
            id: row.id.0,
            site: row.site_id,
            body: Down::Subscriber(body(&row, &key, site_key)?).encode(),
        });
    }
    Ok(projections)
}

fn body(row: &Edge, key: &TenantKey, site_key: &SealKey) -> Result<SubscriberV1, SecretError> {
    let password = key.open(PASSWORD, row.id.0, &row.password_sealed)?;
    let place = secret_place(Kind::Subscriber, row.id.0, "password");
    let known = entitlement(row);
    let used = |used: i64| u64::try_from(used).unwrap_or(0);
    Ok(SubscriberV1 {
        customer: row.id,
        username: row.username.clone().into_bytes(),
        password: site_key.seal_same(&place, &password),
        connection: row.connection_type.into(),
        standing: known.standing,
        period_start: row.bytes_used_since.unwrap_or(row.created_at),
        paid_until: known.paid_until,
        funded_until: known.funded_until,
        package: row.package_id,
        // What is his alone is routed to one place.
        static_ip: row
            .static_ip
            .as_deref()
            .filter(|_| row.home)
            .and_then(|address| address.parse().ok()),
        macs: known.macs,
        devices: known.devices,
        router: known.router,
        rate_override: known.rate_override,
        account: u32::try_from(row.account_number).unwrap_or(0),
        remembered_macs: row
            .remembered_macs
            .iter()
            .filter_map(|mac| Mac::parse(mac))
            .collect(),
        used: UsedV1 {
            bytes: used(row.told_bytes),
            secs: used(row.told_secs),
        },
        routes: match row.home {
            true => row.networks.route_nets().map(Network::from).collect(),
            false => Vec::new(),
        },
        ipv6_prefix: net(&row.networks.ipv6_prefix)
            .filter(|_| row.home)
            .map(Network::from),
        delegated_prefix: net(&row.networks.delegated_ipv6_prefix)
            .filter(|_| row.home)
            .map(Network::from),
        bound_macs: bound(row),
        unbound_at: row.unbound_at,
    })
}

/// The devices that first logins bound him to.
pub(super) fn bound(row: &Edge) -> Vec<Mac> {
    let bound = row.bound_macs.iter();
    bound.filter_map(|mac| Mac::parse(mac)).collect()
}

/// What a decision looks at, for the sites and for a forecast alike.
pub(super) fn entitlement(row: &Edge) -> Subscriber {
    let mbps = |mbps: i32| u32::try_from(mbps).unwrap_or(0);
    Subscriber {
        standing: row.standing.into(),
        paid_until: row.paid_until,
        funded_until: row.funded_until.unwrap_or(row.paid_until),
        macs: row.macs.iter().filter_map(|mac| Mac::parse(mac)).collect(),
        devices: row.devices.and_then(|devices| u16::try_from(devices).ok()),
        router: row.router_id.filter(|_| !row.roams),
        rate_override: match (row.rate_up_mbps, row.rate_down_mbps) {
            (Some(up), Some(down)) => Some(RateOverride {
                rate: RateLimit::mbps(mbps(up), mbps(down)),
                until: row.rate_until,
            }),
            (None, _) | (_, None) => None,
        },
    }
}
