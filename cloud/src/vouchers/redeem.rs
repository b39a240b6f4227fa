//! A code is shown, here or at a site: its time begins, once.

use std::time::Duration;

use easyisp_shared::entropy::Entropy;
use easyisp_shared::id::{AgentId, CustomerId, SiteId};
use easyisp_shared::money::Cents;
use easyisp_shared::net::Mac;
use easyisp_shared::time::Timestamp;
use easyisp_shared::voucher::{self, VoucherDigest};
use easyisp_shared::wire::down::VoucherV1;
use easyisp_shared::wire::up::RedemptionV1;

use super::rules::Status;
use super::store::{self, Row, Use};
use super::words::Stored;
use super::{VoucherError, edge, sale};
use crate::audit::{self, Action, Actor, Audit};
use crate::customers::{self, ConnectionType, Draft, New, Standing};
use crate::db::{Kind, Tx};
use crate::packages;
use crate::renewals::{self, Buyer, Redeemed, Worth};
use crate::secrets::Secrets;
use crate::sites;
use crate::sites::agents::{Agent, keepers};

/// A code that somebody shows.
#[derive(Clone, Debug)]
pub struct Shown {
    /// What it is known by.
    pub digest: VoucherDigest,
    /// Who is to get the period; `None` = somebody with nothing but the code.
    pub customer: Option<CustomerId>,
    /// His device.
    pub mac: Option<Mac>,
    /// The site's agent that he showed it to; `None` = the cloud.
    pub agent: Option<Agent>,
    /// The agent that just gave the voucher back, unused.
    pub released: Option<AgentId>,
    /// When the agent that asks wrote down that this is the first use; see [`keepers`].
    pub voted: Option<Timestamp>,
}

/// Whose a voucher is from now on.
#[derive(Clone, Debug)]
pub struct LetIn {
    /// The voucher as its site knows it.
    pub voucher: VoucherV1,
    /// Its user.
    pub customer: CustomerId,
    /// When his time ends.
    pub until: Timestamp,
}

/// Takes a code: its user's time begins now. Locks the voucher until the transaction ends.
///
/// A site that shows a code again for the device that used it there hears the same: its first answer may
/// have got lost.
///
/// # Errors
/// [`VoucherError::HeldBy`] when a site must be asked to give it back first; nothing is written then.
pub async fn show(
    tx: &mut Tx,
    secrets: &Secrets,
    shown: &Shown,
    actor: &Actor,
    now: Timestamp,
) -> Result<LetIn, VoucherError> {
    let row = store::lock_shown(tx, &shown.digest).await?;
    let row = row.ok_or(VoucherError::Unknown)?;
    match Status::of(row.status, row.expires_at, now) {
        Status::Available => {}
        Status::Used => return shown_again(tx, row, shown).await,
        Status::Expired => return Err(VoucherError::Expired),
        Status::Revoked => return Err(VoucherError::Revoked),
    }
    if let Some(site) = row.holder_id {
        let keepers = keepers::hold(tx, site).await?.agents;
        let voter = shown.agent.filter(|_| shown.voted.is_some());
        let mut voters = voter
            .map(|agent| agent.id)
            .into_iter()
            .chain(shown.released);
        if !keepers.is_empty() && !voters.any(|voter| keepers.contains(&voter)) {
            return Err(VoucherError::HeldBy {
                voucher: row.id,
                site,
                keepers,
            });
        }
    }
    // No site serves anybody on a package that it does not know: nothing is earned by what nobody gets.
    if !packages::is_there(tx, row.package_id).await? {
        return Err(VoucherError::NotForHim(
            "its package was deleted; revoke the voucher, and give back what was paid for it",
        ));
    }
    let buyer = Buyer {
        customer: shown.customer,
        mac: shown.mac,
    };
    renewals::may_buy(tx, &buyer, row.package_id, now).await?;
    let began = keepers::began(shown.voted, now);
    let at = match &shown.agent {
        Some(agent) => agent.site,
        None => match row.holder_id {
            Some(site) => site,
            None => sites::first(tx).await?,
        },
    };
    if shown.customer.is_none() {
        sold_here(tx, &row, at).await?;
    }
    let by = shown.agent.map(|agent| agent.id);
    let redeemed = begin(
        tx,
        secrets,
        &row,
        shown.customer,
        at,
        shown.mac,
        by,
        began,
        now,
    )
    .await?;
    note(
        tx,
        actor,
        Action::VoucherRedeem,
        &row,
        "used".to_owned(),
        now,
    )
    .await?;
    let customer = shown.customer.unwrap_or(CustomerId(row.id.0));
    let_in(
        Row {
            used_at: Some(redeemed.from),
            used_until: Some(redeemed.until),
            ..row
        },
        customer,
    )
}

