//! In which ways one order is asked: under which secret, signed or not, and when the next way is tried.

use std::sync::Arc;
use std::time::Duration;

use crate::diagnosis::Stuck;
use crate::radius::Secret;
use crate::radius::builder::Signature;
use crate::radius::coa::Outcome;
use crate::radius::dictionary::ErrorCause;
use crate::site::{Orders, Router};

/// One way to ask.
#[derive(Clone, Debug)]
pub(super) struct Way {
    /// Under this secret.
    pub secret: Arc<Secret>,
    /// With a Message-Authenticator or without.
    pub signature: Signature,
    /// So long after the first.
    pub after: Duration,
}

/// The ways to ask a router, the likeliest first; none where no secret of it opens.
///
/// While a secret is changed a router knows the new one or the old one: it is asked under the one that it
/// showed last, and then under the other. A Message-Authenticator is left out only where the router was seen
/// to refuse it, and to find that out once both copies of the signed order went unanswered (A2).
pub(super) fn ways(router: &Router) -> Vec<Way> {
    let signatures: &[Signature] = match router.orders() {
        Orders::Signed => &[Signature::MessageAuthenticator],
        Orders::Unknown => &[Signature::MessageAuthenticator, Signature::None],
        Orders::Plain => &[Signature::None, Signature::MessageAuthenticator],
    };
    let mut ways = Vec::new();
    for (turn, signature) in (0..).zip(signatures) {
        for (place, secret) in (0..).zip(router.secrets_to_show()) {
            ways.push(Way {
                secret: secret.clone(),
                signature: *signature,
                after: OTHER_SIGNATURE * turn + OTHER_SECRET * place,
            });
        }
    }
    ways
}

/// Why a router that did not answer an order may not have heard it, for a person. RFC 6614 knows no way back over the
/// connection by which a router asks.
pub(super) fn unheard(router: Option<&Router>) -> String {
    match router.is_some_and(Router::is_by_radsec) {
        true => "The router speaks RadSec, over which it takes no orders, and does not answer on its CoA port: enter a user \
             for its API."
            .to_owned(),
        false => Stuck::Silent.to_string(),
    }
}

/// Whether this answer to a signed order may be for the signature, so that the same is asked without.
pub(super) fn may_mean_the_signature(way: &Way, outcome: Outcome) -> bool {
    way.signature == Signature::MessageAuthenticator
        && outcome == Outcome::Nak(Some(ErrorCause::UnsupportedAttribute))
}

/// Well over a round trip on a site's network, well under the time after which the API is asked instead.
const OTHER_SECRET: Duration = Duration::from_millis(700);
/// The first copy and the one two seconds later had their time.
const OTHER_SIGNATURE: Duration = Duration::from_millis(3500);
