//! What a customer's record may say, and who may change it.

use std::net::Ipv4Addr;

use easyisp_shared::id::{CustomerId, PackageId, RouterId, SiteId};
use easyisp_shared::money::Cents;
use easyisp_shared::net::Mac;
use easyisp_shared::phone::PhoneNumber;
use serde_json::{Map, Value, json};

use super::words::{ConnectionType, Standing};
use crate::error::{FieldError, Wrong};
use crate::packages::PackageType;
use crate::permission::Permission::{self, *};

/// The content of a customer's record, checked; password and dates apart.
#[derive(Clone, PartialEq, Debug)]
pub struct Draft {
    /// What he types at the far end; unique in the tenant.
    pub username: String,
    /// Who he is.
    pub name: String,
    /// Where to write.
    pub email: Option<String>,
    /// Where to call, as it was typed.
    pub phone: Option<String>,
    /// How he is connected.
    pub connection_type: ConnectionType,
    /// What an operator set.
    pub standing: Standing,
    /// What he buys.
    pub package: Option<PackageId>,
    /// The only router he may use.
    pub router: Option<RouterId>,
    /// The site he belongs to when no router says it.
    pub site: Option<SiteId>,
    /// Where he lives.
    pub location: Option<String>,
    /// Degrees north.
    pub latitude: Option<f64>,
    /// Degrees east.
    pub longitude: Option<f64>,
    /// Part of the address.
    pub apartment_number: Option<String>,
    /// Part of the address.
    pub house_number: Option<String>,
    /// Asked once.
    pub installation_fee: Cents,
    /// Whether his wallet renews him.
    pub auto_renew: bool,
    /// Devices at once, where it differs from the package's.
    pub devices: Option<i32>,
    /// Whose account he is on.
    pub parent: Option<CustomerId>,
}

/// What a request says about a customer. Outer `None`: not mentioned; `Some(None)`: emptied.
#[derive(Clone, PartialEq, Debug, Default)]
#[expect(missing_docs, reason = "see Draft")]
pub struct Change {
    pub username: Option<String>,
    pub name: Option<String>,
    pub email: Option<Option<String>>,
    pub phone: Option<Option<String>>,
    pub connection_type: Option<ConnectionType>,
    pub standing: Option<Standing>,
    pub package: Option<Option<PackageId>>,
    pub router: Option<Option<RouterId>>,
    pub site: Option<SiteId>,
    pub location: Option<Option<String>>,
    pub latitude: Option<Option<f64>>,
    pub longitude: Option<Option<f64>>,
    pub apartment_number: Option<Option<String>>,
    pub house_number: Option<Option<String>>,
    pub installation_fee: Option<Cents>,
    pub auto_renew: Option<bool>,
    pub devices: Option<Option<i32>>,
    pub parent: Option<Option<CustomerId>>,
}

