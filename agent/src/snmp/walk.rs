//! Reads many objects in few datagrams: what to ask next, from what came.
//!
//! Agents are broken in many ways: they go round in circles, answer out of order, leave out columns, drop
//! answers that are too long for their line, or say "too big". Each ends here with what could be read.

use std::collections::{BTreeMap, VecDeque};

use super::oid::Oid;
use super::pdu::{Pdu, Request, Value};
use super::session::SnmpError;

/// What was read, in the order of the names.
pub type Values = BTreeMap<Oid, Value>;

/// A part of what is to be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// These objects.
    Objects(Vec<Oid>),
    /// Everything under these, side by side as far as the agent lets us.
    Columns(Vec<Oid>),
}

/// Reads the parts, one after the other.
pub struct Walk {
    parts: VecDeque<Part>,
    now: State,
    values: Values,
    /// How much of the agent's memory they take, about.
    octets: usize,
    /// How many bindings an answer may have before something went wrong with it.
    ceiling: usize,
    /// The first part has been answered.
    answered: bool,
    refused: Option<i32>,
}

enum State {
    /// Objects not asked for yet, the next ones first.
    Objects(Vec<Oid>),
    Columns {
        columns: Vec<Column>,
        repetitions: usize,
    },
    Finished,
}

struct Column {
    root: Oid,
    cursor: Oid,
    ended: bool,
}

impl Walk {
    /// Begins.
    pub fn new(parts: Vec<Part>) -> Walk {
        let mut walk = Walk {
            parts: parts.into(),
            now: State::Finished,
            values: Values::new(),
            octets: 0,
            ceiling: MOST_BINDINGS,
            answered: false,
            refused: None,
        };
        walk.advance();
        walk
    }

    /// What to ask now; `None` when everything was read.
    pub fn next(&self) -> Option<Request> {
        match &self.now {
            State::Objects(left) => {
                let some = left.iter().take(self.ceiling.min(OBJECTS_AT_ONCE));
                Some(Request::Get(some.cloned().collect()))
            }
            State::Columns {
                columns,
                repetitions,
            } => {
                let open = columns.iter().filter(|column| !column.ended);
                let after: Vec<Oid> = open.map(|column| column.cursor.clone()).collect();
                let most = (self.ceiling / after.len().max(1)).max(1);
                let repetitions = u16::try_from((*repetitions).min(most)).unwrap_or(u16::MAX);
                Some(Request::Bulk { after, repetitions })
            }
            State::Finished => None,
        }
    }

    /// Takes the answer to what was asked last.
    pub fn take(&mut self, answer: Pdu) {
        self.answered = true;
        if answer.error != 0 {
            return self.refuse(answer.error, answer.error_index);
        }
        let full = self.values.len() >= MOST_VALUES || self.octets >= MOST_OCTETS;
        match &mut self.now {
            State::Objects(left) => {
                let asked: Vec<Oid> = left
                    .drain(..left.len().min(self.ceiling.min(OBJECTS_AT_ONCE)))
                    .collect();
                for (name, value) in answer.bindings {
                    if value.is_there() && asked.contains(&name) && !full {
                        self.octets += weight(&name, &value);
                        self.values.insert(name, value);
                    }
                }
            }
            State::Columns {
                columns,
                repetitions,
            } => {
                let mut open: Vec<&mut Column> =
                    columns.iter_mut().filter(|column| !column.ended).collect();
                let count = open.len().max(1);
                let got = answer.bindings.len();
                let mut moved = false;
                for (place, (name, value)) in answer.bindings.into_iter().enumerate() {
                    let Some(column) = open.get_mut(place % count) else {
                        continue;
                    };
                    if column.ended {
                        continue;
                    }
                    let inside = name.under(column.root.arcs()).is_some();
                    // A name at or before the last one: it would go round in circles.
                    if value == Value::End || !inside || name <= column.cursor || full {
                        column.ended = true;
                        continue;
                    }
                    column.cursor = name.clone();
                    moved = true;
                    if value.is_there() {
                        self.octets += weight(&name, &value);
                        self.values.insert(name, value);
                    }
                }
                if !moved {
                    open.iter_mut().for_each(|column| column.ended = true);
                } else if got >= count * *repetitions {
                    *repetitions = (*repetitions * 2).min(MOST_BINDINGS);
                }
            }
            State::Finished => {}
        }
        self.advance();
    }

