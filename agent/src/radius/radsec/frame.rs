//! Packets out of a stream: each tells its own length (RFC 6613 §2.6.4).

use crate::radius::packet::{HEADER_LEN, MAX_LEN};

/// What came in and is no whole packet yet; never more than a packet and one read.
#[derive(Debug, Default)]
pub struct Frames {
    waiting: Vec<u8>,
}

/// The stream is no RADIUS: there is no way to find the next packet in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a packet's length is impossible")]
pub struct NotRadius;

impl Frames {
    /// Takes octets as they come.
    pub fn take(&mut self, octets: &[u8]) {
        self.waiting.extend(octets);
    }

    /// The next whole packet.
    pub fn next_packet(&mut self) -> Result<Option<Vec<u8>>, NotRadius> {
        let [_, _, high, low, ..] = self.waiting[..] else {
            return Ok(None);
        };
        let length = usize::from(u16::from_be_bytes([high, low]));
        if !(HEADER_LEN..=MAX_LEN).contains(&length) {
            return Err(NotRadius);
        }
        if self.waiting.len() < length {
            return Ok(None);
        }
        let rest = self.waiting.split_off(length);
        Ok(Some(std::mem::replace(&mut self.waiting, rest)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_are_found_however_the_stream_is_cut() {
        let packet = |length: u8| {
            let mut packet = vec![1, 7, 0, length];
            packet.resize(usize::from(length), 9);
            packet
        };
        let stream = [packet(20), packet(33), packet(20)].concat();
        for step in 1..stream.len() {
            let mut frames = Frames::default();
            let mut found = Vec::new();
            for part in stream.chunks(step) {
                frames.take(part);
                while let Ok(Some(packet)) = frames.next_packet() {
                    found.push(packet);
                }
            }
            assert_eq!(found, [packet(20), packet(33), packet(20)], "{step}");
        }
    }

    #[test]
    fn an_impossible_length_ends_the_stream() {
        for length in [0u16, 19, 4097, u16::MAX] {
            let mut frames = Frames::default();
            let [high, low] = length.to_be_bytes();
            frames.take(&[1, 7, high, low]);
            assert_eq!(frames.next_packet(), Err(NotRadius));
        }
    }
}
