//! What has to be done to a menu's rows so that they are as wanted, or as they were: decided here, carried out by
//! `setup`.

mod backups;
mod moved;

use easyisp_shared::wire::setup::{BeforeV1, ItemV1, RowV1, ValueV1, WhichV1};

use super::sentence::Row;
use super::values;

pub use backups::superseded;
pub use moved::{Above, Moved, moved};

/// One change of a menu.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// One row more.
    Add {
        /// Property and value, octet for octet.
        fields: Vec<(String, Vec<u8>)>,
        /// Before this row.
        before: Option<String>,
    },
    /// Another shape for a row; of the menu itself where the id is empty.
    Set {
        /// Which.
        id: String,
        /// What changes.
        fields: Vec<(String, Vec<u8>)>,
        /// A release that does not know the property is as good.
        lenient: bool,
    },
    /// A property of a row that nobody set.
    Unset {
        /// Which row; the menu itself where it is empty.
        id: String,
        /// Which property.
        name: String,
    },
    /// A row to another place.
    Move {
        /// Which.
        id: String,
        /// Before this row; to the end of the list without one.
        before: Option<String>,
    },
    /// One row less.
    Remove {
        /// Which.
        id: String,
    },
}

/// The rows of a whole menu as they were read.
pub fn read(rows: &[Row]) -> Vec<RowV1> {
    let id = |row: &Row| row.text(".id").unwrap_or_default().to_owned();
    let ids: Vec<String> = rows.iter().map(id).collect();
    rows.iter()
        .enumerate()
        .map(|(place, row)| RowV1 {
            id: id(row),
            next: ids.get(place + 1).cloned(),
            fields: row
                .all()
                .filter(|(name, _)| !name.starts_with('.'))
                .map(|(name, value)| (name.to_owned(), value.to_vec()))
                .collect(),
        })
        .collect()
}

/// What stands where an item goes.
pub fn before(item: &ItemV1, menu: &[RowV1]) -> BeforeV1 {
    BeforeV1 {
        item: item.clone(),
        rows: menu
            .iter()
            .filter(|row| is_meant(item, row))
            .cloned()
            .collect(),
    }
}

/// What makes it so; nothing where it is. `folder` stands before the name of a folder.
pub fn to_apply(item: &ItemV1, menu: &[RowV1], folder: &str) -> Vec<Act> {
    let meant = || menu.iter().filter(|row| is_meant(item, row));
    let wanted = wanted(item, folder);
    let set = |lenient| {
        let changed = |row: &RowV1| {
            let differing = wanted
                .iter()
                .filter(|(name, value)| !is_same(of(row, name), value));
            let fields: Vec<_> = differing.cloned().collect();
            (!fields.is_empty()).then(|| Act::Set {
                id: row.id.clone(),
                fields,
                lenient,
            })
        };
        meant().filter_map(changed).collect()
    };
    match &item.which {
        WhichV1::Menu { lenient } | WhichV1::Found { lenient, .. } => set(*lenient),
        WhichV1::Own { key, value, first } => {
            let before = first.then(|| first_of_others(menu, &wanted)).flatten();
            if let Some(row) = meant().next() {
                let mut acts = set(false);
                if let Some(before) = before.filter(|before| is_before(menu, before, &row.id)) {
                    let (id, before) = (row.id.clone(), Some(before));
                    acts.push(Act::Move { id, before });
                }
                return acts;
            }
            let mut fields = vec![(key.clone(), value.clone().into_bytes())];
            fields.extend(wanted);
            vec![Act::Add { fields, before }]
        }
        WhichV1::Gone { .. } | WhichV1::GoneBut { .. } => meant()
            .map(|row| Act::Remove { id: row.id.clone() })
            .collect(),
    }
}

