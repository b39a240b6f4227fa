//! Why a code is not taken.

use easyisp_shared::id::{AgentId, CustomerId, SiteId, VoucherId};

use crate::customers::ChangeError;
use crate::error::ApiError;
use crate::renewals::RenewError;
use crate::secrets::SecretError;

/// Why a code is not taken.
#[derive(Debug, thiserror::Error)]
pub enum VoucherError {
    /// Nobody made such a code here.
    #[error("this code is not known")]
    Unknown,
    /// It was used before.
    #[error("this voucher was used before")]
    Used {
        /// By whom.
        by: Option<CustomerId>,
    },
    /// Nobody used it in time.
    #[error("this voucher was not used in time")]
    Expired,
    /// It was taken back.
    #[error("this voucher was revoked")]
    Revoked,
    /// A site holds it, and only that site can say whether it was used.
    #[error("this voucher is held by a site that must be asked first")]
    HeldBy {
        /// The voucher.
        voucher: VoucherId,
        /// The site.
        site: SiteId,
        /// Its agents that may let the code in; one of them must give it back.
        keepers: Vec<AgentId>,
    },
    /// A site tells of a use of what it never held.
    #[error("this site never held the voucher")]
    NotHeldThere,
    /// The customer cannot use it.
    #[error("{0}")]
    NotForHim(&'static str),
    /// The customer's time is another's.
    #[error(
        "a child account has its parent's time; the parent pays, or somebody without an account uses it"
    )]
    FollowsParent,
    /// The period cannot be given.
    #[error(transparent)]
    Renew(#[from] RenewError),
    /// The customer cannot be made.
    #[error(transparent)]
    Customer(#[from] ChangeError),
    /// The database or the keys.
    #[error(transparent)]
    Secret(#[from] SecretError),
}

impl From<sqlx::Error> for VoucherError {
    fn from(error: sqlx::Error) -> VoucherError {
        VoucherError::Secret(error.into())
    }
}

impl VoucherError {
    /// The database's own trouble, which passes; anything else says no for good.
    pub fn into_database(self) -> Result<sqlx::Error, VoucherError> {
        match self {
            VoucherError::Secret(error) | VoucherError::Customer(ChangeError::Secret(error)) => {
                Ok(error.into_sqlx())
            }
            VoucherError::Renew(RenewError::Database(error)) => Ok(error),
            other => Err(other),
        }
    }
}

impl From<VoucherError> for ApiError {
    fn from(error: VoucherError) -> ApiError {
        let message = error.to_string();
        match error {
            VoucherError::Unknown => ApiError::NotFound("voucher"),
            // Only what an agent tells meets it.
            VoucherError::NotHeldThere => ApiError::conflict("VOUCHER_ELSEWHERE", message),
            VoucherError::Used { .. } => ApiError::conflict("VOUCHER_USED", message),
            VoucherError::Expired => ApiError::unprocessable("VOUCHER_EXPIRED", message),
            VoucherError::Revoked => ApiError::unprocessable("VOUCHER_REVOKED", message),
            VoucherError::HeldBy { .. } => ApiError::Unavailable {
                message: "The site that holds this voucher cannot be reached, so nobody can say \
                          whether it was used; the code works at its hotspot"
                    .to_owned(),
            },
            VoucherError::NotForHim(why) => ApiError::unprocessable("VOUCHER_DOES_NOT_FIT", why),
            VoucherError::FollowsParent => ApiError::conflict("FOLLOWS_PARENT", message),
            VoucherError::Renew(error) => error.into(),
            VoucherError::Customer(error) => error.into(),
            VoucherError::Secret(error) => error.into(),
        }
    }
}
