//! Setting a router up through its site's agent: what its menus shall hold, what stood there before, and back again.
//!
//! The agent keeps nothing of it: whoever asks holds what stood there before, so that a box that dies half-way is
//! as good as any other.

use serde::{Deserialize, Serialize};

use crate::setup::{ALIVE, Item, Value, Which};

/// What is wanted. New wishes go at the end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum SetupAskV1 {
    /// What stands where these go? Nothing is changed.
    Look(Vec<ItemV1>),
    /// Save a backup and an export under this name among the router's own files.
    Save {
        /// Without an ending.
        name: String,
    },
    /// Make it so, in this order, up to the first that the router refuses.
    Apply(Vec<ItemV1>),
    /// Make it as it was, the last first.
    Restore(Vec<BeforeV1>),
    /// Is it so?
    Check(Vec<ItemV1>),
    /// Which interfaces lead to the internet?
    Uplinks,
    /// From here on the router itself makes it as it was, the last first, unless it is called off in time.
    Guard(Vec<BeforeV1>),
    /// Is it so, over a connection that is made anew? Where it is, the router's guard is called off.
    CallOff(Vec<ItemV1>),
}

/// What came of it. New answers go at the end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum SetupToldV1 {
    /// To [`SetupAskV1::Look`].
    Found {
        /// For each item what stands there.
        before: Vec<BeforeV1>,
        /// Whether the device's mode lets it serve a hotspot; `None` where it knows no modes.
        hotspot_allowed: Option<bool>,
    },
    /// To [`SetupAskV1::Save`]: the files there are, and what the router said to one that it would not write.
    Saved {
        /// Files.
        files: Vec<String>,
        /// A sentence for a person.
        problem: Option<String>,
    },
    /// To [`SetupAskV1::Apply`].
    Applied {
        /// Up to the first that was refused.
        done: u32,
        /// In the router's words.
        refused: Option<String>,
    },
    /// To [`SetupAskV1::Restore`]: what would not go back, in the router's words.
    Restored(Vec<String>),
    /// To [`SetupAskV1::Check`] and [`SetupAskV1::CallOff`]: what is otherwise, in words.
    Checked(Vec<String>),
    /// To [`SetupAskV1::Uplinks`], the likeliest first.
    Uplinks(Vec<String>),
    /// To [`SetupAskV1::Guard`]: why the router holds no guard; `None` where it does.
    Guarded(Option<String>),
}

/// What is said where a router saves no backup because the agents' login may not write files there, which is no reason
/// to leave it as it is: its guard and what stood before bring it back. `None` for every other problem.
pub fn without_backup(problem: &str) -> Option<&'static str> {
    problem.contains("not enough permissions").then_some(
        "No backup was saved on the router: the agents' login may not write files there (its group lacks ftp). A new \
         command from the wizard, pasted on the router, gives it that right",
    )
}

/// What is said where a router refuses its heart-beat, which is no reason to leave it as it is either: it serves without.
/// `None` for every other step, and for every other refusal.
pub fn without_heartbeat(step: &str, refused: &str) -> Option<&'static str> {
    let is = |words: &str| refused.contains(words);
    match step == ALIVE {
        true if is("not enough permissions") => Some(
            "It does not say by itself that it lives: whose entry that is has to have every right of it, and the \
             agents' login may not write files (its group lacks ftp). A new command from the wizard, pasted on the \
             router, gives it that right",
        ),
        true if is("device-mode") => Some(
            "It does not say by itself that it lives: this device's mode keeps its scheduler off (/system device-mode \
             update scheduler=yes)",
        ),
        true | false => None,
    }
}

/// What is to be in a menu.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ItemV1 {
    /// `/ip hotspot profile`.
    pub menu: String,
    /// Its rows.
    pub which: WhichV1,
    /// Property and value.
    pub fields: Vec<(String, ValueV1)>,
}