/// The record that a change makes, from nothing or from the one before.
pub fn draft(change: Change, before: Option<&Draft>) -> Result<Draft, Vec<FieldError>> {
    let mut wrong = Wrong::default();
    let trimmed = |text: String| text.trim().to_owned();
    let text = |new: Option<Option<String>>, old: Option<&Option<String>>| match new {
        Some(text) => text.map(|text| text.trim().to_owned()),
        None => old.cloned().flatten(),
    };

    let username = change.username.map(trimmed);
    let name = change.name.map(trimmed);
    let draft = Draft {
        username: wrong.required("username", username.or(before.map(|b| b.username.clone()))),
        name: wrong.required("name", name.or(before.map(|b| b.name.clone()))),
        email: text(change.email, before.map(|b| &b.email)),
        phone: text(change.phone, before.map(|b| &b.phone)),
        connection_type: match change.connection_type.or(before.map(|b| b.connection_type)) {
            Some(kind) => kind,
            None => {
                wrong.add(
                    "connectionType",
                    "is required: PPPOE, HOTSPOT, DHCP or STATIC",
                );
                ConnectionType::Pppoe
            }
        },
        standing: change
            .standing
            .or(before.map(|b| b.standing))
            .unwrap_or(Standing::Active),
        package: change.package.unwrap_or(before.and_then(|b| b.package)),
        router: change.router.unwrap_or(before.and_then(|b| b.router)),
        site: change.site.or(before.and_then(|b| b.site)),
        location: text(change.location, before.map(|b| &b.location)),
        latitude: change.latitude.unwrap_or(before.and_then(|b| b.latitude)),
        longitude: change.longitude.unwrap_or(before.and_then(|b| b.longitude)),
        apartment_number: text(change.apartment_number, before.map(|b| &b.apartment_number)),
        house_number: text(change.house_number, before.map(|b| &b.house_number)),
        installation_fee: change
            .installation_fee
            .or(before.map(|b| b.installation_fee))
            .unwrap_or(Cents::ZERO),
        auto_renew: change
            .auto_renew
            .or(before.map(|b| b.auto_renew))
            .unwrap_or(false),
        devices: change.devices.unwrap_or(before.and_then(|b| b.devices)),
        parent: change.parent.unwrap_or(before.and_then(|b| b.parent)),
    };
    let draft = without_null_island(draft);
    check(&draft, &mut wrong);
    wrong.none_or(draft)
}

/// Answers say 0 where no coordinate is known, and forms send that back.
fn without_null_island(draft: Draft) -> Draft {
    let known = |degrees: Option<f64>| degrees.is_some_and(|degrees| degrees != 0.0);
    if known(draft.latitude) || known(draft.longitude) {
        return draft;
    }
    Draft {
        latitude: None,
        longitude: None,
        ..draft
    }
}

fn check(draft: &Draft, wrong: &mut Wrong) {
    let length = |text: &str| text.chars().count();
    let plain = |text: &str| !text.chars().any(char::is_control);
    // 253 octets is what fits a RADIUS attribute; nobody types more than a few.
    if !draft.username.is_empty()
        && (length(&draft.username) < 3 || draft.username.len() > 64 || !plain(&draft.username))
    {
        wrong.add("username", "must have 3 to 64 characters");
    }
    if draft.username.to_lowercase().starts_with("erased-") {
        wrong.add(
            "username",
            "must not begin with erased-: so are those called who were erased",
        );
    }
    if !draft.name.is_empty() && (!(2..=200).contains(&length(&draft.name)) || !plain(&draft.name))
    {
        wrong.add("name", "must have 2 to 200 characters");
    }
    if let Some(email) = &draft.email
        && !is_email(email)
    {
        wrong.add("email", "must be an e-mail address, or empty");
    }
    for (field, text, most) in [
        ("phone", &draft.phone, 64),
        ("location", &draft.location, 500),
        ("apartmentNumber", &draft.apartment_number, 64),
        ("houseNumber", &draft.house_number, 64),
    ] {
        if text
            .as_ref()
            .is_some_and(|text| length(text) > most || text.contains('\0'))
        {
            wrong.add(field, &format!("must have at most {most} characters"));
        }
    }
    wrong.coordinates(draft.latitude, draft.longitude);
    if draft.installation_fee < Cents::ZERO {
        wrong.add("installationFee", "must not be negative");
    }
    if draft
        .devices
        .is_some_and(|devices| !(1..=1000).contains(&devices))
    {
        wrong.add("devices", "must be 1 to 1000");
    }
}

fn is_email(text: &str) -> bool {
    let Some((name, host)) = text.rsplit_once('@') else {
        return false;
    };
    !name.is_empty()
        && host.contains('.')
        && text.len() <= 254
        && !text.chars().any(|c| c.is_whitespace() || c.is_control())
}

/// Checks a password: 4 to 128 octets, which is what PAP carries, none of them a control character.
pub fn password(text: &str) -> Result<(), FieldError> {
    if text.chars().count() >= 4 && text.len() <= 128 && !text.chars().any(char::is_control) {
        return Ok(());
    }
    Err(FieldError {
        field: "password".to_owned(),
        message: "must have 4 to 128 characters".to_owned(),
    })
}

