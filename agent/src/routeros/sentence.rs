//! Commands and replies: what the words of a sentence mean.

use super::codec::{CodecError, Words, write_sentence};

/// A command to a router.
#[derive(Clone)]
pub struct Command {
    words: Words,
}

impl Command {
    /// A command by its path, such as `/ppp/active/print`.
    pub fn new(path: &str) -> Command {
        Command {
            words: vec![path.into()],
        }
    }

    /// `=name=value`; a value may be any octets.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl AsRef<[u8]>) -> Command {
        self.words.push(pair(b"=", name, value.as_ref()));
        self
    }

    /// Asks for these properties only: without it a router computes all of them.
    #[must_use]
    pub fn only(self, properties: &str) -> Command {
        self.with(".proplist", properties)
    }

    /// Only rows whose property is this.
    #[must_use]
    pub fn having(mut self, name: &str, value: impl AsRef<[u8]>) -> Command {
        self.words.push(pair(b"?", name, value.as_ref()));
        self
    }

    /// Of so many [`having`](Command::having) one is enough.
    #[must_use]
    pub fn any_of(mut self, count: usize) -> Command {
        if count > 1 {
            self.words
                .push(format!("?#{}", "|".repeat(count - 1)).into_bytes());
        }
        self
    }

    /// Appends the sentence that asks it under `tag`.
    pub fn encode(&self, tag: u32, out: &mut Vec<u8>) {
        let tag = format!(".tag={tag}");
        let words = self.words.iter().map(Vec::as_slice);
        write_sentence(out, words.chain([tag.as_bytes()]));
    }

    /// Its path.
    pub fn path(&self) -> String {
        let path = self.words.first().map(Vec::as_slice);
        String::from_utf8_lossy(path.unwrap_or_default()).into_owned()
    }
}

/// The path alone: a login's words hold a password.
impl std::fmt::Debug for Command {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Command({} …)", self.path())
    }
}

fn pair(sign: &[u8], name: &str, value: &[u8]) -> Vec<u8> {
    [sign, name.as_bytes(), b"=", value].concat()
}

/// The properties of a row, or what a `!done` brings along. Octets as they came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Row(Vec<(Vec<u8>, Vec<u8>)>);

impl Row {
    /// A property, octet for octet.
    pub fn octets(&self, name: &str) -> Option<&[u8]> {
        let held = self.0.iter().find(|(held, _)| held == name.as_bytes());
        held.map(|(_, value)| value.as_slice())
    }

    /// A property that is text; `None` also where it is not.
    pub fn text(&self, name: &str) -> Option<&str> {
        str::from_utf8(self.octets(name)?).ok()
    }

    /// A whole number.
    pub fn number(&self, name: &str) -> Option<u64> {
        self.text(name)?.parse().ok()
    }

    /// Yes or no; both spellings of RouterOS.
    pub fn flag(&self, name: &str) -> Option<bool> {
        match self.text(name)? {
            "true" | "yes" => Some(true),
            "false" | "no" => Some(false),
            _ => None, // text from a router
        }
    }

    /// All properties that are text.
    pub fn texts(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().filter_map(|(name, value)| {
            Some((str::from_utf8(name).ok()?, str::from_utf8(value).ok()?))
        })
    }

    /// All properties whose name is text, octet for octet.
    pub fn all(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.0
            .iter()
            .filter_map(|(name, value)| Some((str::from_utf8(name).ok()?, value.as_slice())))
    }

    /// How many octets it takes.
    pub fn size(&self) -> usize {
        let lengths = self.0.iter().map(|(name, value)| name.len() + value.len());
        lengths.sum()
    }
}

/// Why a command was refused.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trap {
    /// `=category=`, where the router gives one (manual, "API": 0 to 7).
    pub category: Option<u8>,
    /// Its own words.
    pub message: String,
}

impl Trap {
    /// Whether the router has no such menu: a package that is not installed.
    pub fn is_missing_command(&self) -> bool {
        self.message.contains("no such command")
    }

    /// Whether what was named is not there (any more).
    pub fn is_missing_item(&self) -> bool {
        self.message.contains("no such item")
    }
}

/// One reply sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// `!re`: a row.
    Row(Row),
    /// `!empty`: there are no rows (7.18 and later); a `!done` follows.
    Empty,
    /// `!done`: the command is finished.
    Done(Row),
    /// `!trap`: it was refused; a `!done` follows.
    Trap(Trap),
    /// `!fatal`: the router closes the connection, for this reason.
    Fatal(String),
}

