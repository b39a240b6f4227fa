//! Taking a router back: what of ours stood in a version of its configuration, as work.

use easyisp_shared::setup::text::Fields;
use easyisp_shared::setup::{HOTSPOTS, Item, PPPOE_SERVERS, Step, Which};
use easyisp_shared::wire::drift::{RowOfV1, WantedV1, WantedValueV1};
use easyisp_shared::wire::setup::{ItemV1, ValueV1, WhichV1};

use super::plan::Part;
use super::rules::Services;

/// What takes a router back.
#[derive(Clone, PartialEq, Eq)]
pub struct Back {
    /// Step by step.
    pub parts: Vec<Part>,
    /// What stood there and cannot be written again, in words.
    pub left: Vec<String>,
}

impl Back {
    /// What the router serves then; `None` where that is nothing.
    pub fn services(&self) -> Option<Services> {
        let serves = |menu: &str| {
            let mut items = self.parts.iter().flat_map(|part| &part.items);
            items.any(|item| item.menu == menu && matches!(item.which, WhichV1::Own { .. }))
        };
        match (serves(PPPOE_SERVERS), serves(HOTSPOTS)) {
            (true, true) => Some(Services::Both),
            (true, false) => Some(Services::Pppoe),
            (false, true) => Some(Services::Hotspot),
            (false, false) => None,
        }
    }

    /// The same as what to compare a router with.
    pub fn wanted(&self) -> Vec<WantedV1> {
        let items = self.parts.iter().flat_map(|part| &part.items);
        items.map(wanted).collect()
    }
}

/// A row of a version, with the menu it stands in.
pub type VersionRow<'a> = (&'a str, Fields);

/// What of `steps` stood in a version: rows of ours that were not there go, others become as they were. A secret is
/// in no version: the present one stays.
pub fn back(steps: &[Step], rows: &[VersionRow<'_>]) -> Back {
    let mut left = Vec::new();
    let parts = steps
        .iter()
        .map(|step| {
            let mut items = Vec::new();
            let mut gone = Vec::new();
            for item in &step.items {
                match stood(item, rows, &mut left) {
                    Stood::So(item) => items.push(item),
                    Stood::Not(item) => gone.push(item),
                    Stood::Unknown => {}
                }
            }
            // What refers to something goes before it.
            items.extend(gone.into_iter().rev());
            Part {
                name: step.name.to_owned(),
                items,
            }
        })
        .filter(|part| !part.items.is_empty())
        .collect();
    Back { parts, left }
}

enum Stood {
    /// It stood there like this.
    So(ItemV1),
    /// It did not.
    Not(ItemV1),
    /// The version says nothing of it.
    Unknown,
}

fn stood(item: &Item, rows: &[VersionRow<'_>], left: &mut Vec<String>) -> Stood {
    let present = ItemV1::from(item);
    let of_menu = || rows.iter().filter(|(menu, _)| *menu == item.menu);
    let of_key = |key: &str, value: &str| {
        let mut found = of_menu();
        found.find(|(_, row)| of(row, key) == Some(value.as_bytes()))
    };
    let gone = |key: &str, value: &str| {
        Stood::Not(ItemV1 {
            menu: item.menu.to_owned(),
            which: WhichV1::Gone {
                key: key.to_owned(),
                value: value.to_owned(),
            },
            fields: Vec::new(),
        })
    };
    match &item.which {
        Which::Menu | Which::MenuWhereKnown => match of_menu().next() {
            Some((_, row)) => Stood::So(as_in(present, row)),
            None => Stood::Unknown,
        },
        Which::Found(key, value) | Which::FoundWhereKnown(key, value) => match of_key(key, value) {
            Some((_, row)) => Stood::So(as_in(present, row)),
            None => Stood::Unknown,
        },
        Which::OwnMarked(_, _, mark) => match of_key("comment", mark) {
            Some((_, row)) => Stood::So(as_in(present, row)),
            None => Stood::Unknown,
        },
        Which::Own(key, value) | Which::OwnFirst(key, value) => match of_key(key, value) {
            Some((_, row)) => Stood::So(as_in(present, row)),
            None => gone(key, value),
        },
        Which::Gone(key, value) => match of_key(key, value) {
            Some((_, row)) => match whole(item.menu, (key, value), row) {
                Some(item) => Stood::So(item),
                None => {
                    left.push(format!(
                        "{} {key}={value}: its secret is in no version",
                        item.menu
                    ));
                    Stood::Unknown
                }
            },
            None => gone(key, value),
        },
        Which::GoneBut(..) => Stood::Unknown,
    }
}

/// An item with the values of a row; a property that the row does not have, or hides, is left alone.
fn as_in(mut item: ItemV1, row: &Fields) -> ItemV1 {
    item.fields = item
        .fields
        .into_iter()
        .filter_map(|(name, present)| {
            let held = of(row, &name)?;
            if is_masked(held) {
                return Some((name, present));
            }
            let held = String::from_utf8(held.to_vec()).ok()?;
            Some((name, ValueV1::Text(held)))
        })
        .collect();
    item
}

/// A row of ours that is not wanted any more, as it was; `None` where it had a secret.
fn whole(menu: &str, (key, value): (&str, &str), row: &Fields) -> Option<ItemV1> {
    let mut fields = Vec::new();
    for (name, held) in row.iter().filter(|(name, _)| name != key) {
        if is_masked(held) {
            return None;
        }
        let held = String::from_utf8(held.clone()).ok()?;
        fields.push((name.clone(), ValueV1::Text(held)));
    }
    Some(ItemV1 {
        menu: menu.to_owned(),
        which: WhichV1::Own {
            key: key.to_owned(),
            value: value.to_owned(),
            first: menu == "/ip firewall filter",
        },
        fields,
    })
}

fn of<'a>(row: &'a Fields, name: &str) -> Option<&'a [u8]> {
    let held = row.iter().find(|(held, _)| held == name);
    held.map(|(_, value)| value.as_slice())
}