/// An address that a line can have.
pub fn usable_address(text: &str) -> Result<Ipv4Addr, FieldError> {
    let address: Option<Ipv4Addr> = text.trim().parse().ok();
    address
        .filter(|address| {
            !(address.is_unspecified()
                || address.is_loopback()
                || address.is_multicast()
                || address.is_broadcast())
        })
        .ok_or_else(|| error("ipAddress", "must be an IPv4 address such as 10.10.10.7"))
}

/// Where a customer may belong: his router's site, the site that was asked for, the tenant's first.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    /// The site of the router; `None` when there is no such router.
    pub router_site: Option<SiteId>,
    /// The site asked for; `None` when there is no such site.
    pub asked_site: Option<SiteId>,
    /// The first site.
    pub first_site: Option<SiteId>,
}

/// The home site of a customer of this router, for whom this site was asked.
pub fn home(
    place: Place,
    router: Option<RouterId>,
    asked: Option<SiteId>,
) -> Result<SiteId, FieldError> {
    match (router, asked) {
        (Some(_), _) => place
            .router_site
            .ok_or_else(|| error("nasId", "is no router of yours")),
        (None, Some(_)) => place
            .asked_site
            .ok_or_else(|| error("siteId", "is no site of yours")),
        (None, None) => place
            .first_site
            .ok_or_else(|| error("siteId", "is required: make a site first")),
    }
}

/// Refuses a package that does not exist, is not sold or is for others; `found` = its type, and whether it is
/// sold.
pub fn fits(found: Option<(PackageType, bool)>, kind: ConnectionType) -> Result<(), FieldError> {
    match found {
        None => Err(error("packageId", "is no package of yours")),
        Some((_, false)) => Err(error("packageId", "is a package that is switched off")),
        Some((found, true)) if found != kind.package_type() => Err(error(
            "packageId",
            match found {
                PackageType::Hotspot => "is a hotspot package; this customer is not at a hotspot",
                PackageType::Pppoe => "is a package for homes; this customer is at a hotspot",
            },
        )),
        Some(_) => Ok(()),
    }
}

/// What is wrong with a package that is not sold where somebody is.
pub fn not_sold_there() -> FieldError {
    error(
        "packageId",
        "is not sold at this customer's router or site; choose one that is, or add the router to the package's routerIds",
    )
}

fn error(field: &str, message: &str) -> FieldError {
    FieldError {
        field: field.to_owned(),
        message: message.to_owned(),
    }
}

/// Labels as they are kept: trimmed, in lower case, each once and in order. At most 20 of 1 to 40 characters.
pub fn tags(wanted: &[String]) -> Result<Vec<String>, FieldError> {
    let mut tags: Vec<String> = wanted.iter().map(|tag| tag_form(tag)).collect();
    tags.sort();
    tags.dedup();
    let fits = |tag: &String| {
        (1..=40).contains(&tag.chars().count()) && !tag.chars().any(|c| c.is_control() || c == ',')
    };
    if tags.len() <= 20 && tags.iter().all(fits) {
        return Ok(tags);
    }
    Err(FieldError {
        field: "tags".to_owned(),
        message: "must be at most 20 words of 1 to 40 characters, without commas".to_owned(),
    })
}

/// One label as it is kept, and looked for.
pub fn tag_form(tag: &str) -> String {
    tag.trim().to_lowercase()
}

/// The text of a note, trimmed: 1 to 2,000 characters.
pub fn note_text(text: &str) -> Result<String, FieldError> {
    let text = text.trim();
    if (1..=2000).contains(&text.chars().count()) && !text.contains('\0') {
        return Ok(text.to_owned());
    }
    Err(FieldError {
        field: "text".to_owned(),
        message: "must have 1 to 2000 characters".to_owned(),
    })
}

