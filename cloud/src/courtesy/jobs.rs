//! Reminders: who is told today that his time ends.

use std::collections::HashSet;
use std::time::Duration;

use easyisp_shared::id::{MessageId, TenantId};
use easyisp_shared::time::Timestamp;
use jiff::ToSpan;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use super::rules::{Facts, next_look};
use super::store::{self, Days, House, Near, Reminder};
use crate::db::{Database, Tx};
use crate::messaging::awake;

/// The kind of the due job that reminds a tenant's subscribers; its subject is the tenant.
pub const REMIND: &str = "courtesy.remind";

/// Tells everybody whose end is as near as the tenant wishes, once for each end and distance; 500 a
/// transaction. `Some` = when to look again; `None` when the tenant wants no reminders.
pub async fn remind(
    db: &Database,
    tenant: TenantId,
    now: Timestamp,
) -> anyhow::Result<Option<Timestamp>> {
    for _ in 0..TURNS {
        let mut tx = db.begin(tenant).await?;
        let house = store::house(&mut tx).await?;
        if !house.courtesy.reminders {
            return Ok(None);
        }
        let zone = TimeZone::get(&house.time_zone)?;
        // Nobody pays somebody who is not there any more, or may not be.
        if !house.stands || !awake(now, &zone) {
            return Ok(Some(next_look(now, &zone)));
        }
        let told = tell(&mut tx, &house, &zone, now).await?;
        if told < AT_ONCE {
            store::forget(&mut tx, now.minus(KEPT), AT_ONCE).await?;
            tx.commit().await?;
            return Ok(Some(next_look(now, &zone)));
        }
        tx.commit().await?;
    }
    Ok(Some(now.plus(BREATH)))
}

async fn tell(tx: &mut Tx, house: &House, zone: &TimeZone, now: Timestamp) -> sqlx::Result<i64> {
    let mut days = Days::default();
    for (distance, day) in house.courtesy.days_told(now.in_zone(zone).date()) {
        days.days.push(distance);
        days.from.push(midnight(day, zone));
        days.to.push(midnight(day.saturating_add(1.day()), zone));
    }
    let near = store::near(tx, &days, now, AT_ONCE).await?;
    if near.is_empty() {
        return Ok(0);
    }
    let entropy = tx.entropy();
    let ids: Vec<MessageId> = near.iter().map(|_| MessageId::new(now, &entropy)).collect();
    let new: HashSet<MessageId> = store::note_told(tx, &near, &ids, now)
        .await?
        .into_iter()
        .collect();
    let reminders: Vec<Reminder> = near
        .iter()
        .zip(&ids)
        .filter(|(_, id)| new.contains(id))
        .map(|(near, id)| reminder(house, zone, near, *id))
        .collect();
    store::send(tx, &reminders, now).await?;
    Ok(i64::try_from(near.len()).unwrap_or(AT_ONCE))
}

fn reminder(house: &House, zone: &TimeZone, near: &Near, id: MessageId) -> Reminder {
    let facts = Facts {
        business: &house.business_name,
        name: &near.name,
        package: near.package.as_deref().unwrap_or("internet"),
        ends_at: near.ends_at,
        days: near.days,
        missing: near.missing,
        currency: &house.currency,
        account: near.account_number,
        zone,
    };
    Reminder {
        id,
        to: near.phone_number.clone(),
        body: house.courtesy.text(&facts),
        customer: near.customer_id,
    }
}

fn midnight(day: Date, zone: &TimeZone) -> Timestamp {
    let begins = day.to_zoned(zone.clone());
    begins.map_or(Timestamp::from_micros(i64::MAX), |begins| {
        Timestamp::from_jiff(begins.timestamp())
    })
}

/// Messages written in one transaction at most.
const AT_ONCE: i64 = 500;
/// Transactions in a row before other work has its turn.
const TURNS: u32 = 20;
/// And how soon it goes on.
const BREATH: Duration = Duration::from_secs(1);
/// Ends are looked for up to 30 days ahead: a note on one that long past says nothing any more.
const KEPT: Duration = Duration::from_secs(60 * 86_400);
