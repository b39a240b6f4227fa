//! Frames: a length, a tag and one message.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::access::ThroughV1;
use super::bytes::split_octet;
use super::enroll::{EnrollAnswer, EnrollRequest, SiteAuthorityV1};
use super::hello::{FeedAck, Hello, Refused, UpAck, Welcome};
use super::question::{Answer, Ask};
use super::record::{FeedBatch, UpBatch};

/// The most octets a frame may hold after its length.
pub const FRAME_CAP: usize = 1 << 20;

/// Octets of the length before each frame (big endian, counts tag and body).
pub const FRAME_HEADER: usize = 4;

/// Why bytes are not a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// The bytes end before the value does.
    #[error("the bytes end too early")]
    Truncated,
    /// A frame or a batch is over its cap.
    #[error("too large")]
    TooLarge,
    /// A number does not fit.
    #[error("a number is out of range")]
    NumberTooLarge,
    /// A message this build does not know: skip it.
    #[error("unknown message {0}")]
    UnknownMessage(u8),
    /// A record of a kind this build does not know: skip it.
    #[error("unknown kind {0}")]
    UnknownKind(u16),
    /// The bytes do not spell the value, or spell a newer shape of it.
    #[error("the bytes do not spell the value")]
    Broken,
}

/// Everything that is ever said on a pipe.
#[derive(Debug, Clone, PartialEq)]
pub enum Message {
    /// Agent: opens the sync pipe.
    Hello(Hello),
    /// Cloud: the agent may stay.
    Welcome(Welcome),
    /// Cloud: the agent may not stay; ends the pipe.
    Refused(Refused),
    /// Cloud, on the sync pipe: state.
    Feed(FeedBatch),
    /// Agent, on the sync pipe: state up to here is stored.
    FeedAck(FeedAck),
    /// Agent, on the uplink pipe: reports.
    Up(UpBatch),
    /// Cloud, on the uplink pipe: reports up to here are stored.
    UpAck(UpAck),
    /// Either, opens a pipe of its own: a live question.
    Ask(Ask),
    /// Either, ends a question's pipe.
    Answer(Answer),
    /// A box that wants to become an agent.
    EnrollRequest(EnrollRequest),
    /// What became of it.
    EnrollAnswer(EnrollAnswer),
    /// Cloud, opens a pipe of its own: a connection by a way that is open. Answered like a question.
    Through(ThroughV1),
    /// Either, on such a pipe: octets; none = all was said.
    Octets(Vec<u8>),
    /// Either, on such a pipe: so many of them were passed on.
    Taken(u32),
    /// Cloud, behind an answer to who became an agent: the authority of his site, where it is known.
    SiteAuthority(SiteAuthorityV1),
}

impl Message {
    /// The message as a whole frame, its length first.
    ///
    /// `TooLarge` when it is over [`FRAME_CAP`]: the sender must make smaller batches.
    pub fn frame(&self) -> Result<Vec<u8>, WireError> {
        let mut out = vec![0; FRAME_HEADER];
        out.push(self.tag());
        match self {
            Message::Hello(body) => put(&mut out, body),
            Message::Welcome(body) => put(&mut out, body),
            Message::Refused(body) => put(&mut out, body),
            Message::Feed(batch) => batch.put(&mut out),
            Message::FeedAck(body) => put(&mut out, body),
            Message::Up(batch) => batch.put(&mut out),
            Message::UpAck(body) => put(&mut out, body),
            Message::Ask(body) => put(&mut out, body),
            Message::Answer(body) => put(&mut out, body),
            Message::EnrollRequest(body) => put(&mut out, body),
            Message::EnrollAnswer(body) => put(&mut out, body),
            Message::Through(body) => put(&mut out, body),
            Message::Octets(octets) => out.extend_from_slice(octets),
            Message::Taken(octets) => put(&mut out, octets),
            Message::SiteAuthority(body) => put(&mut out, body),
        }
        let length = out.len() - FRAME_HEADER;
        if length > FRAME_CAP {
            return Err(WireError::TooLarge);
        }
        out[..FRAME_HEADER].copy_from_slice(&(length as u32).to_be_bytes());
        Ok(out)
    }