/// What an edit changed of who somebody is, before and after, for the trail: a phone is masked there. `None`
/// when that is nothing.
pub fn facts(before: &Draft, after: &Draft) -> Option<(Value, Value)> {
    let of = |draft: &Draft| {
        [
            ("username", json!(draft.username)),
            ("name", json!(draft.name)),
            ("email", json!(draft.email)),
            ("phone", json!(draft.phone)),
            ("location", json!(draft.location)),
            ("latitude", json!(draft.latitude)),
            ("longitude", json!(draft.longitude)),
            ("apartmentNumber", json!(draft.apartment_number)),
            ("houseNumber", json!(draft.house_number)),
        ]
    };
    let shown = |name: &str, value: Value| match (name, value.as_str()) {
        ("phone", Some(phone)) => json!(masked(phone)),
        (_, _) => value, // written as it is
    };
    let (mut was, mut is) = (Map::new(), Map::new());
    for ((name, old), (_, new)) in of(before).into_iter().zip(of(after)) {
        if old != new {
            was.insert(name.to_owned(), shown(name, old));
            is.insert(name.to_owned(), shown(name, new));
        }
    }
    (!was.is_empty()).then_some((Value::Object(was), Value::Object(is)))
}

/// First five and last two digits; less of what is no number.
fn masked(phone: &str) -> String {
    match PhoneNumber::parse(phone) {
        Some(number) => number.masked(),
        None => format!("{}*****", phone.chars().take(2).collect::<String>()),
    }
}

/// What an edit changed, by name.
pub fn differences(before: &Draft, after: &Draft) -> Vec<&'static str> {
    [
        ("user name", before.username != after.username),
        ("name", before.name != after.name),
        ("e-mail", before.email != after.email),
        ("phone", before.phone != after.phone),
        (
            "connection type",
            before.connection_type != after.connection_type,
        ),
        ("status", before.standing != after.standing),
        ("package", before.package != after.package),
        ("router", before.router != after.router),
        ("site", before.site != after.site),
        ("location", before.location != after.location),
        (
            "coordinates",
            (before.latitude, before.longitude) != (after.latitude, after.longitude),
        ),
        (
            "apartment number",
            before.apartment_number != after.apartment_number,
        ),
        ("house number", before.house_number != after.house_number),
        (
            "installation fee",
            before.installation_fee != after.installation_fee,
        ),
        ("automatic renewal", before.auto_renew != after.auto_renew),
        ("devices", before.devices != after.devices),
        ("parent account", before.parent != after.parent),
    ]
    .into_iter()
    .filter_map(|(name, changed)| changed.then_some(name))
    .collect()
}

/// Something done to a customer, for which there is a permission by how he is connected.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Deed {
    /// See him in a list.
    List,
    /// See everything of him.
    View,
    /// Make him.
    Create,
    /// Make him on another's account.
    CreateChild,
    /// Change his record.
    Edit,
    /// Delete him.
    Delete,
    /// Suspend or activate.
    Suspend,
    /// Set the end of his time.
    ChangeExpiry,
    /// Give him another package.
    ChangePackage,
    /// Give him another speed for good.
    OverridePlan,
    /// Give him another speed for a while.
    SpeedBoost,
    /// Give him an address.
    StaticIp,
    /// Lock him to a device.
    LockMac,
    /// Free him of that.
    ResetMac,
    /// End his sessions.
    Disconnect,
    /// Write him a message.
    SendMessage,
}

