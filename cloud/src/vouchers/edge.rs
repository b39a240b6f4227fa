//! What a holding site knows of its vouchers, and what its reports of first uses do.

use std::sync::Arc;

use easyisp_shared::id::SiteId;
use easyisp_shared::time::Timestamp;
use easyisp_shared::voucher::VoucherDigest;
use easyisp_shared::wire::down::{VoucherUseV1, VoucherV1};
use easyisp_shared::wire::{Down, Up};
use uuid::Uuid;

use super::redeem::report_use;
use super::store::{self, Row};
use crate::db::{Projection, Projector, Tx};
use crate::secrets::Secrets;
use crate::sites::agents::Agent;
use crate::sites::reports::{Applier, Report, Unusable};

/// Projects vouchers to the site that holds them.
pub fn projector() -> Projector {
    Arc::new(|tx, ids| Box::pin(project(tx, ids)))
}

/// Takes first uses.
pub fn redemptions(secrets: Secrets) -> Applier {
    Arc::new(move |tx, agent, reports, now| {
        let secrets = secrets.clone();
        Box::pin(async move { take(tx, &secrets, agent, reports, now).await })
    })
}

async fn project(tx: &mut Tx, ids: &[Uuid]) -> sqlx::Result<Vec<Projection>> {
    let rows = store::at_sites(tx, ids).await?;
    let projection = |row: Row| {
        let site: SiteId = row.holder_id?;
        let body = Down::Voucher(body(&row)?).encode();
        Some(Projection {
            id: row.id.0,
            site,
            body,
        })
    };
    Ok(rows.into_iter().filter_map(projection).collect())
}

/// A voucher as its site knows it; `None` for a digest of another length, which the table does not take.
pub(super) fn body(row: &Row) -> Option<VoucherV1> {
    Some(VoucherV1 {
        voucher: row.id,
        digest: VoucherDigest::try_from(row.digest.as_slice()).ok()?,
        package: row.package_id,
        secs: u64::try_from(row.secs).unwrap_or(0),
        bytes: row.data_limit.and_then(|bytes| u64::try_from(bytes).ok()),
        expires: row.expires_at,
        used: match (row.used_at, row.used_until) {
            (Some(from), Some(until)) => Some(VoucherUseV1 { from, until }),
            (_, _) => None, // not used
        },
    })
}

/// Each first use becomes its user's period, once.
async fn take(
    tx: &mut Tx,
    secrets: &Secrets,
    agent: &Agent,
    reports: &[Report],
    now: Timestamp,
) -> sqlx::Result<Vec<Unusable>> {
    let mut unusable = Vec::new();
    for report in reports {
        let Up::Redemption(told) = &report.body else {
            continue;
        };
        if let Err(error) = report_use(tx, secrets, agent, told, now).await {
            match error.into_database() {
                Ok(cause) => return Err(cause),
                Err(why) => unusable.push(Unusable {
                    sequence: report.sequence,
                    why: why.to_string(),
                }),
            }
        }
    }
    Ok(unusable)
}