    /// Nothing came. Returns whether asking for less is worth a try.
    pub fn silence(&mut self) -> bool {
        self.answered && self.shrink()
    }

    /// What was read; [`SnmpError::Refused`] when there is nothing but a refusal.
    pub fn finish(self) -> Result<Values, SnmpError> {
        match self.refused {
            Some(error) if self.values.is_empty() => Err(SnmpError::Refused(error)),
            Some(_) | None => Ok(self.values),
        }
    }

    /// Next part, when this one is done.
    fn advance(&mut self) {
        loop {
            let done = match &self.now {
                State::Objects(left) => left.is_empty(),
                State::Columns { columns, .. } => columns.iter().all(|column| column.ended),
                State::Finished => true,
            };
            if !done {
                return;
            }
            self.now = match self.parts.pop_front() {
                None => State::Finished,
                Some(Part::Objects(names)) => State::Objects(names),
                Some(Part::Columns(roots)) => State::Columns {
                    repetitions: (FIRST_BINDINGS / roots.len().max(1)).max(1),
                    columns: roots.into_iter().map(Column::new).collect(),
                },
            };
            if matches!(self.now, State::Finished) {
                return;
            }
        }
    }

    /// The agent says no: less at once, and where that is not possible, without who is at fault.
    fn refuse(&mut self, error: i32, index: i32) {
        self.refused = Some(error);
        let place = usize::try_from(index)
            .ok()
            .and_then(|index| index.checked_sub(1));
        // RFC 3416 §4.2: 2 is SNMPv1's way to say that there is no such object.
        if error != NO_SUCH_NAME && self.shrink() {
            return;
        }
        match &mut self.now {
            State::Objects(left) => match place.filter(|place| *place < left.len()) {
                Some(place) => {
                    left.remove(place);
                }
                None => {
                    left.drain(..left.len().min(self.ceiling.min(OBJECTS_AT_ONCE)));
                }
            },
            State::Columns { columns, .. } => {
                let mut open: Vec<&mut Column> =
                    columns.iter_mut().filter(|column| !column.ended).collect();
                match place.and_then(|place| open.get_mut(place)) {
                    Some(column) => column.ended = true,
                    None => {
                        // One row of all of them is too much: each by itself, from its beginning.
                        if open.len() > 1 {
                            for column in open.iter().rev() {
                                self.parts
                                    .push_front(Part::Columns(vec![column.root.clone()]));
                            }
                        }
                        open.iter_mut().for_each(|column| column.ended = true);
                    }
                }
            }
            State::Finished => {}
        }
        self.advance();
    }

    /// Halves what is asked for at once; `false` when it is one row or object already.
    fn shrink(&mut self) -> bool {
        let (asked, least) = match &self.now {
            State::Objects(left) => (left.len().min(self.ceiling.min(OBJECTS_AT_ONCE)), 1),
            State::Columns {
                columns,
                repetitions,
            } => {
                let open = columns.iter().filter(|column| !column.ended).count().max(1);
                let most = (self.ceiling / open).max(1);
                (open * (*repetitions).min(most), open)
            }
            State::Finished => return false,
        };
        if asked <= least {
            return false;
        }
        self.ceiling = (asked / 2).max(1);
        true
    }
}

