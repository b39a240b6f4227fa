//! What shows the cause, in words.

use super::case::{Case, Named};
use super::{Agent, Evidence};
use crate::net::Mac;
use crate::time::Timestamp;
use crate::wire::diagnosis::{HappenedV1, HappeningV1};

impl Evidence {
    pub(super) fn at(at: Timestamp, text: String) -> Evidence {
        Evidence { at: Some(at), text }
    }
}

/// What decided, then what else is known of him, the latest first; eight lines at most.
pub(super) fn of(case: &Case<'_>, named: &Named) -> Vec<Evidence> {
    let mut lines = named.proof.clone();
    let would = case.told.would.filter(|_| case.facts.voucher.is_none());
    if let (Agent::Away { .. }, Some(session)) = (case.facts.agent, case.told.sessions.first()) {
        let router = case.name(session.router);
        lines.push(Evidence::at(
            session.seen,
            format!("He was online at {router} when his session was last heard of."),
        ));
    }
    let mut happened: Vec<&HappenedV1> = case.told.happened.iter().collect();
    happened.sort_by_key(|one| std::cmp::Reverse(one.last));
    lines.extend(
        happened
            .into_iter()
            .take(MOST_HAPPENED)
            .map(|one| case.seen(one)),
    );
    if let Some(would) = would {
        let text = format!("If he asked now: {}", would.reason.sentence());
        lines.push(Evidence { at: None, text });
    }
    let mut shown: Vec<Evidence> = Vec::with_capacity(MOST);
    for line in lines {
        if shown.len() < MOST && !shown.contains(&line) {
            shown.push(line);
        }
    }
    shown
}

/// One thing that happened at `router`.
pub(super) fn happening(one: &HappenedV1, router: &str) -> String {
    let with = device(one.mac);
    let text = match &one.what {
        HappeningV1::Login(outcome) => {
            format!("Asked at {router}{with}: {}", outcome.sentence())
        }
        HappeningV1::Began => format!("Went online at {router}{with}."),
        HappeningV1::Ended(cause) => format!("Went offline at {router}: {}.", end(*cause)),
        HappeningV1::Lost => format!("{router} lost his session without a word."),
        HappeningV1::Noted(text) => format!("At {router}: {text}"),
    };
    match one.count {
        0 | 1 => text,
        count => format!("{text} ({count} times since {})", one.first),
    }
}

pub(super) fn device(mac: Option<Mac>) -> String {
    mac.map_or_else(String::new, |mac| format!(" with {mac}"))
}

/// Why a session ended (RFC 2866 §5.10), as a person would say it.
pub(super) fn end(cause: Option<u32>) -> &'static str {
    match cause {
        Some(1) => "his equipment hung up",
        Some(2 | 3) => "the line was lost",
        Some(4) => "nothing went through it for long",
        Some(5) => "its time was over",
        Some(6) => "it was ended from here or at the router",
        Some(7 | 11) => "the router restarted",
        Some(10) => "the router ended it",
        Some(_) => "the router ended it for another reason",
        None => "the router gave no reason",
    }
}

/// Octets of a name as text that can be shown.
pub(super) fn printable(name: &[u8]) -> String {
    let text = String::from_utf8_lossy(name);
    text.chars().filter(|c| !c.is_control()).take(64).collect()
}

const MOST: usize = 8;
const MOST_HAPPENED: usize = 5;