/// Reads a reply and the tag of the command that it answers.
///
/// Reads untrusted words: every input gives `Ok` or `Err`, none panics.
pub fn read(words: &[Vec<u8>]) -> Result<(Option<u32>, Reply), CodecError> {
    let (kind, words) = words.split_first().ok_or(CodecError::NoReply)?;
    let mut row = Row::default();
    let mut tag = None;
    let mut bare = Vec::new();
    for word in words {
        if let Some(number) = word.strip_prefix(b".tag=") {
            tag = str::from_utf8(number)
                .ok()
                .and_then(|text| text.parse().ok());
        } else if let Some((name, value)) = property(word) {
            row.0.push((name.to_vec(), value.to_vec()));
        } else {
            bare.push(String::from_utf8_lossy(word).into_owned());
        }
    }
    let reply = match kind.as_slice() {
        b"!re" => Reply::Row(row),
        b"!empty" => Reply::Empty,
        b"!done" => Reply::Done(row),
        b"!trap" => Reply::Trap(Trap {
            category: row.number("category").and_then(|n| u8::try_from(n).ok()),
            message: lossy(row.octets("message").unwrap_or_default()),
        }),
        b"!fatal" => Reply::Fatal(match row.octets("message") {
            Some(message) => lossy(message),
            None => bare.join(" "),
        }),
        _ => return Err(CodecError::NoReply), // octets from the network
    };
    Ok((tag, reply))
}

/// `=name=value`: a value may hold `=` signs, a name may not.
fn property(word: &[u8]) -> Option<(&[u8], &[u8])> {
    let word = word.strip_prefix(b"=")?;
    let at = word.iter().position(|octet| *octet == b'=')?;
    let (name, value) = word.split_at(at);
    Some((name, value.strip_prefix(b"=")?))
}

/// A router's own words, cut where they become a novel.
fn lossy(octets: &[u8]) -> String {
    let text = String::from_utf8_lossy(octets);
    text.chars().filter(|c| !c.is_control()).take(200).collect()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use proptest::prelude::*;

    use super::*;
    use crate::routeros::codec::Decoder;

    fn reply(words: &[&str]) -> Result<(Option<u32>, Reply), CodecError> {
        let words: Vec<Vec<u8>> = words.iter().map(|word| word.as_bytes().to_vec()).collect();
        read(&words)
    }

    #[test]
    fn a_row_keeps_equal_signs_and_empty_values() {
        let (tag, row) =
            reply(&["!re", "=comment=a=b", "=name=", ".tag=7", "=radius=true"]).unwrap();
        let Reply::Row(row) = row else {
            panic!("a row");
        };
        assert_eq!(tag, Some(7));
        assert_eq!(row.text("comment"), Some("a=b"));
        assert_eq!(row.text("name"), Some(""));
        assert_eq!(row.flag("radius"), Some(true));
        assert_eq!(row.text("none"), None);
    }

    #[test]
    fn refusals_and_goodbyes_keep_their_words() {
        let trap = reply(&[
            "!trap",
            "=category=0",
            "=message=no such command prefix",
            ".tag=1",
        ]);
        let (_, Reply::Trap(trap)) = trap.unwrap() else {
            panic!("a trap");
        };
        assert_eq!(trap.category, Some(0));
        assert!(trap.is_missing_command());
        assert_eq!(
            reply(&["!fatal", "session terminated on request"]).unwrap(),
            (None, Reply::Fatal("session terminated on request".into()))
        );
        assert_eq!(reply(&["/login"]), Err(CodecError::NoReply));
        assert_eq!(reply(&[]), Err(CodecError::NoReply));
    }

    #[test]
    fn a_command_never_shows_its_words() {
        let login = Command::new("/login").with("password", "hush");
        assert_eq!(format!("{login:?}"), "Command(/login …)");
        let mut bytes = Vec::new();
        login.encode(3, &mut bytes);
        assert_eq!(bytes, b"\x06/login\x0e=password=hush\x06.tag=3\0");
    }

    /// Replies as a router sends them, then mutated: bits turned, octets cut, doubled, strewn in.
    fn stream() -> Vec<u8> {
        let mut bytes = Vec::new();
        let sentences: [&[&str]; 5] = [
            &["!re", "=.id=*81", "=name=demo001", "=radius=true", ".tag=1"],
            &["!done", ".tag=1"],
            &["!empty", ".tag=2"],
            &["!trap", "=category=4", "=message=failure: x", ".tag=2"],
            &["!fatal", "not logged in"],
        ];
        for sentence in sentences {
            write_sentence(&mut bytes, sentence.iter().map(|word| word.as_bytes()));
        }
        bytes
    }

    proptest! {
        /// V14: whatever a router, or who poses as one, sends: no panic, bounded memory, an answer.
        #[test]
        fn mutated_bytes_are_read_or_refused(
            turns in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..12),
            strewn in prop::collection::vec(any::<u8>(), 0..40),
            at: prop::sample::Index,
        ) {
            let mut bytes = stream();
            for (index, octet) in turns {
                let place = index.index(bytes.len());
                bytes[place] ^= octet;
            }
            let place = at.index(bytes.len());
            bytes.splice(place..place, strewn);
            let mut decoder = Decoder::default();
            decoder.push(&bytes);
            while let Ok(Some(words)) = decoder.sentence() {
                let _read_or_refused = read(&words);
            }
        }
    }
}
