//! What happens to a customer's service when nobody asks.

use easyisp_shared::id::{CustomerId, TenantId};
use easyisp_shared::time::Timestamp;

use crate::db::{Database, Kind};
use crate::due;

use super::{RenewError, Why, reckon, renew, store};

/// The kind of the due job that renews a customer from his wallet; its subject is the customer.
pub const AUTO_RENEW: &str = "renewals.auto";

pub use crate::customers::BEGIN;

/// The kind of the due job that sees to a wallet that fell below zero: what was paid out of it may be owed again; its
/// subject is the customer.
pub const SHORT: &str = "renewals.short";

/// The kind of the due job that pays an invoice out of money that arrived for it; its subject is the invoice.
pub const SETTLE: &str = "renewals.settle";

/// The kind of the due job that sees to the documents of a sale that gets a receipt, after it was sold and after some of
/// its price was given back; its subject is the period.
pub const SOLD: &str = "renewals.sold";

/// Renews a customer whose paid time is over and whose wallet covers another period. `Some` = when to ask
/// again, because he is paid until then.
pub async fn auto_renew(
    db: &Database,
    tenant: TenantId,
    customer: CustomerId,
    now: Timestamp,
) -> Result<Option<Timestamp>, RenewError> {
    let mut tx = db.begin(tenant).await?;
    // Whoever changes him meanwhile, or renews him, is waited for before it is asked whether he is due.
    if store::lock_payer(&mut tx, customer, None, now)
        .await?
        .is_none()
    {
        return Ok(None);
    }
    match store::renews_at(&mut tx, customer).await? {
        None => return Ok(None),
        Some(at) if now < at => return Ok(Some(at)),
        Some(_) => {}
    }
    match renew(&mut tx, customer, Why::AutoRenew, now).await {
        Ok(renewed) => {
            tx.commit().await?;
            Ok(Some(renewed.paid_until))
        }
        Err(RenewError::BalanceTooLow | RenewError::NoPackage | RenewError::Barred(_)) => {
            // The price rose or the money is gone: the site must not carry him on. The next receipt makes
            // it due again.
            reckon(&mut tx, customer, now).await?;
            tx.commit().await?;
            Ok(None)
        }
        Err(RenewError::UnknownCustomer) => Ok(None),
        Err(
            error @ (RenewError::NothingPaid
            | RenewError::TooMuch
            | RenewError::SetAside(_)
            | RenewError::FloatUsedUp
            | RenewError::ReceiptKnown
            | RenewError::NotRefundable
            | RenewError::GoesBack
            | RenewError::Database(_)),
        ) => Err(error),
    }
}

/// Lets the data of a period that was bought ahead count from its beginning, and is due again when the next one
/// begins. While a customer is paused nothing begins: it is due when he is back.
pub async fn begin(
    db: &Database,
    tenant: TenantId,
    customer: CustomerId,
    now: Timestamp,
) -> sqlx::Result<()> {
    let mut tx = db.begin(tenant).await?;
    if store::begin_period(&mut tx, customer, now).await? {
        tx.changed(Kind::Subscriber, customer);
    }
    if let Some(next) = store::next_begins(&mut tx, customer, now).await? {
        due::at(&mut tx, BEGIN, customer, next).await?;
    }
    tx.commit().await
}
