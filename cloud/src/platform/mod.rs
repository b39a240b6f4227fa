//! The platform: its own people, all tenants, and acting inside one of them for a while, seen by it.

mod books;
mod http;
mod people;
mod read;
mod visit;

use crate::api::{Access, Routes, routes};

/// The routes of `/api/super-admin`, for the platform's own people.
pub fn routes() -> Routes {
    const OWN: Access = Access::Platform;

    Routes::new()
        .route(OWN, routes!(read::stats))
        .route(OWN, routes!(read::list))
        .route(OWN, routes!(books::list))
        .route(OWN, routes!(read::get, http::delete))
        .route(OWN, routes!(http::activate))
        .route(OWN, routes!(http::suspend))
        .route(OWN, routes!(http::reactivate))
        .route(OWN, routes!(http::extend_trial))
        .route(OWN, routes!(http::extend_subscription))
        .route(OWN, routes!(http::add_balance))
        .route(OWN, routes!(http::settings))
        .route(OWN, routes!(people::reset_user_password))
        .route(OWN, routes!(people::forget_second_factor))
        .route(OWN, routes!(visit::enter))
}