/// A first use that happened at a site, cut off or not: the service was given, so it stands, whatever
/// became of the voucher here. A site that never held it cannot have let anybody in by it. A second report of a voucher changes nothing and is told to people.
pub(super) async fn report_use(
    tx: &mut Tx,
    secrets: &Secrets,
    agent: &Agent,
    told: &RedemptionV1,
    now: Timestamp,
) -> Result<(), VoucherError> {
    let row = store::lock(tx, told.voucher).await?;
    let row = row.ok_or(VoucherError::Unknown)?;
    let at = told.at.min(now);
    let actor = Actor::agent(agent.id);
    match row.status {
        // Each of two that wrote it down tells it, by a clock of its own.
        Stored::Used if is_same_use(tx, &row, told, at).await? => Ok(()),
        Stored::Used => {
            let details = format!("let in again at {at}; the period of its first use stands");
            note(tx, &actor, Action::VoucherConflict, &row, details, now).await
        }
        Stored::Revoked | Stored::Available
            if row.holder_id != Some(agent.site)
                && !store::was_at(tx, row.id, agent.site).await? =>
        {
            Err(VoucherError::NotHeldThere)
        }
        Stored::Revoked | Stored::Available => {
            let by = Some(agent.id);
            if row.status == Stored::Revoked {
                sale::owe(tx, row.id, now).await?;
            }
            begin(tx, secrets, &row, None, agent.site, told.mac, by, at, now).await?;
            let details = match row.status {
                Stored::Revoked => "used before the site heard that it was revoked",
                Stored::Available | Stored::Used => "used",
            };
            note(
                tx,
                &actor,
                Action::VoucherRedeem,
                &row,
                details.to_owned(),
                now,
            )
            .await
        }
    }
}

/// Whether a report is of the use that stands: by its device, and where there is none by its instant.
async fn is_same_use(
    tx: &mut Tx,
    row: &Row,
    told: &RedemptionV1,
    at: Timestamp,
) -> sqlx::Result<bool> {
    let by = row.customer_id.filter(|by| by.0 == row.id.0);
    let (Some(mac), Some(by)) = (told.mac, by) else {
        return Ok(row.used_at == Some(at));
    };
    let known = customers::at_hotspot(tx, by).await?;
    let macs = known.map(|user| user.macs).unwrap_or_default();
    Ok(macs.contains(&mac.to_string()))
}

/// Makes the period, and the customer where there is none, and marks the voucher.
#[expect(clippy::too_many_arguments, reason = "a first use is all of it")]
async fn begin(
    tx: &mut Tx,
    secrets: &Secrets,
    row: &Row,
    customer: Option<CustomerId>,
    site: SiteId,
    mac: Option<Mac>,
    agent: Option<AgentId>,
    at: Timestamp,
    now: Timestamp,
) -> Result<Redeemed, VoucherError> {
    let user = match customer {
        Some(customer) => {
            fits(tx, row, (customer, site), at, now).await?;
            customer
        }
        None => guest(tx, secrets, row, site, mac, at, now).await?,
    };
    let worth = Worth {
        voucher: row.id,
        package: row.package_id,
        price: row.price,
        time: Duration::from_secs(u64::try_from(row.secs).unwrap_or(0)),
    };
    let redeemed = renewals::redeem(tx, user, &worth, at, now).await?;
    let used = Use {
        customer: user,
        holder: site,
        from: redeemed.from,
        until: redeemed.until,
        agent,
    };
    store::set_used(tx, row.id, &used, now).await?;
    tx.changed(Kind::Voucher, row.id);
    Ok(redeemed)
}

