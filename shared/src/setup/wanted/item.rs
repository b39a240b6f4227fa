//! What is to be in a menu, and short ways to say it.

use std::net::Ipv4Addr;

use secrecy::SecretString;

use super::super::Setup;

/// Every thing of ours is called so, or carries a comment that begins so.
pub(super) const OURS: &str = "easyisp";

/// Things that are written together: done, or named as failed.
#[derive(Clone, Debug)]
pub struct Step {
    /// For people.
    pub name: &'static str,
    /// In the order in which they can be written.
    pub items: Vec<Item>,
}

/// What is to be in a menu.
#[derive(Clone, Debug)]
pub struct Item {
    /// Like `/ip hotspot profile`.
    pub menu: &'static str,
    /// Its rows.
    pub which: Which,
    /// Property and value; empty for what is to be gone.
    pub fields: Vec<(&'static str, Value)>,
}

impl Item {
    /// The chain of a rule of a firewall.
    pub fn chain(&self) -> &str {
        let chain = self.fields.iter().find(|(name, _)| *name == "chain");
        match chain {
            Some((_, Value::Word(chain))) => chain,
            _ => "input",
        }
    }

    /// Whether it is a rule of a firewall that lets somebody in.
    pub(in crate::setup) fn accepts(&self) -> bool {
        let mut fields = self.fields.iter();
        fields.any(|(name, value)| match value {
            Value::Word(word) => (*name, word.as_str()) == ("action", "accept"),
            Value::Text(_) | Value::Secret(_) | Value::Folder(_) => false,
        })
    }
}

/// Which rows of a menu.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Which {
    /// The menu itself has properties, no rows.
    Menu,
    /// The same, and a release that does not know the property is as good.
    MenuWhereKnown,
    /// Rows that are there already; none is fine.
    Found(&'static str, String),
    /// The same, and a release that does not know the property is as good.
    FoundWhereKnown(&'static str, String),
    /// Our row: made where it is missing.
    Own(&'static str, String),
    /// Our row by its name and our comment, made where no row has the name. One of this name without the comment is
    /// somebody's own, and stays as it is.
    OwnMarked(&'static str, String, String),
    /// Our row in an ordered list, made before the first of its chain that is not ours; what lets somebody in also
    /// before the first of ours that does not.
    OwnFirst(&'static str, String),
    /// Rows of ours that are not wanted.
    Gone(&'static str, String),
    /// Rows with this comment, but for those that have one of these values in this property.
    GoneBut(String, &'static str, Vec<String>),
}

/// What a property is set to.
#[derive(Clone, Debug)]
pub enum Value {
    /// Our own words, numbers and addresses.
    Word(String),
    /// Words of people: quoted.
    Text(String),
    /// Quoted, and never shown.
    Secret(SecretString),
    /// A folder: below `flash/` on boards that lose the rest at a reboot.
    Folder(&'static str),
}

pub(super) fn agents(setup: &Setup) -> String {
    let hosts: Vec<String> = setup
        .agents
        .iter()
        .map(|agent| format!("{agent}/32"))
        .collect();
    hosts.join(",")
}

pub(super) fn list(addresses: &[Ipv4Addr]) -> String {
    let texts: Vec<String> = addresses.iter().map(Ipv4Addr::to_string).collect();
    texts.join(",")
}

pub(super) fn marked(what: &str) -> String {
    format!("{OURS}:{what}")
}

pub(super) fn word(value: impl ToString) -> Value {
    Value::Word(value.to_string())
}

pub(super) fn text(value: &str) -> Value {
    Value::Text(value.to_owned())
}

pub(super) fn menu(menu: &'static str, fields: Vec<(&'static str, Value)>) -> Item {
    Item {
        menu,
        which: Which::Menu,
        fields,
    }
}

pub(super) fn own(
    menu: &'static str,
    (key, value): (&'static str, &str),
    fields: Vec<(&'static str, Value)>,
) -> Item {
    Item {
        menu,
        which: Which::Own(key, value.to_owned()),
        fields,
    }
}

pub(super) fn found(
    menu: &'static str,
    (key, value): (&'static str, &str),
    fields: Vec<(&'static str, Value)>,
) -> Item {
    Item {
        menu,
        which: Which::Found(key, value.to_owned()),
        fields,
    }
}

pub(super) fn gone(menu: &'static str, (key, value): (&'static str, &str)) -> Item {
    Item {
        menu,
        which: Which::Gone(key, value.to_owned()),
        fields: Vec::new(),
    }
}