impl Deed {
    /// The permissions of which one is enough.
    pub const fn permissions(self, kind: ConnectionType) -> &'static [Permission] {
        let home = !matches!(kind, ConnectionType::Hotspot);
        match (self, home) {
            (Deed::List, true) => &[PppoeView],
            (Deed::List, false) => &[HotspotView],
            (Deed::View, true) => &[PppoeDetailsView],
            (Deed::View, false) => &[HotspotDetailsView],
            (Deed::Create, true) => &[CustomersCreate, PppoeAddUser],
            (Deed::CreateChild, true) => &[CustomersCreate, PppoeAddChild],
            (Deed::CreateChild, false) => &[CustomersCreate],
            (Deed::Create, false) => &[CustomersCreate, HotspotAddUser],
            (Deed::Edit, true) => &[CustomersEdit, PppoeEdit],
            (Deed::Edit, false) => &[CustomersEdit],
            (Deed::Delete, true) => &[CustomersDelete, PppoeDelete],
            (Deed::Delete, false) => &[CustomersDelete, HotspotDelete],
            (Deed::Suspend, true) => &[CustomersEdit, PppoeSuspend],
            (Deed::Suspend, false) => &[CustomersEdit],
            (Deed::ChangeExpiry, true) => &[CustomersEdit, PppoeChangeExpiry],
            (Deed::ChangeExpiry, false) => &[CustomersEdit],
            (Deed::ChangePackage, true) => &[CustomersEdit, PppoeChangePlan],
            (Deed::ChangePackage, false) => &[CustomersEdit, HotspotChangePackage],
            (Deed::OverridePlan, true) => &[CustomersEdit, PppoeOverridePlan],
            (Deed::OverridePlan, false) => &[CustomersEdit],
            (Deed::SpeedBoost, true) => &[CustomersEdit, PppoeSpeedBoost],
            (Deed::SpeedBoost, false) => &[CustomersEdit],
            (Deed::StaticIp, true) => &[CustomersEdit, PppoeStaticIp],
            (Deed::StaticIp, false) => &[CustomersEdit],
            (Deed::LockMac, true) => &[CustomersEdit, PppoeLockMac],
            (Deed::LockMac, false) => &[CustomersEdit],
            (Deed::ResetMac, true) => &[CustomersEdit, PppoeResetMac],
            (Deed::ResetMac, false) => &[CustomersEdit, HotspotResetMac],
            (Deed::SendMessage, true) => &[PppoeSendSms, SmsSend],
            (Deed::SendMessage, false) => &[SmsSend],
            (Deed::Disconnect, true) => &[CustomersEdit, PppoePurge, RoutersDisconnect],
            (Deed::Disconnect, false) => &[CustomersEdit, HotspotPurge, RoutersDisconnect],
        }
    }
}

/// `2h 3m 4s`.
pub fn uptime(secs: u64) -> String {
    let (hours, minutes, secs) = (secs / 3600, secs / 60 % 60, secs % 60);
    match (hours, minutes) {
        (0, 0) => format!("{secs}s"),
        (0, _) => format!("{minutes}m {secs}s"),
        (_, _) => format!("{hours}h {minutes}m {secs}s"),
    }
}

/// Who makes a device, by the IEEE's list. Nobody made an address that its device made up, as phones do so as not to
/// be known again.
pub fn maker(device: &str) -> Option<&'static str> {
    const MADE_UP: u8 = 0b10;

    let device = Mac::parse(device)?;
    let made_up = device.octets()[0] & MADE_UP != 0;
    let listed = oui_data::lookup(&device.to_string()).filter(|_| !made_up);
    listed.map(oui_data::OuiData::organization)
}

