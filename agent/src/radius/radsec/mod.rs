//! RADIUS in TLS over TCP (RFC 6614): for routers across a network that others can listen on.
//!
//! Both sides show certificates of this box's [`Authority`]. A router's names it
//! by id, so it is found by its certificate wherever it speaks from, and a router that left the site is
//! nobody. Inside TLS the shared secret is the word `radsec` for everybody (§2.3).

pub mod driver;
mod frame;
pub mod settings;

use std::time::Duration;

use easyisp_shared::id::RouterId;
use easyisp_shared::time::Timestamp;

use super::eap::authority::{Authority, AuthorityError, Leaf, Purpose};

pub use frame::{Frames, NotRadius};
pub use settings::{client_name, read};

/// A certificate and key for a router to connect with, good for two years.
///
/// It names the router by id: a router that leaves the site is nobody from then on, one that was
/// renamed is the same. A lost key is answered by moving both `eap-ca` files away, which ends every
/// certificate, and by giving each router a new one.
pub fn certificate_for(
    authority: &Authority,
    router: RouterId,
    now: Timestamp,
) -> Result<Leaf, AuthorityError> {
    authority.issue(Purpose::Client(&client_name(router)), now, ROUTER_LIFE)
}

const ROUTER_LIFE: Duration = Duration::from_secs(2 * 365 * 86_400);

/// The shared secret inside TLS.
pub const SECRET: &[u8] = b"radsec";
