//! What the router counted and what RADIUS acknowledged of it: the oracle of accounting stories.

use std::collections::VecDeque;

use super::session::{Cause, Usage};

/// Most sessions remembered; the oldest are forgotten first.
const MOST_SESSIONS: usize = 100_000;

/// Every session of this router, oldest first, over all its boots.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    forgotten: u64,
    sessions: VecDeque<Account>,
}

/// One session as the oracle knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// Acct-Session-Id.
    pub id: String,
    /// User-Name.
    pub user: String,
    /// The Start was answered.
    pub start_acknowledged: bool,
    /// The most that an answered record carried.
    pub acknowledged: Usage,
    /// How many interim updates were answered.
    pub interims_acknowledged: u32,
    /// The Stop was answered.
    pub stop_acknowledged: bool,
    /// How and with what totals it ended; `None` while it runs.
    pub ended: Option<(Cause, Usage)>,
    /// Its Stop is no longer under way: answered, given up, or never sent.
    pub settled: bool,
}

impl Ledger {
    /// Every session, oldest first.
    pub fn accounts(&self) -> impl Iterator<Item = &Account> {
        self.sessions.iter()
    }

    /// The newest session with this Acct-Session-Id.
    pub fn find(&self, id: &str) -> Option<&Account> {
        self.sessions.iter().rev().find(|account| account.id == id)
    }

    pub(super) fn began(&mut self, id: &str, user: &str) -> u64 {
        if self.sessions.len() == MOST_SESSIONS {
            self.sessions.pop_front();
            self.forgotten += 1;
        }
        self.sessions.push_back(Account {
            id: id.to_owned(),
            user: user.to_owned(),
            start_acknowledged: false,
            acknowledged: Usage::default(),
            interims_acknowledged: 0,
            stop_acknowledged: false,
            ended: None,
            settled: false,
        });
        self.forgotten + self.sessions.len() as u64 - 1
    }

    pub(super) fn ended(&mut self, number: u64, cause: Cause, usage: Usage) {
        self.change(number, |account| {
            account.ended = Some((cause, usage));
            account.settled = cause == Cause::Reboot;
        });
    }

    pub(super) fn change(&mut self, number: u64, change: impl FnOnce(&mut Account)) {
        let index = number
            .checked_sub(self.forgotten)
            .and_then(|index| usize::try_from(index).ok());
        if let Some(account) = index.and_then(|index| self.sessions.get_mut(index)) {
            change(account);
        }
    }

    pub(super) fn get(&self, number: u64) -> Option<&Account> {
        self.sessions
            .get(usize::try_from(number.checked_sub(self.forgotten)?).ok()?)
    }
}
