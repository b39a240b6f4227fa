//! One row of a file, first as text by field, then as what it wishes of a customer.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use easyisp_shared::entitlement::zone_of;
use easyisp_shared::money::Cents;
use easyisp_shared::net::Mac;
use easyisp_shared::time::Timestamp;
use serde::{Deserialize, Serialize};

use super::dates::{self, Order};
use super::fields::Field;
use crate::customers::{self, Change, ConnectionType, Status, usable_address};
use crate::error::{FieldError, Wrong};

/// A row as text. Whatever wrote the file, this is what it is read into.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Row {
    /// The line of the file on which it begins; where a user's lines are scattered, that of his first.
    pub line: u32,
    /// What it says; an empty cell is not among these.
    pub cells: BTreeMap<Field, String>,
    /// What is wrong with it already.
    pub errors: Vec<FieldError>,
    /// What it says that has no place here.
    pub warnings: Vec<FieldError>,
}

impl Row {
    /// A row that says nothing yet.
    pub fn at(line: u32) -> Row {
        Row {
            line,
            ..Row::default()
        }
    }

    /// Says something, unless it is empty.
    pub fn say(&mut self, field: Field, text: impl Into<String>) {
        let text = text.into();
        if !text.trim().is_empty() {
            self.cells.insert(field, text);
        }
    }

    /// What it says of this.
    pub fn get(&self, field: Field) -> Option<&str> {
        self.cells.get(&field).map(String::as_str)
    }

    /// Notes what cannot be.
    pub fn error(&mut self, field: &str, message: impl Into<String>) {
        self.errors.push(FieldError {
            field: field.to_owned(),
            message: message.into(),
        });
    }

    /// Notes what is left out.
    pub fn warn(&mut self, field: &str, message: impl Into<String>) {
        self.warnings.push(FieldError {
            field: field.to_owned(),
            message: message.into(),
        });
    }

    /// The user name, as the row says it.
    pub fn username(&self) -> &str {
        self.get(Field::Username).unwrap_or_default().trim()
    }
}

/// How the rows of one file are read.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Reading {
    /// The tenant's time zone.
    pub zone: String,
    /// What comes first in dates of three numbers.
    pub dates: Option<Order>,
    /// How those are connected of whom neither row nor package says it.
    pub connection_type: Option<ConnectionType>,
}

/// What a row wishes. Package, router and site are still names or ids.
#[derive(Clone, Debug, Default)]
pub struct Wish {
    /// The record, but for what is named below.
    pub change: Change,
    /// His password in the clear.
    pub password: Option<String>,
    /// The package.
    pub package: Option<String>,
    /// The router.
    pub router: Option<String>,
    /// The site.
    pub site: Option<String>,
    /// The end of his time.
    pub expires_at: Option<Timestamp>,
    /// An address of his own.
    pub static_ip: Option<Ipv4Addr>,
    /// The devices he is locked to.
    pub macs: Option<Vec<Mac>>,
    /// His labels.
    pub tags: Option<Vec<String>>,
    /// On whose account: a user name or an account number.
    pub parent: Option<String>,
    /// Whether he is billed afterwards.
    pub postpaid: Option<bool>,
}

