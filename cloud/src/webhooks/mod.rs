//! Webhooks: a tenant's own programs are told what happens, signed, until they have heard it.
//!
//! An event is written with the transaction that causes it, once for each webhook that wants it
//! (`event_cte`), and sent afterwards by a due job of its own; what is written is outbox and log in one. An
//! event reaches a webhook at least once and in no promised order: its `id` tells a repeat, its `createdAt`
//! what came first. What time alone brings about is looked for once a minute as long as somebody wants it.

mod event;
mod http;
mod jobs;
mod rules;
mod send;
mod store;
mod words;

use crate::api::{Access, Routes, routes};
use crate::permission::Permission::SettingsGeneral;

pub use event::{Event, EventKind};
pub use jobs::{SEND, WATCH, Wanted, forget_old, wanted};
pub use rules::signature;
pub use send::{Hooks, send};
pub use store::tell;
pub use words::State;

pub(crate) use event::Columns;
pub(crate) use store::event_cte;

/// The routes of this feature.
pub fn routes() -> Routes {
    const SETTINGS: Access = Access::Any(&[SettingsGeneral]);

    Routes::new()
        .route(SETTINGS, routes!(http::list, http::create))
        .route(SETTINGS, routes!(http::get, http::update, http::delete))
        .route(SETTINGS, routes!(http::rotate_secret))
        .route(SETTINGS, routes!(http::deliveries::test))
        .route(SETTINGS, routes!(http::deliveries::list))
        .route(SETTINGS, routes!(http::deliveries::replay))
}

/// Under which name a secret is sealed, the one before as well.
const SECRET: &str = "webhooks.secret";
