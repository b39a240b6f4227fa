//! How a provider is with its subscribers around the end of their time: reminds them, takes their word, writes
//! to them.

mod http;
mod jobs;
mod rules;
mod store;

use crate::api::{Access, Routes, routes};
use crate::permission::Permission::*;

pub use jobs::{REMIND, remind};

/// The routes of this feature.
pub fn routes() -> Routes {
    Routes::new()
        .route(
            Access::Any(&[SettingsGeneral]),
            routes!(http::get, http::set),
        )
        .route(
            Access::Any(&[CustomersEdit, PppoeChangeExpiry]),
            routes!(http::promise),
        )
        .route(
            Access::Any(&[PppoeSendSms, SmsSend]),
            routes!(http::send_message),
        )
}