fn is_masked(held: &[u8]) -> bool {
    // A script is masked in its midst.
    held.windows(4).any(|part| part == b"*** ")
}

fn wanted(item: &ItemV1) -> WantedV1 {
    let which = match item.which.clone() {
        WhichV1::Menu { lenient: false } => RowOfV1::Menu,
        WhichV1::Menu { lenient: true } => RowOfV1::MenuWhereKnown,
        WhichV1::Found {
            key,
            value,
            lenient: false,
        } => RowOfV1::Found(key, value),
        WhichV1::Found {
            key,
            value,
            lenient: true,
        } => RowOfV1::FoundWhereKnown(key, value),
        WhichV1::Own {
            key,
            value,
            first: false,
        } => RowOfV1::Own(key, value),
        WhichV1::Own {
            key,
            value,
            first: true,
        } => RowOfV1::OwnFirst(key, value),
        WhichV1::Gone { key, value } => RowOfV1::Gone(key, value),
        WhichV1::GoneBut { comment, key, kept } => RowOfV1::GoneBut(comment, key, kept),
    };
    let is_secret = |name: &str| {
        name == "secret"
            || name.ends_with("password")
            || item.menu == "/snmp community" && name == "name"
            || item.menu == "/system scheduler" && name == "on-event"
    };
    let field = |(name, value): &(String, ValueV1)| {
        let value = match value {
            ValueV1::Text(text) if is_secret(name) => WantedValueV1::Secret(text.clone()),
            ValueV1::Text(text) => WantedValueV1::Plain(text.clone()),
            ValueV1::Folder(folder) => WantedValueV1::Folder(folder.clone()),
        };
        (name.clone(), value)
    };
    WantedV1 {
        menu: item.menu.clone(),
        which,
        fields: item.fields.iter().map(field).collect(),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use easyisp_shared::setup::{Value, text};

    use super::*;

    fn own(menu: &'static str, name: &str, fields: Vec<(&'static str, Value)>) -> Item {
        Item {
            menu,
            which: Which::Own("name", name.to_owned()),
            fields,
        }
    }

    fn taken_back(items: Vec<Item>, version: &str) -> Back {
        let step = Step {
            name: "a step",
            items,
        };
        back(&[step], &text::read(version))
    }

    #[test]
    fn ours_becomes_as_it_was_and_what_is_not_ours_is_not_named() {
        let word = |word: &str| Value::Word(word.to_owned());
        let back = taken_back(
            vec![
                own("/ip pool", "p", vec![("ranges", word("10.0.0.2-10.0.0.9"))]),
                own("/ppp profile", "q", vec![("remote-address", word("p"))]),
                Item {
                    menu: "/radius",
                    which: Which::Own("comment", "easyisp:radius:1".to_owned()),
                    fields: vec![("secret", Value::Secret("swordfish".into()))],
                },
            ],
            "/ip pool\nadd name=p ranges=10.0.0.2-10.0.0.5\nadd name=theirs ranges=10.1.0.2-10.1.0.9\n\
             /radius\nadd comment=easyisp:radius:1 secret=\"*** 123456\"\n",
        );
        let items = &back.parts.first().unwrap().items;
        let text = |text: &str| ValueV1::Text(text.to_owned());
        assert_eq!(
            items[0].fields,
            [("ranges".to_owned(), text("10.0.0.2-10.0.0.5"))]
        );
        // A secret stays as it is at present; what was not there goes, last.
        assert_eq!(items[1].fields, [("secret".to_owned(), text("swordfish"))]);
        assert!(matches!(&items[2].which, WhichV1::Gone { value, .. } if value == "q"));
        assert_eq!(items.len(), 3);
        assert!(format!("{:?}", back.wanted()).contains("/radius"));
        assert!(!format!("{:?}", back.wanted()).contains("swordfish"));
    }

    #[test]
    fn what_of_ours_is_not_wanted_any_more_comes_back_unless_it_had_a_secret() {
        let gone = |menu, value: &str| Item {
            menu,
            which: Which::Gone("comment", value.to_owned()),
            fields: Vec::new(),
        };
        let back = taken_back(
            vec![
                gone("/tool netwatch", "easyisp:watch"),
                gone("/radius", "easyisp:radius:2"),
            ],
            "/tool netwatch\nadd comment=easyisp:watch host=10.0.0.9\n\
             /radius\nadd comment=easyisp:radius:2 secret=\"*** 123456\"\n",
        );
        let items = &back.parts.first().unwrap().items;
        assert!(matches!(&items[0].which, WhichV1::Own { key, .. } if key == "comment"));
        assert_eq!((items.len(), back.left.len()), (1, 1));
    }
}
