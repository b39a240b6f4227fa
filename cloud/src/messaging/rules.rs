//! What becomes of a message after a try.

/// What a gateway said to one try.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Heard {
    /// It took the message; its id for it.
    Accepted {
        /// The gateway's id.
        id: Option<String>,
    },
    /// It will never take this message.
    Refused(String),
    /// It did not take it, and may another time.
    Busy(String),
    /// The try may have reached it.
    Silence(String),
}

/// What to write down.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Fate {
    /// On its way to the phone.
    Sent {
        /// The gateway's id.
        id: Option<String>,
    },
    /// Try once more, later.
    Again(String),
    /// It will not be sent.
    Failed(String),
    /// Nobody knows. Sending again could reach the customer twice.
    Unknown(String),
}

/// Most tries of one message.
pub const MOST_TRIES: i32 = 2;

/// Decides after try number `tries` (from 1).
pub fn fate(tries: i32, heard: Heard) -> Fate {
    match heard {
        Heard::Accepted { id } => Fate::Sent { id },
        Heard::Refused(why) => Fate::Failed(why),
        Heard::Busy(why) if tries < MOST_TRIES => Fate::Again(why),
        Heard::Busy(why) => Fate::Failed(why),
        Heard::Silence(why) => Fate::Unknown(why),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_whose_fate_is_unknown_is_not_sent_again() {
        assert_eq!(
            fate(1, Heard::Silence("x".into())),
            Fate::Unknown("x".into())
        );
    }

    #[test]
    fn a_busy_gateway_is_tried_twice() {
        assert_eq!(fate(1, Heard::Busy("x".into())), Fate::Again("x".into()));
        assert_eq!(fate(2, Heard::Busy("x".into())), Fate::Failed("x".into()));
    }
}
