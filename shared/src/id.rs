//! One newtype per kind of id, so that a customer can never be passed where a router is meant.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::entropy::Entropy;
use crate::time::Timestamp;

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[cfg_attr(feature = "sqlx", derive(sqlx::Type), sqlx(transparent))]
        #[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl $name {
            /// Makes a time-ordered id (UUID version 7, RFC 9562 §5.7).
            pub fn new(now: Timestamp, entropy: &Entropy) -> $name {
                $name(time_ordered(now, entropy))
            }

            /// The id as 16 bytes.
            pub fn as_bytes(&self) -> &[u8; 16] {
                self.0.as_bytes()
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.fmt(f)
            }
        }

        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.fmt(f)
            }
        }

        impl std::str::FromStr for $name {
            type Err = uuid::Error;

            fn from_str(text: &str) -> Result<$name, uuid::Error> {
                text.parse().map($name)
            }
        }

        impl From<Uuid> for $name {
            fn from(id: Uuid) -> $name {
                $name(id)
            }
        }

        impl From<$name> for Uuid {
            fn from(id: $name) -> Uuid {
                id.0
            }
        }
    )*};
}

ids! {
    /// A provider that runs its business on the platform.
    TenantId
    /// A person who signs in: owner, staff or the platform's own people.
    OperatorId
    /// A place with routers, served by one or more agents.
    SiteId
    /// One installed agent.
    AgentId
    /// A MikroTik router (a NAS in RADIUS terms).
    RouterId
    /// What a customer buys.
    PackageId
    /// A subscriber.
    CustomerId
    /// A way to a device that somebody opened for a limited time.
    AccessGrantId
    /// What an operator wrote about a subscriber.
    NoteId
    /// Something about a device that a person should know.
    AlertId
    /// A subscriber's word to pay later.
    PromiseId
    /// A time when a site or a router was away, or that was given without one.
    OutageId
    /// Something that is done to many routers, one ring after the other.
    RolloutId
    /// One router's part of it.
    RolloutPartId
    /// An invoice taken back, as a document of its own.
    CreditNoteId
    /// One time online: a RADIUS accounting session.
    SessionId
    /// A set of transfers posted together.
    EntryId
    /// One movement from a debit to a credit account.
    TransferId
    /// An account of the ledger.
    AccountId
    /// A period of service that was paid.
    PeriodId
    /// Money that arrived.
    PaymentId
    /// A payment we asked for.
    IntentId
    /// A tenant's short code and keys at a payment provider.
    GatewayId
    /// A raw report from a payment provider, kept before it is understood.
    InboxId
    /// A question to a payment provider about a receipt, which it answers later.
    InquiryId
    /// Money that goes back to who paid it.
    RefundId
    /// Money that the platform collected for a tenant and pays out to him.
    SettlementId
    /// Money that a tenant pays the platform ahead.
    TopupId
    /// A message to a person.
    MessageId
    /// A desired state sent to a site.
    CommandId
    /// One line of the audit trail.
    AuditId
    /// One run of work in the background.
    JobId
    /// One file that was sent in.
    ImportId
    /// A code that is worth a period.
    VoucherId
    /// Vouchers made together.
    VoucherBatchId
    /// How a router was configured at some time.
    ConfigurationId
    /// A person's login to the routers themselves.
    RouterLoginId
    /// One place where a person is signed in.
    SignInId
    /// A key with which a program calls in an operator's name.
    ApiKeyId
    /// An address that is told of events.
    WebhookId
    /// Something that happened and is told.
    EventId
    /// One event on its way to one address.
    DeliveryId
    /// Income that is no customer's payment.
    IncomeId
    /// An expense.
    ExpenseId
    /// What a customer was billed.
    InvoiceId
}

/// Of one millisecond the first 4,096 made from one [`Entropy`] follow each other (RFC 9562 §6.2, method 1).
fn time_ordered(now: Timestamp, entropy: &Entropy) -> Uuid {
    let mut random = [0; 10];
    entropy.fill(&mut random);
    let millis = u64::try_from(now.millis()).unwrap_or(0);
    if let Some(count) = entropy.within(millis, COUNTED) {
        random[..2].copy_from_slice(&count.to_be_bytes());
    }
    uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid()
}

/// The 12 bits between the version and the variant.
const COUNTED: u16 = 0xfff;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn later_ids_sort_after_earlier_ones() {
        let entropy = Entropy::seeded(1);
        let early = CustomerId::new(Timestamp::from_millis(1_000), &entropy);
        let late = CustomerId::new(Timestamp::from_millis(2_000), &entropy);

        assert!(early < late);
        assert_eq!(early.0.get_version_num(), 7);
    }

    #[test]
    fn ids_of_one_millisecond_sort_as_they_were_made() {
        let entropy = Entropy::system();
        let now = Timestamp::from_millis(1_000);
        let made: Vec<CustomerId> = (0..=4_096)
            .map(|_| CustomerId::new(now, &entropy.clone()))
            .collect();
        assert!(made[..4_096].is_sorted());

        // More than can be counted, and a clock that went back, still give others every time.
        let earlier = CustomerId::new(Timestamp::from_millis(999), &entropy);
        assert!(earlier < made[0]);
        let mut all = made;
        all.extend([earlier, CustomerId::new(now, &entropy)]);
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 4_099);
    }
}