/// What makes it as it was; nothing where it is.
pub fn to_restore(stood: &BeforeV1, menu: &[RowV1]) -> Vec<Act> {
    let item = &stood.item;
    let present: Vec<&RowV1> = menu.iter().filter(|row| is_meant(item, row)).collect();
    let back = |row: &RowV1| Act::Add {
        fields: lasting(row),
        before: row
            .next
            .clone()
            .filter(|next| menu.iter().any(|other| other.id == *next)),
    };
    match &item.which {
        WhichV1::Gone { .. } | WhichV1::GoneBut { .. } => stood
            .rows
            .iter()
            .filter(|row| !present.iter().any(|other| lasting(other) == lasting(row)))
            // What is there by its number was not taken away: what changed it since is changed back by its own item.
            .filter(|row| !menu.iter().any(|other| other.id == row.id))
            .flat_map(|row| {
                let same = menu
                    .iter()
                    .filter(|other| is_in_its_place(item, row, other));
                let gone = same.map(|other| Act::Remove {
                    id: other.id.clone(),
                });
                gone.chain([back(row)])
            })
            .collect(),
        WhichV1::Own { .. } if stood.rows.is_empty() => present
            .iter()
            .map(|row| Act::Remove { id: row.id.clone() })
            .collect(),
        WhichV1::Own { .. } if present.is_empty() => stood.rows.iter().map(back).collect(),
        WhichV1::Own { .. } | WhichV1::Menu { .. } | WhichV1::Found { .. } => stood
            .rows
            .iter()
            .flat_map(|row| {
                // Made again it has another number; there is one of its kind.
                let same = present.iter().find(|other| other.id == row.id);
                same.or(present.first())
                    .map(|other| as_it_was(item, row, other))
                    .unwrap_or_default()
            })
            .collect(),
    }
}

/// Whether there is no room for a row beside another one: an interface is in one bridge at a time.
fn is_in_its_place(item: &ItemV1, row: &RowV1, other: &RowV1) -> bool {
    let interface = of(row, "interface");
    item.menu == "/interface bridge port"
        && interface.is_some()
        && interface == of(other, "interface")
}

/// What an item changed of a row, changed back.
fn as_it_was(item: &ItemV1, was: &RowV1, is: &RowV1) -> Vec<Act> {
    let id = &is.id;
    let mut acts = Vec::new();
    let mut fields = Vec::new();
    for (name, _) in &item.fields {
        match (of(was, name), of(is, name)) {
            (Some(held), now) if now != Some(held) => fields.push((name.clone(), held.to_vec())),
            (None, Some(now)) if !now.is_empty() => acts.push(Act::Unset {
                id: id.clone(),
                name: name.clone(),
            }),
            (Some(_) | None, _) => {}
        }
    }
    if !fields.is_empty() {
        acts.push(Act::Set {
            id: id.clone(),
            fields,
            lenient: true,
        });
    }
    acts
}

/// What is otherwise than wanted, in words; nothing where it is so.
pub fn amiss(item: &ItemV1, menu: &[RowV1], folder: &str) -> Vec<String> {
    let ItemV1 { menu: path, .. } = item;
    let meant: Vec<&RowV1> = menu.iter().filter(|row| is_meant(item, row)).collect();
    let differing = |row: &RowV1| {
        let named = wanted(item, folder).into_iter().filter(|(name, value)| {
            let held = of(row, name);
            // A secret that this login may not see cannot be compared.
            let hidden = held.is_none() && is_secret(name);
            !hidden && !is_same(held, value)
        });
        named
            .map(|(name, _)| format!("{path}: {name} is otherwise"))
            .collect::<Vec<String>>()
    };
    match &item.which {
        WhichV1::Menu { lenient: true } | WhichV1::Found { lenient: true, .. } => Vec::new(),
        WhichV1::Found { key, value, .. } if meant.is_empty() && is_there(key) => {
            vec![format!("{path}: {value} is not there")]
        }
        WhichV1::Menu { .. } | WhichV1::Found { .. } => {
            meant.iter().flat_map(|row| differing(row)).collect()
        }
        WhichV1::Own { value, first, .. } => match meant.first() {
            None => vec![format!("{path}: {value} is not there")],
            Some(row) if is_yes(of(row, "invalid")) => {
                vec![format!("{path}: the router calls {value} invalid")]
            }
            Some(row)
                if *first
                    && first_of_others(menu, &wanted(item, folder))
                        .is_some_and(|other| is_before(menu, &other, &row.id)) =>
            {
                vec![format!(
                    "{path}: {value} comes after a rule that decides before it"
                )]
            }
            Some(row) => differing(row),
        },
        WhichV1::Gone { value, .. } if !meant.is_empty() => {
            vec![format!("{path}: {value} is still there")]
        }
        WhichV1::GoneBut { comment, .. } if !meant.is_empty() => {
            vec![format!("{path}: more than wanted is marked {comment}")]
        }
        WhichV1::Gone { .. } | WhichV1::GoneBut { .. } => Vec::new(),
    }
}

