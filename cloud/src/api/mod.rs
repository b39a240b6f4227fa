//! What every HTTP handler shares: extractors whose refusals are error envelopes, routes that declare who
//! may use them, pages, masks, repeated requests.
//!
//! Handlers carry `#[utoipa::path(get, path = "/api/customers/{customer}", …)]` with the whole path; bodies
//! derive `utoipa::ToSchema` (ids, `Cents` and `Timestamp` have schemas). An optional body field is
//! `#[serde(default, deserialize_with = "blank::option")] field: Option<T>`; in a [`Query`] plain
//! `Option<T>` is enough, since an empty value there is an absent one.

mod access;
pub mod blank;
mod extract;
mod idempotency;
mod json;
mod limits;
mod mask;
mod opened;
mod page;
mod request;
mod serve;
mod sheet;
mod sort;
mod version;
mod workbook;

pub use access::{Access, Guard, GuardFuture, RouteInfo, Routes};
pub use extract::{Path, Query};
pub use idempotency::Idempotency;
pub use json::{Json, MAX_JSON, Said, Success, read_body};
pub use limits::{Limits, one_network};
pub use mask::{MASK, Masked, is_masked};
pub use opened::{NotOpened, csv_of_workbook, is_workbook};
pub use page::Page;
pub use request::{ClientAddress, Commons, RequestId, commons};
pub(crate) use serve::http1;
pub use serve::{Listener, serve};
pub use sheet::{Sheet, attachment, plain};
pub use sort::{Order, Sort, Sortable};
pub use utoipa_axum::routes;
pub use version::Version;
pub use workbook::Workbook;
