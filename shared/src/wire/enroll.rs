//! How a box becomes an agent: a token and a signing request up, a certificate and the site key down.

use serde::{Deserialize, Serialize};

use crate::id::{AgentId, SiteId, TenantId};
use crate::time::Timestamp;
use crate::wire::down::Sealed;

/// A box that wants to become an agent. New shapes go at the end.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum EnrollRequest {
    /// First shape.
    V1(EnrollRequestV1),
}

/// First shape of [`EnrollRequest`].
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnrollRequestV1 {
    /// The join token's 32 random bytes.
    pub token: [u8; 32],
    /// A certificate signing request, DER: proves the key, says nothing that is believed.
    pub csr: Vec<u8>,
    /// Build version, for people.
    pub version: String,
    /// What the box calls itself, for people.
    pub host: String,
}

/// What became of it. New shapes go at the end.
#[expect(clippy::large_enum_variant, reason = "said once in the life of a box")]
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum EnrollAnswer {
    /// The box is an agent.
    V1(EnrolledV1),
    /// It is not.
    Refused(EnrollRefusal),
}

/// What a new agent keeps.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnrolledV1 {
    /// The agent.
    pub agent: AgentId,
    /// Its site.
    pub site: SiteId,
    /// The site's tenant.
    pub tenant: TenantId,
    /// The chain, DER, the agent's own certificate first.
    pub chain: Vec<Vec<u8>>,
    /// The authorities to trust a cloud by, DER; two during a rotation.
    pub authorities: Vec<Vec<u8>>,
    /// The key that opens this site's secrets.
    pub site_key: [u8; 32],
    /// What the cloud calls the site, for people.
    pub site_name: String,
    /// What the cloud calls itself, for people.
    pub cloud_name: String,
    /// The cloud's time.
    pub now: Timestamp,
    /// The agent whose place this one took: it was revoked in the same moment.
    pub replaced: Option<AgentId>,
}

/// By which supplicants (802.1X, IKEv2) and routers (RadSec) know a site's boxes: one authority for all of them. A box tells
/// its own once it is linked; who joins the site later, or takes a dead box's place, is given it behind the answer.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SiteAuthorityV1 {
    /// Its certificate, DER; at most [`SiteAuthorityV1::MOST`] octets.
    pub certificate: Vec<u8>,
    /// Its key in PEM, sealed under the site's key at [`SiteAuthorityV1::place`]; as many at most.
    pub key: Sealed,
}

impl SiteAuthorityV1 {
    /// How long each of the two may be.
    pub const MOST: usize = 4096;

    /// Where the key is sealed, so that it opens at no other place.
    pub fn place(site: SiteId) -> Vec<u8> {
        let mut place = b"site/authority/".to_vec();
        place.extend_from_slice(site.0.as_bytes());
        place
    }

    /// Whether it is no longer than it may be.
    pub fn is_bounded(&self) -> bool {
        self.certificate.len() <= SiteAuthorityV1::MOST && self.key.len() <= SiteAuthorityV1::MOST
    }
}

impl std::fmt::Debug for SiteAuthorityV1 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SiteAuthorityV1").finish_non_exhaustive()
    }
}

/// Why a box did not become an agent. New reasons go at the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum EnrollRefusal {
    /// Never issued here, used already, revoked or too old. One reason for all: a guess learns nothing.
    #[error("this token was used, has expired or is not known here: make a new one for the site")]
    Token,
    /// The signing request is not one, or its key is not P-256.
    #[error("the signing request is not usable")]
    Request,
    /// Too many attempts at once.
    #[error("the cloud is busy, try again in a moment")]
    Busy,
    /// The token was good and is used; ask again with it and the same key, once somebody has confirmed that.
    #[error("nobody has confirmed this box yet: its token is used up, make a new one")]
    Waiting,
}

impl std::fmt::Debug for EnrollRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let EnrollRequest::V1(request) = self;
        f.debug_struct("EnrollRequest")
            .field("version", &request.version)
            .field("host", &request.host)
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for EnrollAnswer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            EnrollAnswer::V1(enrolled) => f
                .debug_struct("Enrolled")
                .field("agent", &enrolled.agent)
                .field("site", &enrolled.site)
                .field("tenant", &enrolled.tenant)
                .finish_non_exhaustive(),
            EnrollAnswer::Refused(refusal) => f.debug_tuple("Refused").field(refusal).finish(),
        }
    }
}
