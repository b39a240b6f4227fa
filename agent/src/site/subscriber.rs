//! One subscriber as the RADIUS path needs him: immutable, secret opened, decision prepared.

use std::net::Ipv4Addr;

use easyisp_shared::entitlement;
use easyisp_shared::id::{CustomerId, PackageId};
use easyisp_shared::seal::SealKey;
use easyisp_shared::time::Timestamp;
use easyisp_shared::wire::DownKind;
use easyisp_shared::wire::down::{Connection, SubscriberV1, secret_place};
use tracing::warn;

use crate::radius::KnownPassword;

/// One subscriber. Replaced as a whole when the cloud says something new of him.
#[derive(Debug)]
pub struct Subscriber {
    /// The customer.
    pub id: CustomerId,
    /// What he types, octet for octet.
    pub username: Box<[u8]>,
    /// The password; `None` when it does not open with this site's key: nobody can log in with it.
    pub password: Option<KnownPassword>,
    /// The sealed form, to see whether it changed.
    sealed: Box<[u8]>,
    /// How he is connected.
    pub connection: Connection,
    /// What the decision looks at.
    pub entitlement: entitlement::Subscriber,
    /// When the paid period began.
    pub period_start: Timestamp,
    /// What he buys.
    pub package: Option<PackageId>,
    /// His own address.
    pub static_ip: Option<Ipv4Addr>,
    /// What he pays to.
    pub account: u32,
}

impl Subscriber {
    /// Opens the secret of a row. One that does not open is told once, without its content.
    pub fn open(row: SubscriberV1, key: &SealKey) -> Subscriber {
        let place = secret_place(DownKind::Subscriber, row.customer.0, "password");
        let password = match key.open(&place, &row.password) {
            Ok(clear) => Some(KnownPassword::new(&clear)),
            Err(cause) => {
                warn!(customer.id = %row.customer, %cause, "Cannot open a subscriber's password");
                None
            }
        };
        Subscriber {
            id: row.customer,
            entitlement: row.entitlement(),
            username: row.username.into(),
            password,
            sealed: row.password.into(),
            connection: row.connection,
            period_start: row.period_start,
            package: row.package,
            static_ip: row.static_ip,
            account: row.account,
        }
    }

    /// Whether both have one password. The cloud seals a password once, so equal octets say so.
    pub fn same_password(&self, other: &Subscriber) -> bool {
        self.sealed == other.sealed
    }
}
