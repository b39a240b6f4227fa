//! What a router is to be, against what it is: field by field.

use serde::{Deserialize, Serialize};

use crate::setup::{Item, Step, Value, Which};

/// Something that a menu is to hold; see [`Item`].
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WantedV1 {
    /// Like `/ip hotspot profile`.
    pub menu: String,
    /// Its rows.
    pub which: RowOfV1,
    /// Property and value; empty for what is to be gone.
    pub fields: Vec<(String, WantedValueV1)>,
}

/// Which rows of a menu; see [`Which`]. New ways go at the end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum RowOfV1 {
    /// The menu itself.
    Menu,
    /// The same, where the release knows the property.
    MenuWhereKnown,
    /// Rows that are there already.
    Found(String, String),
    /// The same, where the release knows the property.
    FoundWhereKnown(String, String),
    /// Our row.
    Own(String, String),
    /// Our row before all others of the `input` chain.
    OwnFirst(String, String),
    /// Rows of ours that are not wanted.
    Gone(String, String),
    /// Rows with this comment, but for these values of a property.
    GoneBut(String, String, Vec<String>),
}

/// What a property is to be.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum WantedValueV1 {
    /// As it is written.
    Plain(String),
    /// Never shown.
    Secret(String),
    /// A folder, perhaps below `flash/`.
    Folder(String),
}

/// Neither a setup nor its parts are printed: they hold secrets.
impl std::fmt::Debug for WantedV1 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "WantedV1({} {:?} …)", self.menu, self.which)
    }
}

/// What differs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DriftV1 {
    /// Field by field, at most 200.
    pub fields: Vec<DriftFieldV1>,
    /// Menus that could not be read or written, and why.
    pub problems: Vec<(String, String)>,
    /// How many fields were compared.
    pub compared: u32,
}

/// One difference.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DriftFieldV1 {
    /// Like `/ip hotspot profile`.
    pub menu: String,
    /// Which row of it: `name=easyisp-hotspot`; empty for the menu itself.
    pub row: String,
    /// Which property; empty where the row as a whole is missing, or should be.
    pub field: String,
    /// What it is to be; `None` = gone. A secret is eight stars.
    pub wanted: Option<String>,
    /// What it is; `None` = not there.
    pub found: Option<String>,
}

/// How an agent begins to say that nothing was mended, because that would close the router to itself.
pub const NOT_LISTED: &str = "the router sees its agent at ";

/// Its words, where a repair was refused because it would close the router to the agent that was to carry it out.
pub fn not_listed(told: &DriftV1) -> Option<&str> {
    let mut words = told.problems.iter().map(|(_, words)| words.as_str());
    words.find(|words| words.starts_with(NOT_LISTED))
}

/// How an agent begins to say that nothing was mended, because another agent of the site may have to be waited for.
pub const NOT_NOW: &str = "another agent's guard stands: ";

/// Its words, where nothing was mended because another agent of the site may have to be waited for.
pub fn not_now(told: &DriftV1) -> Option<&str> {
    let mut words = told.problems.iter().map(|(_, words)| words.as_str());
    words.find(|words| words.starts_with(NOT_NOW))
}

/// Its words, where a repair was refused whole: nothing was written.
pub fn refused(told: &DriftV1) -> Option<&str> {
    not_listed(told).or_else(|| not_now(told))
}

/// The items of all steps.
pub fn wanted(steps: &[Step]) -> Vec<WantedV1> {
    steps
        .iter()
        .flat_map(|step| &step.items)
        .map(item)
        .collect()
}

fn item(item: &Item) -> WantedV1 {
    use secrecy::ExposeSecret;

    let key = |name: &&'static str, value: &String| ((*name).to_owned(), value.clone());
    let which = match &item.which {
        Which::Menu => RowOfV1::Menu,
        Which::MenuWhereKnown => RowOfV1::MenuWhereKnown,
        Which::Found(name, value) => {
            let (name, value) = key(name, value);
            RowOfV1::Found(name, value)
        }
        Which::FoundWhereKnown(name, value) => {
            let (name, value) = key(name, value);
            RowOfV1::FoundWhereKnown(name, value)
        }
        Which::Own(name, value) => {
            let (name, value) = key(name, value);
            RowOfV1::Own(name, value)
        }
        // Who asks over the API came in by it: it is there, and by this comment it is ours or somebody's own.
        Which::OwnMarked(_, _, mark) => RowOfV1::Found("comment".to_owned(), mark.clone()),
        Which::OwnFirst(name, value) => {
            let (name, value) = key(name, value);
            RowOfV1::OwnFirst(name, value)
        }
        Which::Gone(name, value) => {
            let (name, value) = key(name, value);
            RowOfV1::Gone(name, value)
        }
        Which::GoneBut(comment, name, values) => {
            RowOfV1::GoneBut(comment.clone(), (*name).to_owned(), values.clone())
        }
    };
    let field = |(name, value): &(&'static str, Value)| {
        let value = match value {
            Value::Word(text) | Value::Text(text) => WantedValueV1::Plain(text.clone()),
            Value::Secret(secret) => WantedValueV1::Secret(secret.expose_secret().to_owned()),
            Value::Folder(name) => WantedValueV1::Folder((*name).to_owned()),
        };
        ((*name).to_owned(), value)
    };
    WantedV1 {
        menu: item.menu.to_owned(),
        which,
        fields: item.fields.iter().map(field).collect(),
    }
}
