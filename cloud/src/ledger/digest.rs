//! The one written form of an entry and of an audit line, and the chain of digests over them.

use easyisp_shared::time::Timestamp;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

/// What a row of the chain says about everything up to it.
pub type Digest = [u8; 32];

/// The digest before the first row.
pub const BEGINNING: Digest = [0; 32];

/// The digest of the row with this number: SHA-256 over the digest before it, the number and the content.
pub fn link(before: &Digest, sequence: i64, content: &Content) -> Digest {
    let mut hash = Sha256::new();
    hash.update(before);
    hash.update(sequence.to_be_bytes());
    hash.update(&content.0);
    hash.finalize().into()
}

/// Field after field, each with its length before it, so that no two contents are written alike.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Content(Vec<u8>);

impl Content {
    /// Begins the content of a row of this kind.
    pub fn new(kind: &str) -> Content {
        let mut content = Content(Vec::with_capacity(256));
        content.text(kind);
        content
    }

    /// Adds a text.
    pub fn text(&mut self, text: &str) {
        self.field(Some(text.as_bytes()));
    }

    /// Adds a text that may be absent.
    pub fn maybe(&mut self, text: Option<&str>) {
        self.field(text.map(str::as_bytes));
    }

    /// Adds an id that may be absent.
    pub fn id(&mut self, id: Option<Uuid>) {
        self.field(id.as_ref().map(|id| id.as_bytes().as_slice()));
    }

    /// Adds an instant.
    pub fn at(&mut self, at: Timestamp) {
        self.number(at.micros());
    }

    /// Adds a number.
    pub fn number(&mut self, number: i64) {
        self.field(Some(&number.to_be_bytes()));
    }

    /// Adds the digest of what was said in words.
    pub fn words(&mut self, words: &Digest) {
        self.field(Some(words));
    }

    /// SHA-256 of the salt and the content: of words, whom nobody can guess who has the digest alone.
    pub fn salted(&self, salt: &[u8]) -> Digest {
        let mut hash = Sha256::new();
        hash.update(salt);
        hash.update(&self.0);
        hash.finalize().into()
    }

    /// SHA-256 of the content alone, wherever it stands.
    pub fn digest(&self) -> Digest {
        Sha256::digest(&self.0).into()
    }

    fn field(&mut self, field: Option<&[u8]>) {
        match field {
            None => self.0.push(0),
            Some(bytes) => {
                self.0.push(1);
                self.0.extend((bytes.len() as u64).to_be_bytes());
                self.0.extend(bytes);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_that_run_together_are_told_apart() {
        let (mut one, mut other) = (Content::new("ENTRY"), Content::new("ENTRY"));
        one.text("ab");
        one.text("c");
        other.text("a");
        other.text("bc");
        assert_ne!(link(&BEGINNING, 1, &one), link(&BEGINNING, 1, &other));

        let (mut absent, mut empty) = (Content::new("ENTRY"), Content::new("ENTRY"));
        absent.maybe(None);
        empty.maybe(Some(""));
        assert_ne!(absent, empty);
    }

    #[test]
    fn a_digest_depends_on_its_place() {
        let content = Content::new("ENTRY");
        assert_ne!(link(&BEGINNING, 1, &content), link(&BEGINNING, 2, &content));
        assert_ne!(link(&BEGINNING, 1, &content), link(&[1; 32], 1, &content));
    }
}
