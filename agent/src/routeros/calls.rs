//! Commands under way on one connection: which reply belongs to which, and when one is finished.

use std::collections::HashMap;

use super::sentence::{Reply, Row, Trap};

/// What a command brought.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// Its rows.
    pub rows: Vec<Row>,
    /// What came with `!done`.
    pub done: Row,
}

/// Why a command brought nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The router refused it.
    Trap(Trap),
    /// More rows than anybody has customers at a router.
    TooMuch,
}

/// What a reply ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Nothing yet.
    Nothing,
    /// This command.
    Call(u32, Result<Answer, Refusal>),
    /// The connection, in the router's words.
    Connection(String),
}

/// The commands under way.
#[derive(Default)]
pub struct Calls {
    next: u32,
    open: HashMap<u32, Gathered>,
}

#[derive(Default)]
struct Gathered {
    rows: Vec<Row>,
    size: usize,
    refused: Option<Refusal>,
}

impl Calls {
    /// The tag of a new command.
    pub fn begin(&mut self) -> u32 {
        self.next = self.next.wrapping_add(1);
        self.open.insert(self.next, Gathered::default());
        self.next
    }

    /// How many are under way.
    pub fn count(&self) -> usize {
        self.open.len()
    }

    /// Takes a reply. One without a tag, or with one that nobody waits for, changes nothing.
    pub fn on_reply(&mut self, tag: Option<u32>, reply: Reply) -> Ended {
        if let Reply::Fatal(why) = reply {
            return Ended::Connection(why);
        }
        let Some((tag, call)) = tag.and_then(|tag| Some((tag, self.open.get_mut(&tag)?))) else {
            return Ended::Nothing;
        };
        match reply {
            Reply::Row(row) => call.take(row),
            Reply::Trap(trap) => call.refused = Some(Refusal::Trap(trap)),
            Reply::Empty | Reply::Fatal(_) => {}
            Reply::Done(done) => {
                let call = self.open.remove(&tag).unwrap_or_default();
                let answer = match call.refused {
                    Some(refused) => Err(refused),
                    None => Ok(Answer {
                        rows: call.rows,
                        done,
                    }),
                };
                return Ended::Call(tag, answer);
            }
        }
        Ended::Nothing
    }
}

impl Gathered {
    fn take(&mut self, row: Row) {
        self.size += row.size();
        if self.rows.len() >= MAX_ROWS || self.size > MAX_OCTETS {
            self.refused = Some(Refusal::TooMuch);
            self.rows = Vec::new();
        }
        if self.refused.is_none() {
            self.rows.push(row);
        }
    }
}

const MAX_ROWS: usize = 20_000;
const MAX_OCTETS: usize = 8 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_of_two_commands_may_mix() {
        let mut calls = Calls::default();
        let (one, two) = (calls.begin(), calls.begin());
        let row = || Reply::Row(Row::default());
        assert_eq!(calls.on_reply(Some(two), row()), Ended::Nothing);
        assert_eq!(calls.on_reply(Some(one), Reply::Empty), Ended::Nothing);
        assert_eq!(
            calls.on_reply(Some(one), Reply::Done(Row::default())),
            Ended::Call(one, Ok(Answer::default()))
        );
        assert_eq!(calls.on_reply(Some(99), row()), Ended::Nothing);
        assert_eq!(calls.on_reply(None, row()), Ended::Nothing);
        let Ended::Call(tag, Ok(answer)) = calls.on_reply(Some(two), Reply::Done(Row::default()))
        else {
            panic!("the second ends");
        };
        assert_eq!((tag, answer.rows.len(), calls.count()), (two, 1, 0));
    }

    #[test]
    fn a_trap_ends_with_its_done_and_a_goodbye_ends_everything() {
        let mut calls = Calls::default();
        let tag = calls.begin();
        let trap = Trap {
            category: None,
            message: "not enough permissions (9)".into(),
        };
        assert_eq!(
            calls.on_reply(Some(tag), Reply::Trap(trap.clone())),
            Ended::Nothing
        );
        assert_eq!(
            calls.on_reply(Some(tag), Reply::Done(Row::default())),
            Ended::Call(tag, Err(Refusal::Trap(trap)))
        );
        assert_eq!(
            calls.on_reply(None, Reply::Fatal("bye".into())),
            Ended::Connection("bye".into())
        );
    }

    #[test]
    fn an_answer_without_end_is_bounded() {
        let mut calls = Calls::default();
        let tag = calls.begin();
        for _ in 0..=MAX_ROWS {
            calls.on_reply(Some(tag), Reply::Row(Row::default()));
        }
        assert!(calls.open[&tag].rows.is_empty());
        let ended = calls.on_reply(Some(tag), Reply::Done(Row::default()));
        assert_eq!(ended, Ended::Call(tag, Err(Refusal::TooMuch)));
    }
}
