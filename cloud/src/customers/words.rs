//! How a customer is connected and how he stands.

use easyisp_shared::entitlement;
use easyisp_shared::time::Timestamp;
use easyisp_shared::wire::down::Connection;
use serde::{Deserialize, Serialize};

use crate::packages::PackageType;

/// How a customer is connected.
#[derive(
    Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize, sqlx::Type, utoipa::ToSchema,
)]
#[serde(rename_all = "UPPERCASE")]
#[sqlx(type_name = "text", rename_all = "UPPERCASE")]
pub enum ConnectionType {
    /// Dials with a name and a password.
    #[serde(alias = "pppoe")]
    Pppoe,
    /// Logs in at a captive portal.
    #[serde(alias = "hotspot")]
    Hotspot,
    /// Gets a lease.
    Dhcp,
    /// Has a fixed address.
    Static,
}

impl ConnectionType {
    /// Every way there is.
    pub const ALL: [ConnectionType; 4] = [
        ConnectionType::Pppoe,
        ConnectionType::Hotspot,
        ConnectionType::Dhcp,
        ConnectionType::Static,
    ];

    /// The word in the database.
    pub fn word(self) -> &'static str {
        match self {
            ConnectionType::Pppoe => "PPPOE",
            ConnectionType::Hotspot => "HOTSPOT",
            ConnectionType::Dhcp => "DHCP",
            ConnectionType::Static => "STATIC",
        }
    }

    /// The packages he may have; leased and fixed lines count as homes.
    pub fn package_type(self) -> PackageType {
        match self {
            ConnectionType::Hotspot => PackageType::Hotspot,
            ConnectionType::Pppoe | ConnectionType::Dhcp | ConnectionType::Static => {
                PackageType::Pppoe
            }
        }
    }

    /// The name of the tenant's total of such customers among the kept counts.
    pub fn count(self) -> &'static str {
        match self {
            ConnectionType::Pppoe => "customers.PPPOE",
            ConnectionType::Hotspot => "customers.HOTSPOT",
            ConnectionType::Dhcp => "customers.DHCP",
            ConnectionType::Static => "customers.STATIC",
        }
    }
}

impl From<ConnectionType> for Connection {
    fn from(kind: ConnectionType) -> Connection {
        match kind {
            ConnectionType::Pppoe => Connection::Pppoe,
            ConnectionType::Hotspot => Connection::Hotspot,
            ConnectionType::Dhcp => Connection::Dhcp,
            ConnectionType::Static => Connection::Static,
        }
    }
}

/// What an operator set. Expiry is not a standing: it follows from the dates.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, sqlx::Type)]
#[sqlx(type_name = "text", rename_all = "UPPERCASE")]
pub enum Standing {
    /// May be online while paid.
    Active,
    /// Stopped for a while.
    Suspended,
    /// Switched off for good.
    Disabled,
}

impl Standing {
    /// The word in the database.
    pub fn word(self) -> &'static str {
        match self {
            Standing::Active => "ACTIVE",
            Standing::Suspended => "SUSPENDED",
            Standing::Disabled => "DISABLED",
        }
    }
}

impl From<Standing> for entitlement::Standing {
    fn from(standing: Standing) -> entitlement::Standing {
        match standing {
            Standing::Active => entitlement::Standing::Active,
            Standing::Suspended => entitlement::Standing::Suspended,
            Standing::Disabled => entitlement::Standing::Disabled,
        }
    }
}

/// What an operator sees.
#[derive(
    Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize, sqlx::Type, utoipa::ToSchema,
)]
#[serde(rename_all = "UPPERCASE")]
#[sqlx(type_name = "text", rename_all = "UPPERCASE")]
pub enum Status {
    /// Paid, and not stopped.
    Active,
    /// Stopped for a while.
    Suspended,
    /// The paid time is over.
    Expired,
    /// Switched off for good.
    Disabled,
}

impl Status {
    /// The status of a customer who stands so and is paid (or funded) until then.
    pub fn of(standing: Standing, until: Timestamp, now: Timestamp) -> Status {
        match standing {
            Standing::Active if until <= now => Status::Expired,
            Standing::Active => Status::Active,
            Standing::Suspended => Status::Suspended,
            Standing::Disabled => Status::Disabled,
        }
    }

    /// The standing that an operator means by it. A form sends EXPIRED back for who was expired when it
    /// was loaded; that says nothing about his standing.
    pub fn standing(self) -> Option<Standing> {
        match self {
            Status::Active => Some(Standing::Active),
            Status::Suspended => Some(Standing::Suspended),
            Status::Disabled => Some(Standing::Disabled),
            Status::Expired => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_is_not_stopped_can_be_expired() {
        let at = Timestamp::from_secs;
        assert_eq!(Status::of(Standing::Active, at(5), at(5)), Status::Expired);
        assert_eq!(Status::of(Standing::Active, at(6), at(5)), Status::Active);
        assert_eq!(
            Status::of(Standing::Suspended, at(1), at(5)),
            Status::Suspended
        );
        assert_eq!(Status::Expired.standing(), None);
    }
}
