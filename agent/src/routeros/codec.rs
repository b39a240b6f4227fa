//! Words and sentences of the RouterOS API (MikroTik manual, "API": the protocol of ports 8728 and 8729).

/// Appends one word with its length before it.
///
/// The length takes one to five octets: its first bits say how many (`0`, `10`, `110`, `1110`, `11110`),
/// the rest is the number in network order.
///
/// # Panics
/// When the word is longer than 4 GiB.
pub fn write_word(out: &mut Vec<u8>, word: &[u8]) {
    let length = u32::try_from(word.len()).expect("a word of ours is short");
    let octets = length.to_be_bytes();
    let [first, second, third, _] = octets;
    match length {
        0..0x80 => out.extend_from_slice(&octets[3..]),
        0x80..0x4000 => out.extend_from_slice(&[third | 0x80, octets[3]]),
        0x4000..0x20_0000 => out.extend_from_slice(&[second | 0xc0, third, octets[3]]),
        0x20_0000..0x1000_0000 => {
            out.extend_from_slice(&[first | 0xe0, second, third, octets[3]]);
        }
        0x1000_0000.. => {
            out.push(0xf0);
            out.extend_from_slice(&octets);
        }
    }
    out.extend_from_slice(word);
}

/// Appends a sentence: its words and the empty word that ends it.
pub fn write_sentence<'a>(out: &mut Vec<u8>, words: impl IntoIterator<Item = &'a [u8]>) {
    for word in words {
        write_word(out, word);
    }
    out.push(0);
}

/// The words of one sentence.
pub type Words = Vec<Vec<u8>>;

/// Why a peer's bytes are not the protocol. The connection is of no use any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// A first octet of 0xF8 or more is reserved for control.
    #[error("it sent a reserved control octet; is this a RouterOS API port?")]
    Control,
    /// A word or a sentence of nonsensical size.
    #[error("it sent a sentence beyond every size; is this a RouterOS API port?")]
    TooLong,
    /// A sentence that is no reply.
    #[error("it sent a sentence that is no reply")]
    NoReply,
}

/// Takes bytes as they come and gives sentences as they are whole.
///
/// Reads untrusted bytes: it holds at most [`MAX_SENTENCE`] octets of words and never panics.
#[derive(Default)]
pub struct Decoder {
    buffer: Vec<u8>,
    read: usize,
    words: Words,
    size: usize,
}

impl Decoder {
    /// Takes bytes from the peer. Call [`Decoder::sentence`] until it gives nothing before the next.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.drain(..self.read);
        self.read = 0;
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole sentence; `None` when more bytes are needed. Empty sentences are passed over.
    pub fn sentence(&mut self) -> Result<Option<Words>, CodecError> {
        loop {
            let rest = self.buffer.get(self.read..).unwrap_or_default();
            let Some((length, after)) = split_length(rest)? else {
                return Ok(None);
            };
            if length > MAX_WORD {
                return Err(CodecError::TooLong);
            }
            let Some((word, after)) = after.split_at_checked(length) else {
                return Ok(None);
            };
            let read = self.buffer.len() - after.len();
            if length == 0 {
                self.read = read;
                self.size = 0;
                if self.words.is_empty() {
                    continue;
                }
                return Ok(Some(std::mem::take(&mut self.words)));
            }
            self.size += length;
            if self.size > MAX_SENTENCE || self.words.len() == MAX_WORDS {
                return Err(CodecError::TooLong);
            }
            self.words.push(word.to_vec());
            self.read = read;
        }
    }
}

