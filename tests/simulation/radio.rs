//! The few metres between router and box, on which a datagram may be lost, doubled or late.

use rand::RngExt;
use rand::rngs::SmallRng;

/// What becomes of a request and its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Both arrive.
    Through,
    /// The request is lost.
    RequestLost,
    /// The request arrives, the answer is lost.
    AnswerLost,
    /// The request arrives twice; the second answer counts.
    Twice,
}

impl Fate {
    /// As the seed has it, with so many of a hundred datagrams in trouble.
    pub fn draw(random: &mut SmallRng, trouble: u32) -> Fate {
        if !random.random_ratio(trouble, 100) {
            return Fate::Through;
        }
        match random.random_range(0..3) {
            0 => Fate::RequestLost,
            1 => Fate::AnswerLost,
            _ => Fate::Twice,
        }
    }

    /// How often the request arrives.
    pub fn arrivals(self) -> u32 {
        match self {
            Fate::RequestLost => 0,
            Fate::Through | Fate::AnswerLost => 1,
            Fate::Twice => 2,
        }
    }

    /// Whether the last answer arrives.
    pub fn answers(self) -> bool {
        match self {
            Fate::Through | Fate::Twice => true,
            Fate::RequestLost | Fate::AnswerLost => false,
        }
    }
}