    /// The length a frame's first octets announce; `TooLarge` over [`FRAME_CAP`].
    pub fn length(header: [u8; FRAME_HEADER]) -> Result<usize, WireError> {
        match usize::try_from(u32::from_be_bytes(header)) {
            Ok(length) if length <= FRAME_CAP => Ok(length),
            Ok(_) | Err(_) => Err(WireError::TooLarge),
        }
    }

    /// Reads what follows a frame's length.
    ///
    /// Reads untrusted bytes: every input gives `Ok` or `Err`. [`WireError::UnknownMessage`] is for
    /// skipping, any other error is for closing the pipe.
    pub fn read(frame: &[u8]) -> Result<Message, WireError> {
        let (tag, body) = split_octet(frame)?;
        match tag {
            1 => take(body).map(Message::Hello),
            2 => take(body).map(Message::Welcome),
            3 => take(body).map(Message::Refused),
            4 => FeedBatch::read(body).map(Message::Feed),
            5 => take(body).map(Message::FeedAck),
            6 => UpBatch::read(body).map(Message::Up),
            7 => take(body).map(Message::UpAck),
            8 => take(body).map(Message::Ask),
            9 => take(body).map(Message::Answer),
            10 => take(body).map(Message::EnrollRequest),
            11 => take(body).map(Message::EnrollAnswer),
            12 => take(body).map(Message::Through),
            13 => Ok(Message::Octets(body.to_vec())),
            14 => take(body).map(Message::Taken),
            15 => take(body).map(Message::SiteAuthority),
            unknown => Err(WireError::UnknownMessage(unknown)),
        }
    }

    const fn tag(&self) -> u8 {
        match self {
            Message::Hello(_) => 1,
            Message::Welcome(_) => 2,
            Message::Refused(_) => 3,
            Message::Feed(_) => 4,
            Message::FeedAck(_) => 5,
            Message::Up(_) => 6,
            Message::UpAck(_) => 7,
            Message::Ask(_) => 8,
            Message::Answer(_) => 9,
            Message::EnrollRequest(_) => 10,
            Message::EnrollAnswer(_) => 11,
            Message::Through(_) => 12,
            Message::Octets(_) => 13,
            Message::Taken(_) => 14,
            Message::SiteAuthority(_) => 15,
        }
    }
}

/// Encodes a value of ours.
pub(super) fn encode(value: &impl Serialize) -> Vec<u8> {
    postcard::to_stdvec(value).expect("our own types have a known length and a growing buffer")
}

/// Decodes a value that fills `input` to its end.
pub(super) fn take<T: DeserializeOwned>(input: &[u8]) -> Result<T, WireError> {
    match postcard::take_from_bytes(input) {
        Ok((value, [])) => Ok(value),
        Ok(_) | Err(_) => Err(WireError::Broken),
    }
}

fn put(out: &mut Vec<u8>, value: &impl Serialize) {
    out.extend_from_slice(&encode(value));
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use proptest::prelude::*;

    use super::*;
    use crate::wire::record::{DownRecord, FeedMode};

    proptest! {
        #[test]
        fn any_bytes_are_a_message_or_an_error(input in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = Message::read(&input);
        }

        #[test]
        fn any_tail_after_a_known_tag_is_a_message_or_an_error(
            tag in 0u8..17, mut input in prop::collection::vec(any::<u8>(), 0..300),
        ) {
            input.insert(0, tag);
            let _ = Message::read(&input);
        }
    }

    #[test]
    fn a_frame_over_the_cap_is_neither_sent_nor_awaited() {
        let batch = FeedBatch {
            from: 0,
            to: 1,
            mode: FeedMode::Changes,
            last: true,
            digests: Vec::new(),
            records: vec![DownRecord {
                kind: 1,
                id: uuid::Uuid::nil(),
                version: 1,
                body: Some(vec![0; FRAME_CAP]),
            }],
        };
        assert_eq!(Message::Feed(batch).frame(), Err(WireError::TooLarge));
        assert_eq!(Message::length([0, 0x10, 0, 0]).unwrap(), FRAME_CAP);
        assert_eq!(Message::length([0, 0x10, 0, 1]), Err(WireError::TooLarge));
    }

    /// A message of a later release is told from garbage, so that it can be skipped.
    #[test]
    fn an_unknown_message_is_named() {
        assert_eq!(
            Message::read(&[200, 1, 2, 3]),
            Err(WireError::UnknownMessage(200))
        );
    }
}
