//! Which prefixes a session had when: what a record changes of it. Pure.
//!
//! A record tells all that the session has. What was told first it had from its beginning, for a router tells an IPv6
//! prefix when it can and not when it gave it; what came later it had at the earliest when it was last told without.

use easyisp_shared::ipv6::Prefixes;
use easyisp_shared::time::Timestamp;
use ipnet::Ipv6Net;

use super::rules::State;

/// A prefix of a session, from when it was told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Span {
    /// Which.
    pub prefix: Ipv6Net,
    /// When it was told first.
    pub told_at: Timestamp,
    /// Since when it may have had it; `None` = since it began.
    pub since: Option<Timestamp>,
    /// How it went; `None` as long as it has it.
    pub gone: Option<Gone>,
}

/// A session has a prefix no more.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Gone {
    /// When it was told last.
    pub last_at: Timestamp,
    /// When others were told in its place.
    pub until: Timestamp,
}

/// What a batch changes of one session's prefixes.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Changes {
    /// Those that it did not have before.
    pub new: Vec<Span>,
    /// Those that it had before, and has no more.
    pub gone: Vec<(Ipv6Net, Gone)>,
}

impl Changes {
    /// Takes what one record, told at `at`, made of the session.
    pub fn take(&mut self, before: Option<&State>, after: &State, at: Timestamp) {
        let none = Prefixes::default();
        let had = before.map_or(&none, |before| &before.prefixes);
        if *had == after.prefixes {
            return;
        }
        let last_at = before.map_or(at, |before| before.last_seen);
        let gone = Gone { last_at, until: at };
        for prefix in had
            .iter()
            .filter(|prefix| !after.prefixes.contains(*prefix))
        {
            let open = |span: &&mut Span| span.prefix == prefix && span.gone.is_none();
            match self.new.iter_mut().find(open) {
                Some(span) => span.gone = Some(gone),
                None => self.gone.push((prefix, gone)),
            }
        }
        let came = after
            .prefixes
            .iter()
            .filter(|prefix| !had.contains(*prefix));
        self.new.extend(came.map(|prefix| Span {
            prefix,
            told_at: at,
            since: (!had.is_empty()).then_some(last_at),
            gone: None,
        }));
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::sessions::words::Status;

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_secs(secs)
    }

    fn state(seen: i64, prefixes: &[&str]) -> State {
        State {
            status: Status::Active,
            started: at(0),
            last_seen: at(seen),
            stopped: None,
            session_secs: 0,
            bytes_in: 0,
            bytes_out: 0,
            bytes_free: 0,
            framed_ip: None,
            prefixes: prefixes.iter().map(|net| net.parse().unwrap()).collect(),
            mac: None,
            cause: None,
        }
    }

    /// Takes states one after the other, the first of them new.
    fn taken(states: &[State]) -> Changes {
        let mut changes = Changes::default();
        let mut before = None;
        for after in states {
            changes.take(before, after, after.last_seen);
            before = Some(after);
        }
        changes
    }

    const ONE: &str = "2001:db8:1::/64";
    const TWO: &str = "2001:db8:200::/56";
    const THREE: &str = "2001:db8:300::/56";

    #[test]
    fn what_is_told_first_was_there_from_the_beginning() {
        let changes = taken(&[state(0, &[]), state(300, &[ONE]), state(600, &[ONE])]);
        let wanted = Span {
            prefix: ONE.parse().unwrap(),
            told_at: at(300),
            since: None,
            gone: None,
        };
        assert_eq!(changes.new, [wanted]);
        assert!(changes.gone.is_empty());
    }

    #[test]
    fn what_another_takes_the_place_of_has_an_end_and_the_other_a_beginning() {
        let changes = taken(&[
            state(300, &[ONE, TWO]),
            state(600, &[ONE, TWO]),
            state(900, &[ONE, THREE]),
            state(1200, &[ONE, TWO]),
        ]);
        let span = |prefix: &str, told, since, gone: Option<(i64, i64)>| Span {
            prefix: prefix.parse().unwrap(),
            told_at: at(told),
            since,
            gone: gone.map(|(last, until)| Gone {
                last_at: at(last),
                until: at(until),
            }),
        };
        assert_eq!(
            changes.new,
            [
                span(ONE, 300, None, None),
                span(TWO, 300, None, Some((600, 900))),
                span(THREE, 900, Some(at(600)), Some((900, 1200))),
                span(TWO, 1200, Some(at(900)), None),
            ]
        );
        assert!(changes.gone.is_empty());

        let mut later = Changes::default();
        later.take(Some(&state(600, &[TWO])), &state(900, &[THREE]), at(900));
        let gone = Gone {
            last_at: at(600),
            until: at(900),
        };
        assert_eq!(later.gone, [(TWO.parse().unwrap(), gone)]);
    }
}