/// Splits a word's length off `input`; `None` when its octets are not all there yet.
fn split_length(input: &[u8]) -> Result<Option<(usize, &[u8])>, CodecError> {
    let Some((&first, rest)) = input.split_first() else {
        return Ok(None);
    };
    let (begin, more) = match first {
        0..0x80 => (first, 0),
        0x80..0xc0 => (first & 0x3f, 1),
        0xc0..0xe0 => (first & 0x1f, 2),
        0xe0..0xf0 => (first & 0x0f, 3),
        0xf0..0xf8 => (0, 4),
        0xf8.. => return Err(CodecError::Control),
    };
    let Some((octets, rest)) = rest.split_at_checked(more) else {
        return Ok(None);
    };
    let length = octets.iter().fold(usize::from(begin), |length, octet| {
        length << 8 | usize::from(*octet)
    });
    Ok(Some((length, rest)))
}

/// The longest word taken: a file's content is not what we ask for.
pub const MAX_WORD: usize = 64 * 1024;
/// The most octets in the words of one sentence.
pub const MAX_SENTENCE: usize = 256 * 1024;
/// The most words of one sentence; an interface has some thirty properties.
const MAX_WORDS: usize = 512;

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use proptest::prelude::*;

    use super::*;

    /// The manual's own examples.
    #[test]
    fn every_form_of_a_length_is_as_the_manual_says() {
        for (length, octets) in [
            (6, &[0x06][..]),
            (0x7f, &[0x7f]),
            (0x80, &[0x80, 0x80]),
            (0x3fff, &[0xbf, 0xff]),
            (0x4000, &[0xc0, 0x40, 0x00]),
            (0x1f_ffff, &[0xdf, 0xff, 0xff]),
            (0x20_0000, &[0xe0, 0x20, 0x00, 0x00]),
            (0xfff_ffff, &[0xef, 0xff, 0xff, 0xff]),
        ] {
            let word = vec![b'x'; length];
            let mut out = Vec::new();
            write_word(&mut out, &word);
            let (prefix, rest) = out.split_at(octets.len());
            assert_eq!((prefix, rest.len()), (octets, length));
            assert_eq!(split_length(&out).unwrap().unwrap().0, length);
        }
        let five = [0xf0, 0x10, 0, 0, 0];
        assert_eq!(split_length(&five).unwrap().unwrap().0, 0x1000_0000);
        assert_eq!(split_length(&five[..4]), Ok(None));
        assert_eq!(split_length(&[0xf8]), Err(CodecError::Control));
    }

    #[test]
    fn nonsense_sizes_end_the_connection_before_they_take_memory() {
        let mut decoder = Decoder::default();
        decoder.push(&[0xf0, 0xff, 0xff, 0xff, 0xff]);
        assert_eq!(decoder.sentence(), Err(CodecError::TooLong));

        let mut decoder = Decoder::default();
        let mut bytes = Vec::new();
        write_word(&mut bytes, &vec![b'x'; MAX_WORD]);
        let mut given = Ok(None);
        for _ in 0..=MAX_SENTENCE / MAX_WORD {
            decoder.push(&bytes);
            given = decoder.sentence();
        }
        assert_eq!(given, Err(CodecError::TooLong));
        assert!(decoder.buffer.len() <= 2 * MAX_WORD);
    }

    proptest! {
        /// However the network cuts the stream, the sentences are the same.
        #[test]
        fn sentences_survive_every_cut(
            sentences in prop::collection::vec(
                prop::collection::vec(prop::collection::vec(any::<u8>(), 1..300), 1..6), 0..6),
            cuts in prop::collection::vec(1usize..64, 1..50),
        ) {
            let mut stream = Vec::new();
            for sentence in &sentences {
                write_sentence(&mut stream, sentence.iter().map(Vec::as_slice));
            }
            let mut decoder = Decoder::default();
            let mut read = Vec::new();
            let mut rest = stream.as_slice();
            for cut in cuts.iter().cycle() {
                let (now, later) = rest.split_at(rest.len().min(*cut));
                decoder.push(now);
                while let Some(sentence) = decoder.sentence().unwrap() {
                    read.push(sentence);
                }
                rest = later;
                if rest.is_empty() { break; }
            }
            prop_assert_eq!(read, sentences);
        }
    }
}
