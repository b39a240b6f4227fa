//! What is told, and the bytes in which it is.

use easyisp_shared::entropy::Entropy;
use easyisp_shared::id::{EventId, TenantId};
use easyisp_shared::time::Timestamp;
use serde::Serialize;

/// What can be told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum EventKind {
    /// Somebody asks whether the address works; no webhook wants it, any can be sent it.
    Ping,
    /// Money arrived, for a customer or for nobody known; an operator's recharge too.
    PaymentReceived,
    /// Money went back to who paid it.
    PaymentRefunded,
    /// Money that was to go back did not, and is its owner's again.
    RefundFailed,
    /// A customer was entered; whoever uses a voucher becomes one.
    CustomerCreated,
    /// A customer's time is over, and no wallet carries him on.
    CustomerExpired,
    /// A customer has a further period, however it was paid.
    CustomerRenewed,
    /// Nothing was heard of a router for a quarter of an hour.
    RouterDown,
    /// Such a router is heard of again.
    RouterUp,
    /// Somebody changed a router's configuration, and it was not the platform.
    RouterConfigurationChanged,
    /// A code was used for the first time.
    VoucherUsed,
    /// Something about a device that a person should know.
    AlertRaised,
    /// It is over.
    AlertCleared,
}

impl EventKind {
    /// What a webhook can want.
    pub const WANTED: [EventKind; 12] = [
        EventKind::PaymentReceived,
        EventKind::PaymentRefunded,
        EventKind::RefundFailed,
        EventKind::CustomerCreated,
        EventKind::CustomerExpired,
        EventKind::CustomerRenewed,
        EventKind::RouterDown,
        EventKind::RouterUp,
        EventKind::RouterConfigurationChanged,
        EventKind::VoucherUsed,
        EventKind::AlertRaised,
        EventKind::AlertCleared,
    ];

    /// The name in the API.
    pub const fn name(self) -> &'static str {
        match self {
            EventKind::Ping => "ping",
            EventKind::PaymentReceived => "payment.received",
            EventKind::PaymentRefunded => "payment.refunded",
            EventKind::RefundFailed => "refund.failed",
            EventKind::CustomerCreated => "customer.created",
            EventKind::CustomerExpired => "customer.expired",
            EventKind::CustomerRenewed => "customer.renewed",
            EventKind::RouterDown => "router.down",
            EventKind::RouterUp => "router.up",
            EventKind::RouterConfigurationChanged => "router.configuration_changed",
            EventKind::VoucherUsed => "voucher.used",
            EventKind::AlertRaised => "alert.raised",
            EventKind::AlertCleared => "alert.cleared",
        }
    }

    /// What a webhook means by this name.
    pub fn parse(name: &str) -> Option<EventKind> {
        EventKind::WANTED
            .into_iter()
            .find(|kind| kind.name() == name)
    }
}

/// Something that happened, in the bytes that are sent however often.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Event {
    /// Its id; the same at every webhook and in every repeat.
    pub id: EventId,
    /// What it is.
    pub kind: EventKind,
    /// The body: `{"id", "event", "createdAt", "tenantId", "data"}`.
    pub payload: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Payload<'a, T> {
    id: EventId,
    event: &'static str,
    created_at: Timestamp,
    tenant_id: TenantId,
    data: &'a T,
}

impl Event {
    /// `data` holds ids and facts, nothing secret and nothing that the API does not show.
    pub fn new<T: Serialize>(
        tenant: TenantId,
        kind: EventKind,
        data: &T,
        now: Timestamp,
        entropy: &Entropy,
    ) -> Event {
        let id = EventId::new(now, entropy);
        let payload = Payload {
            id,
            event: kind.name(),
            created_at: now,
            tenant_id: tenant,
            data,
        };
        Event {
            id,
            kind,
            payload: serde_json::to_string(&payload)
                .expect("facts are plain structs, which can always be written"),
        }
    }
}

/// Events as the parameters of [`super::event_cte`].
pub(crate) struct Columns<'a> {
    pub(crate) ids: Vec<EventId>,
    pub(crate) names: Vec<&'static str>,
    pub(crate) payloads: Vec<&'a str>,
}

impl<'a> Columns<'a> {
    pub(crate) fn of(events: &'a [Event]) -> Columns<'a> {
        Columns {
            ids: events.iter().map(|event| event.id).collect(),
            names: events.iter().map(|event| event.kind.name()).collect(),
            payloads: events.iter().map(|event| event.payload.as_str()).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use easyisp_shared::money::Cents;
    use serde_json::Value;

    use super::*;

    #[test]
    fn money_is_a_number_and_a_date_a_text() {
        #[derive(Serialize)]
        struct Facts {
            amount: Cents,
        }
        let facts = Facts {
            amount: Cents::new(9950),
        };
        let (tenant, now) = (TenantId(uuid::Uuid::nil()), Timestamp::from_secs(0));
        let kind = EventKind::PaymentReceived;
        let event = Event::new(tenant, kind, &facts, now, &Entropy::seeded(1));
        assert!(
            event.payload.contains("\"amount\":99.5}"),
            "{}",
            event.payload
        );
        let read: Value = serde_json::from_str(&event.payload).expect("JSON");
        assert_eq!(read["id"], event.id.to_string());
        assert_eq!(read["event"], "payment.received");
        assert_eq!(read["createdAt"], "1970-01-01T00:00:00.000Z");
        assert_eq!(read["data"]["amount"], 99.5);
    }

    #[test]
    fn a_webhook_wants_each_by_its_name_and_no_ping() {
        for kind in EventKind::WANTED {
            assert_eq!(EventKind::parse(kind.name()), Some(kind));
        }
        assert_eq!(EventKind::parse("ping"), None);
    }
}
