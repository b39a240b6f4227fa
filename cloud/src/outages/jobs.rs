//! Outages are found, end and are repaid when nobody asks.

use std::time::Duration;

use easyisp_shared::id::{CustomerId, MessageId, OutageId, TenantId};
use easyisp_shared::time::Timestamp;
use jiff::tz::TimeZone;
use serde_json::json;

use super::rules::{self, Given, Stretch, gift, is_deaf, lost};
use super::store::{self, Behind, Got, Note, Over, Silent};
use crate::audit::{self, Action, Actor, Audit};
use crate::customers::{BEGIN, RECKON};
use crate::db::{Database, Kind, Tx};
use crate::due;
use crate::messaging;

/// The kind of the due job that gives back what an outage cost; its subject is the outage.
pub const REPAY: &str = "outages.repay";

/// Looks who is silent and who is heard again; what is over is repaid afterwards. To be called every five minutes.
pub async fn watch(db: &Database, tenant: TenantId, now: Timestamp) -> sqlx::Result<()> {
    let mut tx = db.begin(tenant).await?;
    let Some(mut awake_from) = store::look(&mut tx, GAP, now).await? else {
        return Ok(());
    };
    let all = store::heard_of_all(&mut tx, now.minus(LATELY), now.minus(GAP), now).await?;
    if is_deaf(all.providers, all.sites, all.silent) {
        tracing::warn!(
            "{} of {} sites of all tenants are silent: it is taken for a fault of this end, and no outage is found",
            all.silent,
            all.sites
        );
        awake_from = now;
        store::awake_since(&mut tx, now).await?;
    }
    let heard = now.minus(SILENCE);
    let ended = store::end(&mut tx, heard).await?;
    due::at_once(&mut tx, REPAY, &ended, now).await?;
    if awake_from <= heard {
        let mut silent = store::silent_sites(&mut tx, heard).await?;
        silent.extend(store::sites_without_upstream(&mut tx, heard).await?);
        silent.extend(store::silent_routers(&mut tx, heard).await?);
        let entropy = tx.entropy();
        let found: Vec<(OutageId, Silent, Timestamp)> = silent
            .into_iter()
            // What happened before we listened, nobody heard.
            .map(|one| {
                let began = one.last_seen.max(awake_from);
                (OutageId::new(now, &entropy), one, began)
            })
            .collect();
        store::open(&mut tx, &found, now).await?;
    }
    tx.commit().await
}

/// Gives everybody behind an outage that is over what it cost him: some hundred a transaction, each of which
/// notes how far it came, so that whoever goes on gives nobody anything twice. `Some` = when to go on.
pub async fn repay(
    db: &Database,
    tenant: TenantId,
    outage: OutageId,
    now: Timestamp,
) -> anyhow::Result<Option<Timestamp>> {
    for _ in 0..TURNS {
        let mut tx = db.begin(tenant).await?;
        let Some(over) = store::lock(&mut tx, outage).await? else {
            return Ok(None);
        };
        let customers = store::next(&mut tx, &over, AT_ONCE).await?;
        let given = some(&mut tx, outage, &over, &customers, now).await?;
        let last = (i64::try_from(customers.len())? < AT_ONCE).then_some(now);
        store::looked(&mut tx, outage, customers.last().copied(), given, last).await?;
        if last.is_some() {
            note(&mut tx, outage, &over, over.customers + given, now).await?;
        }
        tx.commit().await?;
        if last.is_some() {
            return Ok(None);
        }
    }
    Ok(Some(now.plus(BREATH)))
}

async fn note(
    tx: &mut Tx,
    outage: OutageId,
    over: &Over,
    customers: i32,
    now: Timestamp,
) -> sqlx::Result<()> {
    let (from, to) = (over.began_at, over.ended_at);
    let line = Audit {
        details: match over.gift_secs {
            None => format!("{from} to {to}: {customers} customers got back what they lost"),
            Some(_) => format!("{customers} customers got more time"),
        },
        ..Audit::new(Action::OutageRepay, "outage", outage, &over.name)
    };
    audit::record(tx, &Actor::system(), line, now).await?;
    Ok(())
}

