//! Vouchers: codes that are worth a period of a hotspot package.
//!
//! A voucher has one holder, a site or the cloud, and only the holder lets its code in for the first time
//! without asking: so a site goes on redeeming with the cloud gone, and no code is good twice. What it is
//! worth is written down when it is made. Who uses it becomes a customer with the voucher's own id.

mod ask;
pub mod edge;
mod error;
mod http;
mod jobs;
mod redeem;
mod rules;
mod sale;
mod store;
mod words;

use easyisp_shared::diagnosis::VoucherState;
use easyisp_shared::id::{SiteId, VoucherId};
use easyisp_shared::time::Timestamp;

use crate::api::{Access, Routes, routes};
use crate::db::Tx;
use crate::permission::Permission::{HotspotAddUser, HotspotDeleteUnused, HotspotView};

pub use ask::show;
pub use error::VoucherError;
pub use jobs::{MAKE, make};
pub use redeem::{LetIn, Shown};

use rules::Status;

/// The routes of this feature.
pub fn routes() -> Routes {
    Routes::new()
        .route(Access::Any(&[HotspotAddUser]), routes!(http::create))
        .route(Access::Any(&[HotspotView]), routes!(http::list))
        .route(Access::Any(&[HotspotDeleteUnused]), routes!(http::revoke))
        .route(Access::Any(&[HotspotAddUser]), routes!(http::redeem))
}

/// A voucher that nobody used.
pub struct Unused {
    /// Whether it is still good.
    pub state: VoucherState,
    /// The site that holds it; `None` = the cloud.
    pub holder: Option<SiteId>,
}

/// How a voucher stands; `None` when this tenant has no such voucher, or it was used: then its user is a
/// customer.
pub async fn unused(
    tx: &mut Tx,
    voucher: VoucherId,
    now: Timestamp,
) -> sqlx::Result<Option<Unused>> {
    let row = store::find(tx, voucher).await?;
    Ok(row.and_then(|(status, expires, holder)| {
        let state = match (Status::of(status, expires, now), expires) {
            (Status::Used, _) => return None,
            (Status::Revoked, _) => VoucherState::Revoked,
            (Status::Expired, Some(at)) => VoucherState::Expired { at },
            (Status::Expired | Status::Available, _) => VoucherState::Available,
        };
        Some(Unused { state, holder })
    }))
}

/// Under which name a voucher's code is sealed.
const CODE: &str = "vouchers.code";