fn is_secret(name: &str) -> bool {
    ["secret", "passphrase"].contains(&name)
        || ["password", "-key"].iter().any(|end| name.ends_with(end))
}

fn is_meant(item: &ItemV1, row: &RowV1) -> bool {
    if is_connection(&item.menu, is_yes(of(row, "dynamic"))) {
        return false;
    }
    let is = |key: &str, value: &str| is_same(of(row, key), value.as_bytes());
    match &item.which {
        WhichV1::Menu { .. } => true,
        WhichV1::Found { key, value, .. }
        | WhichV1::Own { key, value, .. }
        | WhichV1::Gone { key, value } => is(key, value),
        WhichV1::GoneBut { comment, key, kept } => {
            is("comment", comment) && !kept.iter().any(|kept| is(key, kept))
        }
    }
}

/// Whether a row of this menu is no service but somebody's connection to one, by the same name: releases from 7.20 on
/// list those among the services, and change none of them.
pub fn is_connection(menu: &str, is_dynamic: bool) -> bool {
    menu == "/ip service" && is_dynamic
}

fn wanted(item: &ItemV1, folder: &str) -> Vec<(String, Vec<u8>)> {
    let value = |value: &ValueV1| match value {
        ValueV1::Text(text) => text.clone().into_bytes(),
        ValueV1::Folder(name) => format!("{folder}{name}").into_bytes(),
    };
    let fields = item.fields.iter();
    fields
        .map(|(name, held)| (name.clone(), value(held)))
        .collect()
}

/// Whether rows that are only found must be there: what has a name, or comes with the router. A rule that somebody may
/// have, and a login that may be his own, need not.
pub fn is_there(key: &str) -> bool {
    ["name", "default"].contains(&key)
}

/// The first rule of the chain of `rule` before which it has to stand: one that is neither ours nor the router's own,
/// and for what lets somebody in one of ours that does not.
fn first_of_others(menu: &[RowV1], rule: &[(String, Vec<u8>)]) -> Option<String> {
    let of_rule = |wanted: &str| {
        let held = rule.iter().find(|(name, _)| name == wanted);
        held.map(|(_, value)| value.as_slice())
    };
    let accepts = of_rule("action") == Some(b"accept");
    let others = menu.iter().find(|row| {
        let ours = of(row, "comment").is_some_and(|comment| comment.starts_with(b"easyisp:"));
        let passes = ours && !(accepts && of(row, "action") == Some(b"drop"));
        of(row, "chain") == of_rule("chain") && !is_yes(of(row, "dynamic")) && !passes
    });
    others.map(|row| row.id.clone())
}

fn is_before(menu: &[RowV1], one: &str, other: &str) -> bool {
    let place = |id: &str| menu.iter().position(|row| row.id == id);
    place(one) < place(other)
}

fn of<'a>(row: &'a RowV1, name: &str) -> Option<&'a [u8]> {
    let held = row.fields.iter().find(|(held, _)| held == name);
    held.map(|(_, value)| value.as_slice())
}

fn is_yes(value: Option<&[u8]>) -> bool {
    matches!(value, Some(b"true" | b"yes"))
}

/// What is told of a row and is not set: by `add` it would be refused.
pub fn lasting(row: &RowV1) -> Vec<(String, Vec<u8>)> {
    const TOLD: [&str; 14] = [
        "dynamic",
        "invalid",
        "running",
        "default",
        "inactive",
        "active",
        "bytes",
        "packets",
        "status",
        "since",
        "network",
        "actual-interface",
        "mac-address",
        "hw-offload",
    ];
    let fields = row.fields.iter();
    let mut fields: Vec<_> = fields
        .filter(|(name, _)| !TOLD.contains(&name.as_str()))
        .cloned()
        .collect();
    fields.sort();
    fields
}

/// Whether a router's word for a value is ours: it answers `true` to `yes`, `5m` to `300s` and lists in an order
/// of its own.
pub fn is_same(held: Option<&[u8]>, wanted: &[u8]) -> bool {
    let Some(held) = held else {
        return wanted.is_empty();
    };
    held == wanted || plain(held).is_some_and(|held| Some(held) == plain(wanted))
}

