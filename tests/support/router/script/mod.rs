//! A pretend MikroTik's configuration: menus, rows and what refers to what, changed by scripts as `/import` does.
//!
//! It knows the menus that a provider's router needs, refuses what RouterOS refuses (a property that the release
//! does not know, a pool that is not there, a port that is in another bridge) and keeps what came before the line
//! that failed.

mod menus;
mod run;
mod told;
mod words;

use std::collections::{BTreeMap, HashMap};

use easyisp_shared::setup::Release;

pub use told::Outside;

use run::Value;

/// A router's configuration.
#[derive(Clone, Debug)]
pub struct Machine {
    release: Release,
    menus: BTreeMap<String, Vec<Row>>,
    next: u32,
    globals: HashMap<String, Value>,
    /// Certificates that are being signed: seconds left.
    signing: HashMap<u32, u32>,
    /// What its way out leads to.
    outside: Outside,
    /// How long it runs, where a script asks.
    uptime: std::time::Duration,
    /// Whether its scheduler is at work, and what that posts: address, header, words.
    scheduled: Option<String>,
    posted: Vec<(String, String, String)>,
    /// What `:put` showed.
    pub printed: Vec<String>,
    /// What `:log` wrote.
    pub logged: Vec<String>,
    /// Errors that a script caught itself.
    pub caught: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Row {
    id: u32,
    held: BTreeMap<String, String>,
}

/// Everything that is configured: menu, and each row's properties in its order.
pub type State = BTreeMap<String, Vec<BTreeMap<String, String>>>;

impl Machine {
    /// What every menu holds.
    pub fn state(&self) -> State {
        let rows = |rows: &Vec<Row>| rows.iter().map(|row| row.held.clone()).collect();
        self.menus
            .iter()
            .map(|(menu, held)| (menu.clone(), rows(held)))
            .collect()
    }

    /// The rows of a menu that have this value in this property.
    pub fn rows(&self, menu: &str, name: &str, value: &str) -> Vec<BTreeMap<String, String>> {
        let rows = self.menus.get(menu).into_iter().flatten();
        rows.filter(|row| row.held.get(name).is_some_and(|held| held == value))
            .map(|row| row.held.clone())
            .collect()
    }
}