/// What a row wishes, and what of it cannot be read. What it does not mention is left open.
pub fn wish(row: &Row, reading: &Reading) -> (Wish, Vec<FieldError>) {
    let mut wrong = Wrong::default();
    let zone = zone_of(&reading.zone);
    let text = |field| row.get(field).map(|text| text.trim().to_owned());
    let mut wish = Wish {
        change: Change {
            username: text(Field::Username),
            name: text(Field::Name),
            email: text(Field::Email).map(Some),
            phone: text(Field::Phone).map(Some),
            location: text(Field::Location).map(Some),
            apartment_number: text(Field::ApartmentNumber).map(Some),
            house_number: text(Field::HouseNumber).map(Some),
            ..Change::default()
        },
        password: row.get(Field::Password).map(str::to_owned),
        package: text(Field::Package),
        router: text(Field::Router),
        site: text(Field::Site),
        parent: text(Field::Parent).filter(|text| !text.is_empty()),
        ..Wish::default()
    };
    let mut read = |field: Field, take: &mut dyn FnMut(&str) -> Result<(), String>| {
        if let Some(text) = row.get(field)
            && let Err(message) = take(text.trim())
        {
            wrong.add(field.name(), &message);
        }
    };
    read(Field::ConnectionType, &mut |text| {
        let kind = connection_type(text).ok_or("must be PPPOE, HOTSPOT, DHCP or STATIC")?;
        wish.change.connection_type = Some(kind);
        Ok(())
    });
    read(Field::Status, &mut |text| {
        let status = status(text).ok_or("must be ACTIVE, SUSPENDED, DISABLED or EXPIRED")?;
        wish.change.standing = status.standing();
        Ok(())
    });
    read(Field::ExpiresAt, &mut |text| {
        wish.expires_at = Some(dates::parse(text, &zone, reading.dates)?);
        Ok(())
    });
    read(Field::Coordinates, &mut |text| {
        let (north, east) = text
            .split_once([',', ';'])
            .or_else(|| text.split_once(char::is_whitespace))
            .ok_or("must be degrees north and east such as -1.2921, 36.8219")?;
        wish.change.latitude = Some(Some(degrees(north)?));
        wish.change.longitude = Some(Some(degrees(east)?));
        Ok(())
    });
    read(Field::Latitude, &mut |text| {
        wish.change.latitude = Some(Some(degrees(text)?));
        Ok(())
    });
    read(Field::Longitude, &mut |text| {
        wish.change.longitude = Some(Some(degrees(text)?));
        Ok(())
    });
    read(Field::InstallationFee, &mut |text| {
        let fee = Cents::parse(text).map_err(|error| error.to_string())?;
        wish.change.installation_fee = Some(fee);
        Ok(())
    });
    read(Field::AutoRenew, &mut |text| {
        let yes = yes_or_no(text).ok_or("must be yes or no")?;
        wish.change.auto_renew = Some(yes);
        Ok(())
    });
    read(Field::Postpaid, &mut |text| {
        wish.postpaid = Some(postpaid(text).ok_or("must be postpaid or prepaid")?);
        Ok(())
    });
    read(Field::Devices, &mut |text| {
        let devices: i32 = text.parse().map_err(|_| "must be a whole number")?;
        wish.change.devices = Some(Some(devices));
        Ok(())
    });
    read(Field::StaticIp, &mut |text| {
        wish.static_ip = Some(usable_address(text).map_err(|error| error.message)?);
        Ok(())
    });
    read(Field::Macs, &mut |text| {
        let macs = text
            .split([',', ';', ' '])
            .filter(|mac| !mac.is_empty())
            .map(|mac| Mac::parse(mac).ok_or("must be addresses such as AA:BB:CC:DD:EE:FF"))
            .collect::<Result<Vec<Mac>, _>>()?;
        if macs.len() > MOST_MACS {
            return Err(format!("must be at most {MOST_MACS} addresses"));
        }
        wish.macs = Some(macs);
        Ok(())
    });
    read(Field::Tags, &mut |text| {
        let tags: Vec<String> = text
            .split([',', ';'])
            .filter(|tag| !tag.trim().is_empty())
            .map(str::to_owned)
            .collect();
        wish.tags = Some(customers::tags(&tags).map_err(|error| error.message)?);
        Ok(())
    });
    let wrong = wrong.none_or(()).err().unwrap_or_default();
    (wish, row.errors.iter().cloned().chain(wrong).collect())
}

fn connection_type(text: &str) -> Option<ConnectionType> {
    Some(match super::fields::bare(text).as_str() {
        "pppoe" | "ppp" | "home" => ConnectionType::Pppoe,
        "hotspot" => ConnectionType::Hotspot,
        "dhcp" | "ipoe" => ConnectionType::Dhcp,
        "static" | "staticip" => ConnectionType::Static,
        _ => return None,
    })
}