fn plain(value: &[u8]) -> Option<Vec<String>> {
    let text = str::from_utf8(value).ok()?;
    let one = |word: &str| match word.trim() {
        "true" => "yes".to_owned(),
        "false" => "no".to_owned(),
        word if word.ends_with("/32") => word.trim_end_matches("/32").to_owned(),
        word => match values::duration(word) {
            Some(span) => format!("{} ms", span.as_millis()),
            None => word.to_owned(), // most words are no time
        },
    };
    let mut words: Vec<String> = text.split(',').map(one).collect();
    words.sort_unstable();
    Some(words)
}

/// The interfaces by which the default routes leave, from `/ip/route`.
pub fn of_routes(routes: &[Row]) -> Vec<String> {
    let active = routes
        .iter()
        .filter(|row| row.flag("active").unwrap_or(false));
    active
        .filter_map(|row| {
            // 7: 192.0.2.1%ether1; 6: 192.0.2.1 reachable via  ether1; both: the name of a line.
            let immediate = row.text("immediate-gw").map(|text| {
                let (_, name) = text.rsplit_once('%').unwrap_or(("", text));
                name.to_owned()
            });
            let status = row.text("gateway-status").and_then(|text| {
                let (_, name) = text.rsplit_once(" via ")?;
                Some(name.trim().to_owned())
            });
            let gateway = row.text("gateway").map(str::to_owned);
            [immediate, status, gateway]
                .into_iter()
                .flatten()
                .find(|name| !name.is_empty() && name.parse::<std::net::IpAddr>().is_err())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::routeros::sentence::{Reply, read as read_sentence};

    pub fn row(id: &str, fields: &[(&str, &str)]) -> RowV1 {
        let field = |(name, value): &(&str, &str)| ((*name).to_owned(), value.as_bytes().to_vec());
        RowV1 {
            id: id.to_owned(),
            next: None,
            fields: fields.iter().map(field).collect(),
        }
    }

    fn own(value: &str, fields: &[(&str, &str)]) -> ItemV1 {
        let field =
            |(name, value): &(&str, &str)| ((*name).to_owned(), ValueV1::Text((*value).to_owned()));
        ItemV1 {
            menu: "/ip pool".to_owned(),
            which: WhichV1::Own {
                key: "name".to_owned(),
                value: value.to_owned(),
                first: false,
            },
            fields: fields.iter().map(field).collect(),
        }
    }

    #[test]
    fn what_is_so_already_is_left_alone_in_whatever_words() {
        let item = own(
            "p",
            &[
                ("disabled", "no"),
                ("interim-update", "300s"),
                ("login-by", "http-pap,mac-cookie"),
            ],
        );
        let told = row(
            "*1",
            &[
                ("name", "p"),
                ("disabled", "false"),
                ("interim-update", "5m"),
                ("login-by", "mac-cookie,http-pap"),
            ],
        );
        assert_eq!(to_apply(&item, std::slice::from_ref(&told), ""), []);
        assert_eq!(amiss(&item, &[told], ""), Vec::<String>::new());
    }

    /// By the same name stand who is connected to it: to set those is refused, and their address is their own.
    #[test]
    fn a_connection_to_a_service_is_not_the_service() {
        let item = ItemV1 {
            menu: "/ip service".to_owned(),
            which: WhichV1::Found {
                key: "name".to_owned(),
                value: "api".to_owned(),
                lenient: false,
            },
            fields: vec![(
                "address".to_owned(),
                ValueV1::Text("10.9.0.2/32".to_owned()),
            )],
        };
        let service = |address| row("*1", &[("name", "api"), ("address", address)]);
        let connection = row("*C", &[("name", "api"), ("dynamic", "true")]);
        let menu = [connection.clone(), service("")];
        let [Act::Set { ref id, .. }] = to_apply(&item, &menu, "")[..] else {
            panic!("one row is set");
        };
        assert_eq!(id, "*1");
        let stood = before(&item, &menu);
        assert_eq!(stood.rows.len(), 1);
        let done = [connection.clone(), service("10.9.0.2/32")];
        assert_eq!(amiss(&item, &done, ""), [""; 0]);
        assert_eq!(to_restore(&stood, &done).len(), 1);
        assert_eq!(
            amiss(&item, &[connection], ""),
            ["/ip service: api is not there"]
        );
    }

    #[test]
    fn what_was_made_is_removed_and_what_was_changed_is_changed_back() {
        let item = own("p", &[("ranges", "new")]);
        let nothing = before(&item, &[row("*9", &[("name", "other")])]);
        let made = row("*A", &[("name", "p"), ("ranges", "new")]);
        assert_eq!(
            to_restore(&nothing, std::slice::from_ref(&made)),
            [Act::Remove {
                id: "*A".to_owned()
            }]
        );
        let stood = before(&item, &[row("*1", &[("name", "p"), ("ranges", "old")])]);
        let [
            Act::Set {
                ref id, ref fields, ..
            },
        ] = to_restore(&stood, &[made])[..]
        else {
            panic!("one change back");
        };
        assert_eq!((id.as_str(), fields[0].1.as_slice()), ("*A", &b"old"[..]));
        let bare = before(&item, &[row("*1", &[("name", "p")])]);
        let changed = row("*1", &[("name", "p"), ("ranges", "new")]);
        let unset = Act::Unset {
            id: "*1".to_owned(),
            name: "ranges".to_owned(),
        };
        assert_eq!(to_restore(&bare, &[changed]), [unset]);
        let [Act::Add { ref fields, .. }] = to_restore(&stood, &[])[..] else {
            panic!("one row more");
        };
        assert_eq!(fields.len(), 2);
    }

    /// An interface is in one bridge: the row of the other one has to go first. One that was set is no row that went.
    #[test]
    fn a_port_of_a_bridge_makes_room_for_the_one_that_was() {
        let gone = ItemV1 {
            menu: "/interface bridge port".to_owned(),
            which: WhichV1::GoneBut {
                comment: "easyisp:port-of-one".to_owned(),
                key: "interface".to_owned(),
                kept: vec!["ether2".to_owned()],
            },
            fields: Vec::new(),
        };
        let port = |id, bridge, comment| {
            let fields = [
                ("interface", "ether3"),
                ("bridge", bridge),
                ("comment", comment),
            ];
            row(id, &fields)
        };
        let was = port("*1", "one", "easyisp:port-of-one");
        let stood = before(&gone, std::slice::from_ref(&was));
        assert_eq!(stood.rows.len(), 1);
        let other = port("*9", "other", "easyisp:port-of-other");
        let [Act::Remove { ref id }, Act::Add { ref fields, .. }] =
            to_restore(&stood, &[other])[..]
        else {
            panic!("one goes, one comes");
        };
        assert_eq!((id.as_str(), fields), ("*9", &lasting(&was)));
        let moved = port("*1", "other", "easyisp:port-of-other");
        assert_eq!(to_restore(&stood, &[moved]), []);
        assert_eq!(to_restore(&stood, &[was]), []);
    }

    #[test]
    fn what_went_away_comes_back_where_it_stood() {
        let gone = ItemV1 {
            menu: "/ip firewall nat".to_owned(),
            which: WhichV1::Gone {
                key: "comment".to_owned(),
                value: "easyisp:nat".to_owned(),
            },
            fields: Vec::new(),
        };
        let mut stood = row("*1", &[("comment", "easyisp:nat"), ("invalid", "false")]);
        stood.next = Some("*2".to_owned());
        let last = row("*2", &[("comment", "theirs")]);
        let before = before(&gone, &[stood.clone(), last.clone()]);
        assert_eq!(
            to_restore(&before, std::slice::from_ref(&last)),
            [Act::Add {
                fields: vec![("comment".to_owned(), b"easyisp:nat".to_vec())],
                before: Some("*2".to_owned()),
            }]
        );
        assert_eq!(to_restore(&before, &[stood, last]), []);
    }

    #[test]
    fn a_route_names_its_interface_in_the_words_of_its_release() {
        let route = |fields: &[&str]| {
            let mut words = vec![b"!re".to_vec(), b"=active=true".to_vec()];
            words.extend(fields.iter().map(|field| field.as_bytes().to_vec()));
            match read_sentence(&words).unwrap() {
                (_, Reply::Row(row)) => row,
                (_, other) => panic!("a row, not {other:?}"),
            }
        };
        let told = [
            route(&["=gateway=192.0.2.1", "=immediate-gw=192.0.2.1%ether1"]),
            route(&[
                "=gateway=192.0.2.1",
                "=gateway-status=192.0.2.1 reachable via  ether2",
            ]),
            route(&["=gateway=pppoe-out1"]),
        ];
        assert_eq!(of_routes(&told), ["ether1", "ether2", "pppoe-out1"]);
    }
}