/// The beginning of a phone number in its one form, where what is searched for may be one: `0712` and `+254 712` are
/// both `254712`.
pub fn beginning_of_phone(search: &str) -> Option<String> {
    const LEAST: usize = 4;

    let plain = |letter: &char| !matches!(letter, ' ' | '-' | '+');
    let digits: String = search.chars().filter(plain).collect();
    if digits.len() < LEAST || !digits.bytes().all(|letter| letter.is_ascii_digit()) {
        return None;
    }
    Some(match digits.strip_prefix('0') {
        Some(rest) => format!("254{rest}"),
        None => digits,
    })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn full() -> Change {
        Change {
            username: Some(" jane ".to_owned()),
            name: Some("Jane Doe".to_owned()),
            connection_type: Some(ConnectionType::Pppoe),
            email: Some(Some("jane@home.example".to_owned())),
            ..Change::default()
        }
    }

    fn fields(change: Change) -> Vec<String> {
        let wrong = draft(change, None).unwrap_err();
        wrong.into_iter().map(|error| error.field).collect()
    }

    #[test]
    fn an_edit_keeps_what_it_does_not_mention_and_empties_what_is_blank() {
        let before = draft(full(), None).unwrap();
        assert_eq!(before.username, "jane");
        assert_eq!(draft(Change::default(), Some(&before)).unwrap(), before);

        let emptied = Change {
            email: Some(None),
            ..Change::default()
        };
        assert_eq!(draft(emptied, Some(&before)).unwrap().email, None);
    }

    #[test]
    fn labels_stand_once_and_in_order() {
        let tags =
            |words: &[&str]| tags(&words.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>());
        assert_eq!(tags(&[" VIP", "north", "vip"]).unwrap(), ["north", "vip"]);
        assert_eq!(tags(&[]).unwrap(), Vec::<String>::new());
        for wrong in ["", "a,b", "a\nb", &"x".repeat(41)] {
            assert_eq!(tags(&[wrong]).unwrap_err().field, "tags", "{wrong}");
        }
        let many: Vec<String> = (0..21).map(|n| format!("t{n}")).collect();
        assert!(super::tags(&many).is_err());
    }

    #[test]
    fn the_zeros_of_an_unknown_place_are_no_place() {
        let zeros = Change {
            latitude: Some(Some(0.0)),
            longitude: Some(Some(0.0)),
            ..full()
        };
        assert_eq!(draft(zeros, None).unwrap().latitude, None);
        let equator = Change {
            latitude: Some(Some(0.0)),
            longitude: Some(Some(36.8)),
            ..full()
        };
        assert_eq!(draft(equator, None).unwrap().latitude, Some(0.0));
    }

    #[test]
    fn the_trail_sees_what_changed_and_no_whole_number() {
        let before = draft(full(), None).unwrap();
        let change = Change {
            name: Some("Jane Roe".to_owned()),
            phone: Some(Some("0712345678".to_owned())),
            ..Change::default()
        };
        let after = draft(change, Some(&before)).unwrap();
        let (was, is) = facts(&before, &after).unwrap();
        assert_eq!(was, json!({"name": "Jane Doe", "phone": null}));
        assert_eq!(is, json!({"name": "Jane Roe", "phone": "25471*****78"}));
        assert_eq!(facts(&after, &after), None);
    }

    #[test]
    fn every_wrong_field_is_named() {
        assert_eq!(
            fields(Change::default()),
            ["username", "name", "connectionType"]
        );
        let short = Change {
            username: Some("ab".to_owned()),
            name: Some("J".to_owned()),
            email: Some(Some("nobody".to_owned())),
            latitude: Some(Some(120.0)),
            ..full()
        };
        assert_eq!(fields(short), ["username", "name", "email", "latitude"]);
        assert!(password("abc").is_err());
        assert!(password("abcd").is_ok());
    }

    #[test]
    fn leased_and_fixed_lines_take_the_permissions_of_homes() {
        for kind in [ConnectionType::Dhcp, ConnectionType::Static] {
            assert_eq!(
                Deed::Suspend.permissions(kind),
                Deed::Suspend.permissions(ConnectionType::Pppoe)
            );
        }
        assert_eq!(
            Deed::ResetMac.permissions(ConnectionType::Hotspot),
            [CustomersEdit, HotspotResetMac]
        );
    }

    #[test]
    fn uptime_reads_as_a_person_says_it() {
        assert_eq!(uptime(7384), "2h 3m 4s");
        assert_eq!(uptime(59), "59s");
        assert_eq!(uptime(120), "2m 0s");
    }

    #[test]
    fn the_maker_of_a_device_is_known_unless_it_made_its_address_up() {
        assert_eq!(maker("D4:CA:6D:01:02:03"), Some("Routerboard.com"));
        assert_eq!(maker("DA:A1:19:00:00:01"), None);
        assert_eq!(maker("00:00:5E:FF:FF:FF"), maker("00:00:5e:00:00:01"));
        assert_eq!(maker("not an address"), None);
    }
}
