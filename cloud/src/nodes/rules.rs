//! What nodes say to each other, sealed under a key that only they have.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use easyisp_shared::entropy::Entropy;
use easyisp_shared::id::{AccessGrantId, AgentId, TenantId};
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

/// A connection by a way that is asked for. A changed shape gets another [`WAY`].
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Called {
    /// Whose agent.
    pub tenant: TenantId,
    /// Which.
    pub agent: AgentId,
    /// By which way of its.
    pub grant: AccessGrantId,
    /// When it was asked for.
    pub at: Timestamp,
    /// Never the same twice; names the connection from here on.
    pub nonce: [u8; 16],
}

impl Called {
    /// Seals it for one node: it opens at no other.
    pub fn seal(&self, key: &SealKey, node: Uuid, entropy: &Entropy) -> Vec<u8> {
        key.seal(&place(WAY, node.as_bytes()), &encoded(self), entropy)
    }

    /// Opens what was sealed for `node`; `None` for anything else.
    ///
    /// Reads untrusted bytes: every input gives an answer, none panics.
    pub fn open(key: &SealKey, node: Uuid, sealed: &[u8]) -> Option<Called> {
        let clear = key.open(&place(WAY, node.as_bytes()), sealed).ok()?;
        postcard::from_bytes(&clear).ok()
    }
}

/// Which way octets of a connection go between two nodes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Direction {
    /// To the node that holds the agent.
    There,
    /// From it.
    Back,
}

impl Direction {
    /// The one that the other node sends.
    pub fn other(self) -> Direction {
        match self {
            Direction::There => Direction::Back,
            Direction::Back => Direction::There,
        }
    }
}

/// What a piece of a connection is sealed for: this connection, direction and number, and nothing else.
pub fn piece(connection: &[u8; 16], direction: Direction, number: u64) -> Vec<u8> {
    let direction = match direction {
        Direction::There => b'>',
        Direction::Back => b'<',
    };
    let mut which = connection.to_vec();
    which.push(direction);
    which.extend_from_slice(&number.to_be_bytes());
    place(PIECE, &which)
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
    /// Seals it as the answer to the one question of this nonce.
    pub fn seal(&self, key: &SealKey, to: &[u8; 16], entropy: &Entropy) -> Vec<u8> {
        key.seal(&place(ANSWER, to), &encoded(self), entropy)
    }

    /// Opens the answer to `to`; `None` for anything else.
    pub fn open(key: &SealKey, to: &[u8; 16], sealed: &[u8]) -> Option<Told> {
        let clear = key.open(&place(ANSWER, to), sealed).ok()?;
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
    pub fn is_new(&mut self, at: Timestamp, nonce: [u8; 16], now: Timestamp) -> bool {
        let apart = now.since(at).max(at.since(now));
        // What was of this moment then is not any more, and needs not to be remembered.
        while let Some((came, old)) = self.order.front().copied()
            && now.since(came) > FRESH * 2
        {
            self.order.pop_front();
            self.known.remove(&old);
        }
        if apart > FRESH || self.order.len() >= MOST_KNOWN || !self.known.insert(nonce) {
            return false;
        }
        self.order.push_back((now, nonce));
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
const WAY: &[u8] = b"easyisp node way 1 ";
const PIECE: &[u8] = b"easyisp node piece 1 ";
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
        let answer = told.seal(&key, &asked.nonce, &entropy);
        assert_eq!(Told::open(&key, &asked.nonce, &answer), Some(told));
        assert_eq!(Told::open(&key, &passed(2, NOW).nonce, &answer), None);
        assert_eq!(
            Told::open(&key, &asked.nonce, &sealed),
            None,
            "its own question"
        );

        let called = Called {
            tenant: asked.tenant,
            agent: asked.agent,
            grant: AccessGrantId(Uuid::from_u128(3)),
            at: NOW,
            nonce: [1; 16],
        };
        let sealed = called.seal(&key, node, &entropy);
        assert_eq!(Called::open(&key, node, &sealed), Some(called));
        assert_eq!(Called::open(&key, neighbour, &sealed), None);
        assert_eq!(Passed::open(&key, node, &sealed), None, "no question");
    }

    #[test]
    fn a_question_is_taken_once_and_while_it_is_fresh() {
        let mut asked = Asked::default();
        assert!(asked.is_new(NOW, [1; 16], NOW));
        assert!(!asked.is_new(NOW, [1; 16], NOW), "sent again");
        let later = NOW.plus(FRESH * 2);
        assert!(!asked.is_new(NOW, [1; 16], later), "sent again later");
        assert!(!asked.is_new(NOW, [2; 16], later), "too old");
        assert!(!asked.is_new(later, [3; 16], NOW), "of the future");
        let after = later.plus(Duration::from_secs(1));
        assert!(asked.is_new(after, [4; 16], after));
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
