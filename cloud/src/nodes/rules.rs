//! What nodes say to each other, sealed under a key that only they have.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use easyisp_shared::entropy::Entropy;
use easyisp_shared::id::{AgentId, TenantId};
use easyisp_shared::seal::SealKey;
use easyisp_shared::time::Timestamp;
use easyisp_shared::wire::question::Answer;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A question that is passed on. A changed shape gets another [`QUESTION`].
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Passed {
    /// Whose agent.
    pub tenant: TenantId,
    /// Which.
    pub agent: AgentId,
    /// When it was passed on.
    pub at: Timestamp,
    /// Never the same twice.
    pub nonce: [u8; 16],
    /// How long the asker waits.
    pub within_millis: u32,
    /// The question as agents read it.
    pub question: Vec<u8>,
}

impl Passed {
    /// Seals it for one node: it opens at no other.
    pub fn seal(&self, key: &SealKey, node: Uuid, entropy: &Entropy) -> Vec<u8> {
        key.seal(&place(QUESTION, node.as_bytes()), &encoded(self), entropy)
    }

    /// Opens what was sealed for `node`; `None` for anything else.
    ///
    /// Reads untrusted bytes: every input gives an answer, none panics.
    pub fn open(key: &SealKey, node: Uuid, sealed: &[u8]) -> Option<Passed> {
        let clear = key.open(&place(QUESTION, node.as_bytes()), sealed).ok()?;
        postcard::from_bytes(&clear).ok()
    }

    /// How long the node that holds the agent waits for it, so that what it says of a silent one still comes
    /// in time.
    pub fn patience(&self) -> Duration {
        let within = Duration::from_millis(u64::from(self.within_millis)).min(LONGEST);
        within.saturating_sub(HOP).max(within / 2)
    }
}

/// What the node says that was asked.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Told {
    /// What the agent answered, or why it did not.
    Answer(Answer),
    /// It does not hold this agent any more.
    Gone,
}

impl Told {
    /// Seals it as the answer to one question.
    pub fn seal(&self, key: &SealKey, to: &Passed, entropy: &Entropy) -> Vec<u8> {
        key.seal(&place(ANSWER, &to.nonce), &encoded(self), entropy)
    }

    /// Opens the answer to `to`; `None` for anything else.
    pub fn open(key: &SealKey, to: &Passed, sealed: &[u8]) -> Option<Told> {
        let clear = key.open(&place(ANSWER, &to.nonce), sealed).ok()?;
        postcard::from_bytes(&clear).ok()
    }
}

/// The questions that came in lately: one that is recorded and sent again ends no session a second time.
#[derive(Default, Debug)]
pub struct Asked {
    order: VecDeque<(Timestamp, [u8; 16])>,
    known: BTreeSet<[u8; 16]>,
}

impl Asked {
    /// Whether a question is of this moment and comes for the first time.
    pub fn is_new(&mut self, passed: &Passed, now: Timestamp) -> bool {
        let apart = now.since(passed.at).max(passed.at.since(now));
        // What was of this moment then is not any more, and needs not to be remembered.
        while let Some((at, nonce)) = self.order.front().copied()
            && now.since(at) > FRESH * 2
        {
            self.order.pop_front();
            self.known.remove(&nonce);
        }
        if apart > FRESH || self.order.len() >= MOST_KNOWN || !self.known.insert(passed.nonce) {
            return false;
        }
        self.order.push_back((now, passed.nonce));
        true
    }
}

/// A node that was not heard of for so long holds nobody: four heart-beats.
pub const LEASE: Duration = Duration::from_secs(12);
/// How often a node says that it is there.
pub const BEAT: Duration = Duration::from_secs(3);
/// A node's row goes when it was silent for so long, and with it what it held.
pub const DEAD: Duration = Duration::from_secs(600);

fn place(purpose: &[u8], which: &[u8]) -> Vec<u8> {
    [purpose, which].concat()
}

fn encoded(value: &impl Serialize) -> Vec<u8> {
    postcard::to_stdvec(value).expect("our own types have a known length and a growing buffer")
}

const QUESTION: &[u8] = b"easyisp node question 1 ";
const ANSWER: &[u8] = b"easyisp node answer 1 ";
/// Nodes are at most a second off the database's clock, and a question is passed on at once.
const FRESH: Duration = Duration::from_secs(15);
const MOST_KNOWN: usize = 65_536;
/// What the way between two nodes takes, generously.
const HOP: Duration = Duration::from_millis(300);
/// Nobody waits longer.
const LONGEST: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use easyisp_shared::wire::question::AskFailure;

    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

    fn passed(nonce: u8, at: Timestamp) -> Passed {
        Passed {
            tenant: TenantId(Uuid::from_u128(1)),
            agent: AgentId(Uuid::from_u128(2)),
            at,
            nonce: [nonce; 16],
            within_millis: 4_000,
            question: vec![0],
        }
    }

    #[test]
    fn a_question_opens_at_the_node_it_is_for_and_an_answer_for_its_question() {
        let entropy = Entropy::seeded(1);
        let (key, other) = (SealKey::generate(&entropy), SealKey::generate(&entropy));
        let (node, neighbour) = (Uuid::from_u128(7), Uuid::from_u128(8));
        let asked = passed(1, NOW);
        let sealed = asked.seal(&key, node, &entropy);
        assert_eq!(Passed::open(&key, node, &sealed), Some(asked.clone()));
        assert_eq!(Passed::open(&key, neighbour, &sealed), None);
        assert_eq!(Passed::open(&other, node, &sealed), None);
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert_eq!(Passed::open(&key, node, &changed), None, "octet {at}");
            assert_eq!(Passed::open(&key, node, &sealed[..at]), None);
        }

        let told = Told::Answer(Answer::Failed(AskFailure::Busy));
        let answer = told.seal(&key, &asked, &entropy);
        assert_eq!(Told::open(&key, &asked, &answer), Some(told));
        assert_eq!(Told::open(&key, &passed(2, NOW), &answer), None);
        assert_eq!(Told::open(&key, &asked, &sealed), None, "its own question");
    }

    #[test]
    fn a_question_is_taken_once_and_while_it_is_fresh() {
        let mut asked = Asked::default();
        assert!(asked.is_new(&passed(1, NOW), NOW));
        assert!(!asked.is_new(&passed(1, NOW), NOW), "sent again");
        let later = NOW.plus(FRESH * 2);
        assert!(!asked.is_new(&passed(1, NOW), later), "sent again later");
        assert!(!asked.is_new(&passed(2, NOW), later), "too old");
        assert!(!asked.is_new(&passed(3, later), NOW), "of the future");
        let after = later.plus(Duration::from_secs(1));
        assert!(asked.is_new(&passed(4, after), after));
        assert_eq!(asked.order.len(), 1, "what is old is forgotten");
    }

    #[test]
    fn the_node_that_is_asked_gives_up_before_the_asker_does() {
        let asked = passed(1, NOW);
        assert_eq!(asked.patience(), Duration::from_millis(3_700));
        let hurried = Passed {
            within_millis: 200,
            ..asked
        };
        assert_eq!(hurried.patience(), Duration::from_millis(100));
    }
}