/// What a value takes, its name and the tree's own part with it.
fn weight(name: &Oid, value: &Value) -> usize {
    let content = match value {
        Value::Octets(octets) => octets.len(),
        Value::Name(other) => 4 * other.arcs().len(),
        _ => 0, // every other one is within the row itself
    };
    64 + 4 * name.arcs().len() + content
}

impl Column {
    fn new(root: Oid) -> Column {
        Column {
            cursor: root.clone(),
            root,
            ended: false,
        }
    }
}

/// Objects in one question: their answer fits an Ethernet frame.
const OBJECTS_AT_ONCE: usize = 20;
/// The first answer of a table fits a frame too.
const FIRST_BINDINGS: usize = 48;
/// More than this in one answer takes longer to lose than to ask twice.
const MOST_BINDINGS: usize = 400;
/// The most values of one reading: a router with a thousand lines has ten thousand.
const MOST_VALUES: usize = 60_000;
/// The most octets of one reading. Ten thousand values of a router take a tenth of it.
const MOST_OCTETS: usize = 8 << 20;
const NO_SUCH_NAME: i32 = 2;

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use proptest::prelude::*;

    use super::*;
    use crate::snmp::pdu::Kind;

    fn oid(arcs: &[u32]) -> Oid {
        Oid::new(arcs)
    }

    /// How an agent is broken.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    enum Habit {
        Sound,
        /// Refuses more bindings than this.
        TooBig(usize),
        /// Says nothing to more than this.
        Drops(usize),
        /// Cuts answers off after so many bindings.
        Cuts(usize),
        /// Gives the first name again after the last.
        Circles,
        /// Refuses the second column, whatever is asked.
        Hates,
    }

    fn answer(held: &Values, request: &Request, habit: Habit) -> Option<Pdu> {
        let mut pdu = Pdu {
            kind: Kind::Response,
            id: 1,
            error: 0,
            error_index: 0,
            bindings: Vec::new(),
        };
        match request {
            Request::Get(names) => {
                for name in names {
                    let value = held.get(name).cloned().unwrap_or(Value::NoInstance);
                    pdu.bindings.push((name.clone(), value));
                }
            }
            Request::Next(_) => panic!("never asked"),
            Request::Bulk { after, repetitions } => {
                let hated = after.iter().position(|name| name.under(&[1, 2]).is_some());
                if let (Habit::Hates, Some(place)) = (habit, hated) {
                    pdu.error = 5;
                    pdu.error_index = place as i32 + 1;
                    return Some(pdu);
                }
                let mut cursors = after.clone();
                for _ in 0..*repetitions {
                    for cursor in &mut cursors {
                        let next = held.range::<Oid, _>((
                            std::ops::Bound::Excluded(&*cursor),
                            std::ops::Bound::Unbounded,
                        ));
                        match next
                            .map(|(name, value)| (name.clone(), value.clone()))
                            .next()
                        {
                            Some((name, value)) => {
                                *cursor = name.clone();
                                pdu.bindings.push((name, value));
                            }
                            None if habit == Habit::Circles => {
                                let (name, value) = held.iter().next().unwrap();
                                *cursor = name.clone();
                                pdu.bindings.push((name.clone(), value.clone()));
                            }
                            None => pdu.bindings.push((cursor.clone(), Value::End)),
                        }
                    }
                }
            }
        }
        let count = pdu.bindings.len();
        match habit {
            Habit::TooBig(most) if count > most => {
                pdu.error = 1;
                pdu.bindings.clear();
            }
            Habit::Drops(most) if count > most => return None,
            Habit::Cuts(most) => pdu.bindings.truncate(most),
            Habit::Sound | Habit::TooBig(_) | Habit::Drops(_) | Habit::Circles | Habit::Hates => {}
        }
        Some(pdu)
    }

    fn walked(held: &Values, parts: Vec<Part>, habit: Habit) -> (Values, usize) {
        let mut walk = Walk::new(parts);
        let mut asked = 0;
        while let Some(request) = walk.next() {
            asked += 1;
            assert!(asked < 5000, "{habit:?} never ends");
            match answer(held, &request, habit) {
                Some(pdu) => walk.take(pdu),
                None => {
                    if !walk.silence() {
                        break;
                    }
                }
            }
        }
        (walk.finish().unwrap_or_default(), asked)
    }

    fn device(rows: u32) -> Values {
        let mut held = Values::new();
        held.insert(oid(&[1, 0, 1]), Value::Integer(7));
        for column in 1..=4 {
            for row in 1..=rows {
                held.insert(oid(&[1, column, row * 3]), Value::Counter64(u64::from(row)));
            }
        }
        held
    }

    fn everything() -> Vec<Part> {
        vec![
            Part::Objects(vec![oid(&[1, 0, 1]), oid(&[1, 0, 2])]),
            Part::Columns((1..=4).map(|column| oid(&[1, column])).collect()),
        ]
    }

    #[test]
    fn every_value_is_found_whatever_an_agents_habits() {
        let held = device(100);
        for habit in [
            Habit::Sound,
            Habit::TooBig(9),
            Habit::TooBig(4),
            Habit::TooBig(2),
            Habit::Drops(11),
            Habit::Cuts(7),
            Habit::Circles,
        ] {
            let (found, _) = walked(&held, everything(), habit);
            assert_eq!(found, held, "{habit:?}");
        }
        let (found, asked) = walked(&held, everything(), Habit::Sound);
        assert_eq!((found.len(), asked), (401, 5));
        // One column that cannot be had costs that column.
        let (found, _) = walked(&held, everything(), Habit::Hates);
        assert_eq!(found.len(), 301);
        assert!(found.keys().all(|name| name.under(&[1, 2]).is_none()));
    }

    /// A device with long names for everything takes no more of the agent's memory than a large one.
    #[test]
    fn what_is_read_has_an_end_in_octets_too() {
        let long = |row: u32| (oid(&[1, 1, row]), Value::Octets(vec![7; 4096]));
        let held: Values = (1..=4000).map(long).collect();
        let (found, _) = walked(&held, everything(), Habit::Sound);
        let octets = found.len() * 4096;
        assert!(
            (MOST_OCTETS / 2..MOST_OCTETS + (2 << 20)).contains(&octets),
            "{octets}"
        );
    }

    #[test]
    fn an_agent_that_only_refuses_is_an_error_and_one_without_a_table_is_none() {
        let mut walk = Walk::new(vec![Part::Objects(vec![oid(&[1, 0, 1])])]);
        let mut refusal = answer(&device(0), &walk.next().unwrap(), Habit::Sound).unwrap();
        refusal.error = 16;
        walk.take(refusal);
        assert_eq!(walk.next(), None);
        assert_eq!(walk.finish(), Err(SnmpError::Refused(16)));
        assert_eq!(walked(&device(0), everything(), Habit::Sound).0, device(0));
    }

    proptest! {
        /// Whatever comes back, the walk ends and holds nothing but what lies under what was asked.
        #[test]
        fn garbage_ends(answers in prop::collection::vec(
            (0i32..7, -2i32..9, prop::collection::vec((prop::collection::vec(0u32..5, 1..5), 0u8..3), 0..60)), 1..200)) {
            let mut walk = Walk::new(everything());
            for (error, error_index, bindings) in answers {
                if walk.next().is_none() { break; }
                let bindings = bindings.into_iter().map(|(arcs, kind)| (oid(&arcs), match kind {
                    0 => Value::End,
                    1 => Value::Integer(1),
                    _ => Value::NoInstance,
                })).collect();
                walk.take(Pdu { kind: Kind::Response, id: 1, error, error_index, bindings });
            }
            for name in walk.finish().unwrap_or_default().keys() {
                let under = (1..=4).any(|column| name.under(&[1, column]).is_some());
                prop_assert!(under || name.under(&[1, 0]).is_some());
            }
        }
    }
}
