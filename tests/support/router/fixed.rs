//! What people and time do to rows that stay: traffic through a queue, rows that are lost or entered by hand.

use super::Router;
use super::kept::{self, Kept, QUEUES};

impl Router {
    /// So much goes through the simple queue of this name; whether there is one.
    pub fn pass_through(&self, queue: &str, up: u64, down: u64) -> bool {
        self.change(|state| {
            let named = |row: &&mut kept::KeptRow| row.value("name") == Some(queue);
            let Some(row) = state.kept.rows_of(QUEUES.path).find(named) else {
                return false;
            };
            let counted = row.value("bytes").and_then(|bytes| bytes.split_once('/'));
            let number = |text: &str| text.parse::<u64>().unwrap_or(0);
            let (was_up, was_down) =
                counted.map_or((0, 0), |(up, down)| (number(up), number(down)));
            row.put("bytes", &format!("{}/{}", was_up + up, was_down + down));
            true
        })
    }

    /// Somebody enters a row by hand, or a server of the router makes one; its id, `None` for an unknown menu.
    pub fn enter(&self, menu: &str, properties: &[(&'static str, &str)]) -> Option<String> {
        let menu = kept::MENUS.into_iter().find(|known| known.path == menu)?;
        Some(self.change(|state| {
            let id = state.kept.enter(menu.path, menu.fresh());
            state.kept.put(&id, &said(properties));
            id
        }))
    }

    /// Somebody changes a row by hand.
    pub fn edit(&self, id: &str, properties: &[(&'static str, &str)]) {
        self.change(|state| state.kept.put(id, &said(properties)));
    }

    /// A row is lost, as when a backup of before is restored.
    pub fn forget(&self, id: &str) {
        self.change(|state| {
            for menu in kept::MENUS {
                state.kept.remove(menu.path, id);
            }
        });
    }
}

impl Kept {
    /// A restart: counters begin anew.
    pub(super) fn count_anew(&mut self) {
        let counted = |row: &&mut kept::KeptRow| row.value("bytes") != Some("0/0");
        for row in self.rows_of(QUEUES.path).filter(counted) {
            row.put("bytes", "0/0");
        }
    }
}

fn said(properties: &[(&'static str, &str)]) -> Vec<(&'static str, String)> {
    let one = |(name, value): &(&'static str, &str)| (*name, (*value).to_owned());
    properties.iter().map(one).collect()
}