/// Gives these what is theirs; returns to how many that was something.
async fn some(
    tx: &mut Tx,
    outage: OutageId,
    over: &Over,
    customers: &[CustomerId],
    now: Timestamp,
) -> anyhow::Result<i32> {
    if customers.is_empty() {
        return Ok(0);
    }
    let stretch = Stretch {
        from: over.began_at,
        to: over.ended_at,
    };
    let behind = store::served(tx, customers, stretch, LEAST_MINUTES).await?;
    let given: Vec<(&Behind, Given)> = behind
        .iter()
        .filter_map(|one| Some((one, share(over, stretch, one, now)?)))
        .collect();
    let wishes: Vec<(CustomerId, Given)> = given
        .iter()
        .map(|(one, given)| (one.customer, *given))
        .collect();
    let got = store::give(tx, outage, &wishes, &over.time_zone, now).await?;
    each_noted(tx, over, &got, now).await?;
    let ids: Vec<CustomerId> = got.iter().map(|one| one.customer_id).collect();
    for id in &ids {
        tx.changed(Kind::Subscriber, *id);
    }
    due::at_once(tx, RECKON, &ids, now).await?;
    let ahead: Vec<CustomerId> = got
        .iter()
        .filter(|one| one.ahead)
        .map(|one| one.customer_id)
        .collect();
    due::at_once(tx, BEGIN, &ahead, now).await?;
    if over.tells {
        let zone = TimeZone::get(&over.time_zone)?;
        let what = over.gift_secs.is_none().then_some(over.name.as_str());
        let entropy = tx.entropy();
        let notes: Vec<Note> = given
            .iter()
            .filter(|(one, _)| ids.binary_search(&one.customer).is_ok())
            .filter_map(|(one, given)| {
                Some(Note {
                    id: MessageId::new(now, &entropy),
                    to: one.phone.clone()?,
                    body: rules::text(&over.business_name, what, given, &zone),
                    customer: one.customer,
                })
            })
            .collect();
        store::tell(tx, &notes, messaging::daytime(now, &zone), now).await?;
    }
    Ok(i32::try_from(ids.len())?)
}

/// A line of the trail for each: nobody's time ends later without one.
async fn each_noted(tx: &mut Tx, over: &Over, got: &[Got], now: Timestamp) -> sqlx::Result<()> {
    let details = match over.gift_secs {
        None => format!("lost time of {} is given back", over.name),
        Some(_) => format!("more time for everybody at {}", over.name),
    };
    let lines = got.iter().map(|one| Audit {
        details: details.clone(),
        before: Some(json!({"expiresAt": one.before})),
        after: Some(json!({"expiresAt": one.after})),
        ..Audit::new(Action::OutageRepay, "customer", one.customer_id, &one.name)
    });
    audit::record_all(tx, &Actor::system(), lines.collect(), now).await
}

fn share(over: &Over, outage: Stretch, one: &Behind, now: Timestamp) -> Option<Given> {
    match over.gift_secs {
        Some(secs) => gift(Duration::from_secs(secs.unsigned_abs()), &one.served, now),
        None => {
            one.least.filter(|least| outage.lasts() >= *least)?;
            lost(outage, &one.served, now)
        }
    }
}

/// Two looks of five minutes: what comes later was not listened to all the while.
const GAP: Duration = Duration::from_secs(660);
/// Who is not heard for so long is silent; agents say a word every 15 seconds, routers are asked every minute.
const SILENCE: Duration = Duration::from_secs(900);
/// Who is not heard for so long may be silent. Where all are, each of them is found so, with looks of five minutes, well
/// before the first of them is [`SILENCE`] old: what is heard is written down every five minutes.
const LATELY: Duration = Duration::from_secs(420);
/// The shortest outage that is given back where the package says nothing: shorter ones are not worth a message.
const LEAST_MINUTES: i32 = 60;
/// Customers locked by one transaction.
const AT_ONCE: i64 = 200;
/// Transactions in a row before other work has its turn.
const TURNS: u32 = 20;
/// And how soon it goes on.
const BREATH: Duration = Duration::from_secs(1);
