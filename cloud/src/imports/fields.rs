//! The columns of a file of customers, by whatever name.

use serde::{Deserialize, Serialize};

/// What a cell can say of a customer.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum Field {
    Username,
    Password,
    Name,
    Email,
    Phone,
    ConnectionType,
    Status,
    Package,
    Router,
    Site,
    ExpiresAt,
    Location,
    Coordinates,
    Latitude,
    Longitude,
    ApartmentNumber,
    HouseNumber,
    InstallationFee,
    AutoRenew,
    Devices,
    StaticIp,
    Macs,
    Tags,
    /// On whose account he is: a user name or an account number.
    Parent,
    /// Whether he is billed once a month afterwards.
    Postpaid,
}

/// What a column is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Column {
    /// Something to be taken in.
    Of(Field),
    /// What our own files show besides, and nobody can set: it is left out without a word.
    Shown,
}

impl Field {
    /// The name in `POST /api/customers`, by which errors name it; a column of that name is it.
    pub const fn name(self) -> &'static str {
        match self {
            Field::Username => "username",
            Field::Password => "password",
            Field::Name => "name",
            Field::Email => "email",
            Field::Phone => "phone",
            Field::ConnectionType => "connectionType",
            Field::Status => "status",
            Field::Package => "packageId",
            Field::Router => "nasId",
            Field::Site => "siteId",
            Field::ExpiresAt => "expiresAt",
            Field::Location => "location",
            Field::Coordinates => "coordinates",
            Field::Latitude => "latitude",
            Field::Longitude => "longitude",
            Field::ApartmentNumber => "apartmentNumber",
            Field::HouseNumber => "houseNumber",
            Field::InstallationFee => "installationFee",
            Field::AutoRenew => "autoRenew",
            Field::Devices => "devices",
            Field::StaticIp => "ipAddress",
            Field::Macs => "macAddress",
            Field::Tags => "tags",
            Field::Parent => "parentId",
            Field::Postpaid => "postpaid",
        }
    }

    /// Other names of such a column, in lower-case letters and digits alone.
    const fn synonyms(self) -> &'static [&'static str] {
        match self {
            Field::Username => &[
                "user",
                "login",
                "userid",
                "pppoeusername",
                "pppoeuser",
                "accountname",
            ],
            Field::Password => &["pass", "secret", "pppoepassword", "pppoepass"],
            Field::Name => &[
                "fullname",
                "customername",
                "customer",
                "client",
                "clientname",
                "displayname",
            ],
            Field::Email => &["emailaddress", "mail"],
            Field::Phone => &[
                "phonenumber",
                "mobile",
                "mobilenumber",
                "telephone",
                "tel",
                "msisdn",
                "contact",
                "cell",
            ],
            Field::ConnectionType => &["type", "servicetype", "service", "connection"],
            Field::Status => &["accountstatus", "state", "standing"],
            Field::Package => &[
                "package",
                "packagename",
                "plan",
                "planname",
                "profile",
                "tariff",
                "product",
            ],
            Field::Router => &[
                "router",
                "routerid",
                "routername",
                "nas",
                "nasname",
                "routers",
            ],
            Field::Site => &["site", "sitename"],
            Field::ExpiresAt => &[
                "expiry",
                "expirydate",
                "expires",
                "expireson",
                "expiration",
                "expirationdate",
                "expiredate",
                "validuntil",
                "paiduntil",
                "duedate",
                "enddate",
            ],
            Field::Location => &["address", "street", "place", "area", "estate"],
            Field::Coordinates => &["gps", "gpscoordinates", "latlng", "latlong", "geodata"],
            Field::Latitude => &["lat"],
            Field::Longitude => &["lng", "long", "lon"],
            Field::ApartmentNumber => &["apartment", "apt", "aptno"],
            Field::HouseNumber => &["house", "houseno", "unit"],
            Field::InstallationFee => &["installation", "installfee", "setupfee"],
            Field::AutoRenew => &["autorenewal", "renewautomatically"],
            Field::Devices => &["maxdevices", "sharedusers", "simultaneoususe", "sessions"],
            Field::StaticIp => &[
                "staticip",
                "ip",
                "ipaddr",
                "framedipaddress",
                "remoteaddress",
                "ipv4",
            ],
            Field::Macs => &[
                "mac",
                "macs",
                "macaddresses",
                "lockedmacs",
                "callingstationid",
                "callerid",
            ],
            Field::Tags => &["tag", "label", "labels"],
            Field::Parent => &["parent", "parentusername", "parentaccount"],
            Field::Postpaid => &["billedafterwards", "billing", "billingtype"],
        }
    }

    const ALL: [Field; 25] = [
        Field::Username,
        Field::Password,
        Field::Name,
        Field::Email,
        Field::Phone,
        Field::ConnectionType,
        Field::Status,
        Field::Package,
        Field::Router,
        Field::Site,
        Field::ExpiresAt,
        Field::Location,
        Field::Coordinates,
        Field::Latitude,
        Field::Longitude,
        Field::ApartmentNumber,
        Field::HouseNumber,
        Field::InstallationFee,
        Field::AutoRenew,
        Field::Devices,
        Field::StaticIp,
        Field::Macs,
        Field::Tags,
        Field::Parent,
        Field::Postpaid,
    ];
}

/// What a column of this name is; `None` when it is nothing we know.
pub fn column(name: &str) -> Option<Column> {
    const SHOWN: [&str; 5] = [
        "id",
        "accountnumber",
        "walletbalance",
        "createdat",
        "customerid",
    ];
    let name = bare(name);
    if SHOWN.contains(&name.as_str()) {
        return Some(Column::Shown);
    }
    let mut fields = Field::ALL.into_iter();
    fields
        .find(|field| bare(field.name()) == name || field.synonyms().contains(&name.as_str()))
        .map(Column::Of)
}

/// A name without case, spaces, dashes and what else people put between its words.
pub fn bare(name: &str) -> String {
    name.chars()
        .filter(|letter| letter.is_alphanumeric())
        .flat_map(char::to_lowercase)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_is_found_by_what_people_call_it() {
        for (name, field) in [
            ("User Name", Field::Username),
            ("PPPoE-Password", Field::Password),
            ("EXPIRY DATE", Field::ExpiresAt),
            ("packageId", Field::Package),
            ("plan", Field::Package),
            ("Phone Number", Field::Phone),
            ("mac_address", Field::Macs),
            ("Static IP", Field::StaticIp),
        ] {
            assert_eq!(column(name), Some(Column::Of(field)), "{name}");
        }
        assert_eq!(column("Account Number"), Some(Column::Shown));
        assert_eq!(column("shoe size"), None);
        assert_eq!(column(""), None);
    }

    #[test]
    fn no_name_means_two_columns() {
        let mut seen = std::collections::BTreeMap::new();
        for field in Field::ALL {
            let own = bare(field.name());
            for name in field.synonyms().iter().map(|name| (*name).to_owned()) {
                assert_eq!(bare(&name), name, "{name} is written bare");
                let before = seen.insert(name.clone(), field);
                assert!(before.is_none_or(|before| before == field), "{name}");
            }
            let before = seen.insert(own.clone(), field);
            assert!(before.is_none_or(|before| before == field), "{own}");
        }
    }
}
