//! How long a tenant's sites go on as agreed without a word of the cloud's (G6).
//!
//! A site that is cut off cannot hear that its tenant was suspended. It holds a lease instead: while that lasts
//! it gives grace, periods funded ahead and first uses of vouchers; afterwards what was paid for, and no more.
//! A suspension ends the lease at once, which a connected site hears with the same commit.

use std::time::Duration;

use easyisp_shared::id::TenantId;
use easyisp_shared::time::Timestamp;

use super::{edge, store};
use crate::auth::{Standing, StandingRow};
use crate::db::{Database, Tx};

/// How long a lease lasts.
const LASTS: Duration = Duration::from_secs(14 * 86_400);
/// How often it is made longer: one row of the feed a site each time.
const DAILY: Duration = Duration::from_secs(86_400);

/// The end of the lease of a tenant that stands so: never past what it agreed with the platform.
fn lease(standing: &StandingRow, now: Timestamp) -> Timestamp {
    match standing.at(now) {
        Standing::Expired | Standing::Suspended => now,
        Standing::Good => {
            let ends = [standing.trial_ends_at, standing.subscription_ends_at];
            let ends = ends.into_iter().flatten().min();
            let lasts = now.plus(LASTS);
            ends.map_or(lasts, |end| end.min(lasts))
        }
    }
}

/// Whether a lease that ends at `held` is to be written anew as `wanted`. One that is over and stays over is
/// left alone, and one that is good for almost as long.
fn is_stale(held: Option<Timestamp>, wanted: Timestamp, now: Timestamp) -> bool {
    let Some(held) = held else {
        return true;
    };
    let over = held <= now && wanted <= now;
    !over && (held > wanted || held.plus(DAILY) <= wanted || (held <= now) != (wanted <= now))
}

/// Writes the lease as the transaction's tenant stands now, and lets its sites know.
pub(super) async fn write(tx: &mut Tx, now: Timestamp) -> sqlx::Result<()> {
    let (standing, held) = store::lock_lease(tx).await?;
    let wanted = lease(&standing, now);
    if is_stale(held, wanted, now) {
        store::set_lease(tx, wanted).await?;
        edge::changed(tx).await?;
    }
    Ok(())
}

/// Makes a tenant's lease longer; returns when to do it again.
pub async fn renew(db: &Database, tenant: TenantId, now: Timestamp) -> sqlx::Result<Timestamp> {
    let mut tx = db.begin(tenant).await?;
    write(&mut tx, now).await?;
    tx.commit().await?;
    Ok(now.plus(DAILY))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::TenantStatus;

    const NOW: Timestamp = Timestamp::from_secs(100 * 86_400);

    fn day(day: u64) -> Timestamp {
        NOW.plus(Duration::from_secs(day * 86_400))
    }

    fn standing(status: TenantStatus, ends: Option<Timestamp>) -> StandingRow {
        StandingRow {
            status,
            trial_ends_at: None,
            subscription_ends_at: ends,
        }
    }

    #[test]
    fn a_lease_lasts_two_weeks_and_never_longer_than_what_was_agreed() {
        let of = |ends| lease(&standing(TenantStatus::Active, ends), NOW);
        assert_eq!(of(None), day(14));
        assert_eq!(of(Some(day(30))), day(14));
        assert_eq!(of(Some(day(3))), day(3));
        let stopped = standing(TenantStatus::Suspended, None);
        assert_eq!(lease(&stopped, NOW), NOW);
    }

    #[test]
    fn it_is_written_once_a_day_and_whenever_it_begins_or_ends() {
        assert!(is_stale(None, day(14), NOW));
        assert!(!is_stale(Some(day(14)), day(14), NOW));
        assert!(is_stale(Some(day(13)), day(14), NOW), "a day has passed");
        assert!(is_stale(Some(day(14)), day(3), NOW), "the end came nearer");
        assert!(is_stale(Some(day(14)), NOW, NOW), "suspended");
        assert!(!is_stale(Some(NOW), NOW, day(5)), "still suspended");
        assert!(is_stale(Some(NOW), day(14), NOW), "back");
    }
}