/// Which rows of a menu.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum WhichV1 {
    /// The menu itself has properties, no rows.
    Menu {
        /// A release that does not know the property is as good.
        lenient: bool,
    },
    /// Rows that are there already.
    Found {
        /// Property.
        key: String,
        /// Its value.
        value: String,
        /// A release that does not know the property is as good.
        lenient: bool,
    },
    /// Our row: made where it is missing.
    Own {
        /// Property.
        key: String,
        /// Its value.
        value: String,
        /// Before the first of the `input` chain that is not ours.
        first: bool,
    },
    /// Not wanted.
    Gone {
        /// Property.
        key: String,
        /// Its value.
        value: String,
    },
    /// Not wanted, but for those with one of these values.
    GoneBut {
        /// Their comment.
        comment: String,
        /// Property.
        key: String,
        /// Values of those that stay.
        kept: Vec<String>,
    },
}

/// What a property is set to.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ValueV1 {
    /// Octet for octet.
    Text(String),
    /// A folder: below `flash/` on boards that lose the rest at a reboot.
    Folder(String),
}

/// What stood where an item goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BeforeV1 {
    /// The item.
    pub item: ItemV1,
    /// The rows that it changes or removes; empty where it makes one.
    pub rows: Vec<RowV1>,
}

/// A row as it was read.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RowV1 {
    /// The router's own number for it; empty for a menu without rows.
    pub id: String,
    /// The row after it, in an ordered list.
    pub next: Option<String>,
    /// Property and value, octet for octet.
    pub fields: Vec<(String, Vec<u8>)>,
}

// Passwords and secrets are among the values.

impl std::fmt::Debug for ItemV1 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ItemV1({} {:?} …)", self.menu, self.which)
    }
}

impl std::fmt::Debug for ValueV1 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ValueV1(…)")
    }
}

impl std::fmt::Debug for RowV1 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "RowV1({} …)", self.id)
    }
}

impl From<&Item> for ItemV1 {
    fn from(item: &Item) -> ItemV1 {
        use secrecy::ExposeSecret;

        let key = |key: &&str, value: &str| ((*key).to_owned(), value.to_owned());
        let which = match &item.which {
            Which::Menu => WhichV1::Menu { lenient: false },
            Which::MenuWhereKnown => WhichV1::Menu { lenient: true },
            Which::Found(name, value) => {
                let (key, value) = key(name, value);
                let lenient = false;
                WhichV1::Found {
                    key,
                    value,
                    lenient,
                }
            }
            Which::FoundWhereKnown(name, value) => {
                let (key, value) = key(name, value);
                let lenient = true;
                WhichV1::Found {
                    key,
                    value,
                    lenient,
                }
            }
            Which::Own(name, value) => {
                let (key, value) = key(name, value);
                let first = false;
                WhichV1::Own { key, value, first }
            }
            // As for a comparison: see `wire::drift`.
            Which::OwnMarked(_, _, mark) => WhichV1::Found {
                key: "comment".to_owned(),
                value: mark.clone(),
                lenient: false,
            },
            Which::OwnFirst(name, value) => {
                let (key, value) = key(name, value);
                let first = true;
                WhichV1::Own { key, value, first }
            }
            Which::Gone(name, value) => {
                let (key, value) = key(name, value);
                WhichV1::Gone { key, value }
            }
            Which::GoneBut(comment, key, kept) => WhichV1::GoneBut {
                comment: comment.clone(),
                key: (*key).to_owned(),
                kept: kept.clone(),
            },
        };
        let value = |value: &Value| match value {
            Value::Word(text) | Value::Text(text) => ValueV1::Text(text.clone()),
            Value::Secret(secret) => ValueV1::Text(secret.expose_secret().to_owned()),
            Value::Folder(name) => ValueV1::Folder((*name).to_owned()),
        };
        ItemV1 {
            menu: item.menu.to_owned(),
            which,
            fields: item
                .fields
                .iter()
                .map(|(name, held)| ((*name).to_owned(), value(held)))
                .collect(),
        }
    }
}
