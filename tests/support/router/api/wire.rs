//! Sentences on the wire, read one octet after the other as the manual draws them.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// The words of a sentence, as text: names of the pretend world are.
#[derive(Clone, Debug, Default)]
pub(super) struct Sentence(Vec<String>);

impl Sentence {
    pub(super) fn of(words: &[&str]) -> Sentence {
        Sentence(words.iter().map(|word| (*word).to_owned()).collect())
    }

    pub(super) fn push(&mut self, word: String) {
        self.0.push(word);
    }

    pub(super) fn first(&self) -> Option<&str> {
        self.0.first().map(String::as_str)
    }

    pub(super) fn is(&self, word: &str) -> bool {
        self.first() == Some(word)
    }

    /// The value of `=name=value`.
    pub(super) fn value(&self, name: &str) -> Option<&str> {
        self.words().find_map(|word| {
            let (held, value) = word.strip_prefix('=')?.split_once('=')?;
            (held == name).then_some(value)
        })
    }

    /// Every `=name=value`.
    pub(super) fn values(&self) -> impl Iterator<Item = (&str, &str)> {
        self.words()
            .filter_map(|word| word.strip_prefix('=')?.split_once('='))
    }

    pub(super) fn words(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    pub(super) fn tag(&self) -> Option<String> {
        let tag = self.words().find_map(|word| word.strip_prefix(".tag="));
        tag.map(str::to_owned)
    }

    pub(super) fn tagged(&mut self, tag: Option<&str>) {
        if let Some(tag) = tag {
            self.push(format!(".tag={tag}"));
        }
    }
}

/// The next sentence; `None` when the visitor hung up.
pub(super) async fn read(source: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<Sentence>> {
    let mut sentence = Sentence::default();
    loop {
        let length = match read_length(source).await {
            Ok(length) => length,
            Err(cause) if cause.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            Err(cause) => return Err(cause),
        };
        match (length, sentence.0.is_empty()) {
            (0, true) => {}
            (0, false) => return Ok(Some(sentence)),
            (length, _) if length > LONGEST => return Err(io::ErrorKind::InvalidData.into()),
            (length, _) => {
                let mut word = vec![0; length];
                source.read_exact(&mut word).await?;
                sentence.push(String::from_utf8_lossy(&word).into_owned());
            }
        }
    }
}

async fn read_length(source: &mut (impl AsyncRead + Unpin)) -> io::Result<usize> {
    let first = usize::from(source.read_u8().await?);
    let (mut length, more) = match first {
        0..=0x7f => (first, 0),
        0x80..=0xbf => (first & 0x3f, 1),
        0xc0..=0xdf => (first & 0x1f, 2),
        0xe0..=0xef => (first & 0x0f, 3),
        0xf0 => (0, 4),
        _ => return Err(io::ErrorKind::InvalidData.into()),
    };
    for _ in 0..more {
        length = length * 256 + usize::from(source.read_u8().await?);
    }
    Ok(length)
}

/// Sends a sentence.
pub(super) async fn write(
    sink: &mut (impl AsyncWrite + Unpin),
    sentence: &Sentence,
) -> io::Result<()> {
    let mut bytes = Vec::new();
    for word in sentence.words() {
        // What the pretend world says is short: names, numbers, addresses, and the script of a guard.
        match u32::try_from(word.len()) {
            Ok(length @ 0..=0x7f) => bytes.extend(&length.to_be_bytes()[3..]),
            Ok(length @ 0x80..=0x3fff) => bytes.extend(&(0x8000 | length).to_be_bytes()[2..]),
            Ok(length @ 0x4000..=0xffff) => {
                bytes.extend(&(0x00c0_0000 | length).to_be_bytes()[1..]);
            }
            Ok(_) | Err(_) => return Err(io::ErrorKind::InvalidInput.into()),
        }
        bytes.extend(word.as_bytes());
    }
    bytes.push(0);
    sink.write_all(&bytes).await?;
    sink.flush().await
}

const LONGEST: usize = 1 << 16;
