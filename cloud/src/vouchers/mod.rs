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
mod store;
mod words;

use crate::api::{Access, Routes, routes};
use crate::permission::Permission::{HotspotAddUser, HotspotDeleteUnused, HotspotView};

pub use ask::show;
pub use error::VoucherError;
pub use jobs::{MAKE, make};
pub use redeem::{LetIn, Shown};

/// The routes of this feature.
pub fn routes() -> Routes {
    Routes::new()
        .route(Access::Any(&[HotspotAddUser]), routes!(http::create))
        .route(Access::Any(&[HotspotView]), routes!(http::list))
        .route(Access::Any(&[HotspotDeleteUnused]), routes!(http::revoke))
        .route(Access::Any(&[HotspotAddUser]), routes!(http::redeem))
}

/// Under which name a voucher's code is sealed.
const CODE: &str = "vouchers.code";