fn status(text: &str) -> Option<Status> {
    Some(match super::fields::bare(text).as_str() {
        "active" | "enabled" | "on" | "online" | "1" => Status::Active,
        "suspended" | "blocked" | "paused" | "limited" => Status::Suspended,
        "disabled" | "inactive" | "off" | "banned" | "terminated" | "0" => Status::Disabled,
        "expired" => Status::Expired,
        _ => return None,
    })
}

/// What people and programs write for yes and no.
pub fn yes_or_no(text: &str) -> Option<bool> {
    Some(match text.trim().to_ascii_lowercase().as_str() {
        "yes" | "true" | "1" | "on" | "y" => true,
        "no" | "false" | "0" | "off" | "n" => false,
        _ => return None,
    })
}

/// How somebody is billed: afterwards, or not.
pub fn postpaid(text: &str) -> Option<bool> {
    match text.trim().to_ascii_lowercase().as_str() {
        "postpaid" | "monthly" => Some(true),
        "prepaid" => Some(false),
        other => yes_or_no(other),
    }
}

/// Degrees, also with the comma of a spreadsheet that counts so.
fn degrees(text: &str) -> Result<f64, String> {
    let text = match text.contains('.') {
        true => text.trim().to_owned(),
        false => text.trim().replace(',', "."),
    };
    let degrees: Option<f64> = text.parse().ok();
    degrees
        .filter(|degrees| degrees.is_finite())
        .ok_or_else(|| "must be degrees such as -1.2921".to_owned())
}

const MOST_MACS: usize = 10;

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn reading() -> Reading {
        Reading {
            zone: "Africa/Nairobi".to_owned(),
            dates: None,
            connection_type: None,
        }
    }

    #[test]
    fn a_row_says_what_a_request_would() {
        let mut row = Row::at(2);
        for (field, text) in [
            (Field::Username, " jane "),
            (Field::Password, " p w "),
            (Field::Phone, "0712345678"),
            (Field::ConnectionType, "PPPoE"),
            (Field::Status, "Blocked"),
            (Field::ExpiresAt, "2026-03-01 12:00"),
            (Field::Coordinates, "-1.29, 36.82"),
            (Field::InstallationFee, "1500.50"),
            (Field::AutoRenew, "Yes"),
            (Field::Devices, "3"),
            (Field::StaticIp, "10.0.0.7"),
            (Field::Macs, "aa-bb-cc-dd-ee-ff; 11:22:33:44:55:66"),
            (Field::Tags, "VIP, roof;vip"),
            (Field::Email, "  "),
        ] {
            row.say(field, text);
        }
        let (wish, wrong) = wish(&row, &reading());
        assert_eq!(wrong, []);
        assert_eq!(wish.change.username.as_deref(), Some("jane"));
        assert_eq!(wish.password.as_deref(), Some(" p w "));
        assert_eq!(wish.change.email, None, "an empty cell mentions nothing");
        assert_eq!(
            wish.expires_at.unwrap().to_string(),
            "2026-03-01T09:00:00.000Z"
        );
        assert_eq!(wish.change.latitude, Some(Some(-1.29)));
        assert_eq!(wish.change.installation_fee, Some(Cents::new(150_050)));
        assert_eq!(wish.macs.unwrap().len(), 2);
        assert_eq!(wish.tags.unwrap(), ["roof", "vip"]);
    }

    #[test]
    fn everything_that_cannot_be_read_is_named() {
        let mut row = Row::at(2);
        for field in [
            Field::ConnectionType,
            Field::Status,
            Field::ExpiresAt,
            Field::Coordinates,
            Field::InstallationFee,
            Field::AutoRenew,
            Field::Devices,
            Field::StaticIp,
            Field::Macs,
        ] {
            row.say(field, "nonsense");
        }
        let (_, wrong) = wish(&row, &reading());
        assert_eq!(wrong.len(), 9, "{wrong:?}");
        assert!(wrong.iter().all(|error| error.message.starts_with("must")));
    }
}