/// The customer that a voucher's user becomes: he has the voucher's id, a name that is not the code, and
/// a password that nobody knows.
async fn guest(
    tx: &mut Tx,
    secrets: &Secrets,
    row: &Row,
    site: SiteId,
    mac: Option<Mac>,
    at: Timestamp,
    now: Timestamp,
) -> Result<CustomerId, VoucherError> {
    let username = voucher::username(row.id);
    let tail = username
        .get(username.len().saturating_sub(4)..)
        .unwrap_or_default();
    let customer = CustomerId(row.id.0);
    let new = New {
        draft: Draft {
            name: format!("Voucher {tail}"),
            username,
            email: None,
            phone: None,
            connection_type: ConnectionType::Hotspot,
            standing: Standing::Active,
            package: Some(row.package_id),
            router: None,
            site: Some(site),
            location: None,
            latitude: None,
            longitude: None,
            apartment_number: None,
            house_number: None,
            installation_fee: Cents::ZERO,
            auto_renew: false,
            devices: None,
            parent: None,
        },
        password: random_password(&tx.entropy()),
        expires_at: Some(at),
    };
    customers::create_as(tx, secrets, customer, &new, now).await?;
    if let Some(mac) = mac {
        customers::lock_to_device(tx, customer, mac, now).await?;
    }
    Ok(customer)
}

fn random_password(entropy: &Entropy) -> String {
    hex::encode(entropy.bytes::<16>())
}

/// A voucher's time is its package's: somebody with time left on another package keeps that. A child account would
/// lose it to its parent's time.
async fn fits(
    tx: &mut Tx,
    row: &Row,
    (customer, site): (CustomerId, SiteId),
    at: Timestamp,
    now: Timestamp,
) -> Result<(), VoucherError> {
    let Some(buyer) = customers::at_hotspot(tx, customer).await? else {
        return Err(renewals::RenewError::UnknownCustomer.into());
    };
    if buyer.child {
        return Err(VoucherError::FollowsParent);
    }
    if buyer.postpaid {
        return Err(VoucherError::NotForHim(
            "this customer is billed once a month, and would pay for this time twice",
        ));
    }
    if buyer.connection_type != ConnectionType::Hotspot {
        return Err(VoucherError::NotForHim("this customer is not at a hotspot"));
    }
    if buyer.package_id == Some(row.package_id) {
        return Ok(());
    }
    if buyer.paid_until > at {
        return Err(VoucherError::NotForHim(
            "this customer has time left on another package",
        ));
    }
    sold_here(tx, row, site).await?;
    customers::put_on(tx, customer, row.package_id, now).await?;
    Ok(())
}

/// Refuses a voucher where its package is not sold.
async fn sold_here(tx: &mut Tx, row: &Row, site: SiteId) -> Result<(), VoucherError> {
    match packages::is_sold_at(tx, row.package_id, None, site).await? {
        true => Ok(()),
        false => Err(VoucherError::NotForHim(
            "its package is not sold at this site; use it where it is, or add a router of this site to the package's \
             routerIds",
        )),
    }
}

/// Whether this is the device that used the voucher at this very site.
async fn shown_again(tx: &mut Tx, row: Row, shown: &Shown) -> Result<LetIn, VoucherError> {
    let by = row.customer_id;
    let user = CustomerId(row.id.0);
    if let Some(agent) = shown.agent.filter(|_| by == Some(user))
        && let Some(known) = customers::at_hotspot(tx, user).await?
        && known.site_id == agent.site
    {
        let mac = shown.mac.map(|mac| mac.to_string());
        if known.macs.is_empty() || mac.is_some_and(|mac| known.macs.contains(&mac)) {
            return let_in(row, user);
        }
    }
    Err(VoucherError::Used { by })
}

fn let_in(row: Row, customer: CustomerId) -> Result<LetIn, VoucherError> {
    let until = row.used_until.unwrap_or_default();
    let voucher = edge::body(&row).ok_or(VoucherError::Unknown)?;
    Ok(LetIn {
        voucher,
        customer,
        until,
    })
}

async fn note(
    tx: &mut Tx,
    actor: &Actor,
    action: Action,
    row: &Row,
    details: String,
    now: Timestamp,
) -> Result<(), VoucherError> {
    let name = voucher::username(row.id);
    let line = Audit {
        details,
        ..Audit::new(action, "voucher", row.id, &name)
    };
    audit::record(tx, actor, line, now).await?;
    Ok(())
}
