//! One subscriber as the RADIUS path needs him: immutable, secret opened, decision prepared.

use std::net::Ipv4Addr;

use easyisp_shared::entitlement::{self, Standing};
use easyisp_shared::id::{CustomerId, PackageId};
use easyisp_shared::net::Mac;
use easyisp_shared::seal::SealKey;
use easyisp_shared::time::Timestamp;
use easyisp_shared::voucher;
use easyisp_shared::wire::DownKind;
use easyisp_shared::wire::down::{Connection, Network, SubscriberV1, UsedV1, secret_place};
use tracing::warn;

use super::Redemption;
use crate::radius::KnownPassword;
use crate::sessions::Asker;

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
    /// Devices he was seen with, oldest first.
    pub remembered_macs: Vec<Mac>,
    /// When the devices that first logins had bound him to were last taken off him.
    pub unbound_at: Option<Timestamp>,
    /// What the cloud last said was used in this period, at all sites.
    pub used: UsedV1,
    /// His networks; few subscribers have any.
    pub networks: Option<Box<Networks>>,
}

/// Networks of one subscriber.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Networks {
    /// Behind his line.
    pub routes: Vec<Network>,
    /// The IPv6 prefix of his line.
    pub ipv6_prefix: Option<Network>,
    /// The IPv6 prefix delegated to his own router.
    pub delegated_prefix: Option<Network>,
}

impl Subscriber {
    /// As whom the register of sessions knows him.
    pub fn who(&self) -> Asker<'_> {
        Asker {
            customer: Some(self.id),
            username: &self.username,
        }
    }

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
        let entitlement = row.entitlement();
        let networks = Networks {
            routes: row.routes,
            ipv6_prefix: row.ipv6_prefix,
            delegated_prefix: row.delegated_prefix,
        };
        Subscriber {
            id: row.customer,
            entitlement,
            username: row.username.into(),
            password,
            sealed: row.password.into(),
            connection: row.connection,
            period_start: row.period_start,
            package: row.package,
            static_ip: row.static_ip,
            account: row.account,
            remembered_macs: row.remembered_macs,
            unbound_at: row.unbound_at,
            used: row.used,
            networks: (networks != Networks::default()).then(|| Box::new(networks)),
        }
    }

    /// Who uses a voucher, before the cloud has heard of him. He logs in with the code alone.
    pub fn of_voucher(used: &Redemption) -> Subscriber {
        Subscriber {
            id: used.customer(),
            username: voucher::username(used.voucher).into_bytes().into(),
            password: None,
            sealed: Box::default(),
            connection: Connection::Hotspot,
            entitlement: entitlement::Subscriber {
                standing: Standing::Active,
                paid_until: used.until,
                funded_until: used.until,
                macs: used.mac.into_iter().collect(),
                router: None,
                devices: None,
                rate_override: None,
            },
            period_start: used.from,
            package: Some(used.package),
            static_ip: None,
            account: 0,
            remembered_macs: Vec::new(),
            unbound_at: None,
            used: UsedV1::default(),
            networks: None,
        }
    }

    /// The devices that are known to be his, at a hotspot.
    pub fn devices(&self) -> impl Iterator<Item = Mac> {
        let known = match self.connection {
            Connection::Hotspot => [&*self.entitlement.macs, &*self.remembered_macs],
            Connection::Dhcp => [&*self.entitlement.macs, &[][..]],
            Connection::Pppoe | Connection::Static => [&[][..], &[][..]],
        };
        known.into_iter().flatten().copied()
    }

    /// Whether both have one password. The cloud seals a password once, so equal octets say so. A voucher's
    /// user had none before the cloud gave him one.
    pub fn same_password(&self, other: &Subscriber) -> bool {
        self.sealed.is_empty() || self.sealed == other.sealed
    }
}
