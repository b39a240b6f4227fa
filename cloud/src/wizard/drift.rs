//! What of a router differs from its set-up, by a version of its configuration: without asking the router.

use easyisp_shared::setup::{Item, Step, Value, Which, is_optional, same, text};

/// What differs, as `menu row field`. A secret is in no version, and is not compared; a menu that could not be read
/// is passed over.
pub fn differences(steps: &[Step], version: &str) -> Vec<String> {
    let rows = text::read(version);
    let mut found = Vec::new();
    for item in steps.iter().flat_map(|step| &step.items) {
        if is_unread(version, item.menu) || is_without(version, item.menu) {
            continue;
        }
        let menu = rows.iter().filter(|(menu, _)| *menu == item.menu);
        let menu: Vec<&text::Fields> = menu.map(|(_, row)| row).collect();
        compare(item, &menu, &mut found);
    }
    found.dedup();
    found
}

fn compare(item: &Item, menu: &[&text::Fields], found: &mut Vec<String>) {
    let has = |row: &text::Fields, key: &str, value: &str| {
        of(row, key).is_some_and(|held| same(value, &held))
    };
    let mut fields = |row: &text::Fields, named: &str, lenient: bool| {
        for (name, value) in &item.fields {
            let fits = match (value, of(row, name)) {
                (Value::Secret(_), _) => true,
                (Value::Word(wanted) | Value::Text(wanted), Some(held)) => same(wanted, &held),
                (Value::Word(wanted) | Value::Text(wanted), None) => {
                    lenient || wanted.is_empty() || wanted == "no"
                }
                (Value::Folder(wanted), Some(held)) => {
                    held == *wanted || held.strip_prefix("flash/") == Some(wanted)
                }
                (Value::Folder(_), None) => false,
            };
            if !fits {
                let words = [item.menu, named, name];
                let words = words.into_iter().filter(|word| !word.is_empty());
                found.push(words.collect::<Vec<_>>().join(" "));
            }
        }
    };
    match &item.which {
        Which::Menu | Which::MenuWhereKnown => {
            let lenient = item.which == Which::MenuWhereKnown;
            if let Some(row) = menu.first() {
                fields(row, "", lenient);
            }
        }
        Which::Found(key, value) | Which::FoundWhereKnown(key, value) => {
            let lenient = matches!(item.which, Which::FoundWhereKnown(..));
            for row in menu.iter().filter(|row| has(row, key, value)) {
                fields(row, &format!("{key}={value}"), lenient);
            }
        }
        Which::OwnMarked(_, _, mark) => {
            for row in menu.iter().filter(|row| has(row, "comment", mark)) {
                fields(row, &format!("comment={mark}"), false);
            }
        }
        Which::Own(key, value) | Which::OwnFirst(key, value) => {
            match menu.iter().position(|row| has(row, key, value)) {
                Some(place) => {
                    if let Some(row) = menu.get(place) {
                        fields(row, &format!("{key}={value}"), false);
                    }
                    let is_first = matches!(item.which, Which::OwnFirst(..));
                    let above = menu.iter().take(place);
                    if is_first && above.into_iter().any(|row| decides_before(item, row)) {
                        found.push(format!("{} {key}={value} place", item.menu));
                    }
                }
                None => found.push(format!("{} {key}={value}", item.menu)),
            }
        }
        Which::Gone(key, value) => {
            if menu.iter().any(|row| has(row, key, value)) {
                found.push(format!("{} {key}={value}", item.menu));
            }
        }
        Which::GoneBut(comment, key, kept) => {
            let ours = menu.iter().filter(|row| has(row, "comment", comment));
            for row in ours {
                let held = of(row, key).unwrap_or_default();
                if !kept.iter().any(|kept| same(kept, &held)) {
                    found.push(format!("{} {key}={held}", item.menu));
                }
            }
        }
    }
}

/// Whether a rule of a firewall may not stand before this one: others', and for what lets somebody in ours that does
/// not.
fn decides_before(item: &Item, row: &text::Fields) -> bool {
    let is = |name: &str, value: &str| of(row, name).as_deref() == Some(value);
    let accepts = item.fields.iter().any(|(name, value)| {
        *name == "action" && matches!(value, Value::Word(word) if word == "accept")
    });
    let ours = of(row, "comment").is_some_and(|text| text.starts_with("easyisp:"));
    is("chain", item.chain()) && !(ours && !(accepts && is("action", "drop")))
}

fn of(row: &text::Fields, name: &str) -> Option<String> {
    let held = row.iter().find(|(held, _)| held == name);
    held.map(|(_, value)| String::from_utf8_lossy(value).into_owned())
}

/// Whether a router may be without a menu, and its version tells none of the kind.
fn is_without(version: &str, menu: &str) -> bool {
    let kind = menu.split(' ').next().unwrap_or_default();
    let of_kind = |line: &str| line.split(' ').next() == Some(kind);
    is_optional(menu) && !version.lines().any(of_kind)
}

fn is_unread(version: &str, menu: &str) -> bool {
    let mut lines = version.lines();
    let heading = lines.any(|line| line == menu);
    heading
        && lines
            .next()
            .is_some_and(|line| line.starts_with("# cannot be read"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own(value: &str) -> Item {
        Item {
            menu: "/ip pool",
            which: Which::Own("name", value.to_owned()),
            fields: vec![
                ("ranges", Value::Word("10.0.0.2-10.0.0.9".to_owned())),
                ("next-pool", Value::Secret("unseen".into())),
            ],
        }
    }

    fn of_one(item: Item, version: &str) -> Vec<String> {
        let step = Step {
            name: "a step",
            items: vec![item],
        };
        differences(&[step], version)
    }

    #[test]
    fn what_differs_is_named_and_what_is_so_in_other_words_is_not() {
        let version = "/ip pool\nadd name=p ranges=10.0.0.2-10.0.0.9\nadd name=q ranges=10.7.0.2\n";
        assert_eq!(of_one(own("p"), version), Vec::<String>::new());
        assert_eq!(of_one(own("q"), version), ["/ip pool name=q ranges"]);
        assert_eq!(of_one(own("r"), version), ["/ip pool name=r"]);
        let unread = "/ip pool\n# cannot be read: not enough permissions (9)\n";
        assert_eq!(of_one(own("p"), unread), Vec::<String>::new());
        let gone = Item {
            menu: "/ip pool",
            which: Which::Gone("name", "q".to_owned()),
            fields: Vec::new(),
        };
        assert_eq!(of_one(gone, version), ["/ip pool name=q"]);
    }
}
