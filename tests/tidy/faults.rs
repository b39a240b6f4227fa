//! Which test stands for which fault of the catalogue.

use std::collections::BTreeMap;

use crate::source::Source;

/// The tests that name each id, in their name (`…_c1_…`) or their doc comment (`C1: …`).
pub fn tests_of<'a>(ids: &[&'a str], sources: &[Source]) -> BTreeMap<&'a str, Vec<String>> {
    let mut found: BTreeMap<&str, Vec<String>> = ids.iter().map(|id| (*id, vec![])).collect();
    for source in sources
        .iter()
        .filter(|source| !source.path.starts_with("tests/tidy"))
    {
        for test in tests(&source.text) {
            for (id, tests) in &mut found {
                if test.names(id) {
                    tests.push(format!("{} in {}", test.name, source.path));
                }
            }
        }
    }
    found
}

struct Test<'a> {
    name: &'a str,
    doc: String,
}

impl Test<'_> {
    fn names(&self, id: &str) -> bool {
        let lowercase = id.to_lowercase();
        self.name.split('_').any(|part| part == lowercase)
            || self
                .doc
                .split(|c: char| !c.is_alphanumeric())
                .any(|word| word == id)
    }
}

/// Functions below a `#[test]`, `#[tokio::test]` or the like, with the doc comment above them.
fn tests(text: &str) -> Vec<Test<'_>> {
    let mut found = Vec::new();
    let (mut doc, mut is_test) = (String::new(), false);
    for line in text.lines().map(str::trim) {
        if let Some(comment) = line.strip_prefix("///") {
            doc.push_str(comment);
            doc.push('\n');
        } else if line.starts_with("#[") {
            is_test |= line.contains("test]") || line.contains("test(");
        } else {
            if let Some((_, after)) = line.split_once("fn ").filter(|_| is_test) {
                let end = after
                    .find(|c| !crate::source::is_word(c))
                    .unwrap_or(after.len());
                let doc = std::mem::take(&mut doc);
                found.push(Test {
                    name: &after[..end],
                    doc,
                });
            }
            (doc, is_test) = (String::new(), false);
        }
    }
    found
}

#[cfg(test)]
mod unit {
    use super::*;

    #[test]
    fn a_fault_is_found_in_a_name_or_a_doc_of_a_test() {
        let text = "
            /// C1: the same callback twice.
            #[tokio::test]
            async fn credits_once() {}
            #[test]
            fn b7_counts_gigawords() {}
            /// Not a test: C2.
            fn helper() {}
            /// C10 is not C1.
            #[test]
            fn other() {}";
        let found = tests_of(
            &["B7", "C1", "C10", "C2"],
            &[Source::new("cloud/src/a.rs", text)],
        );
        let count: Vec<usize> = found.values().map(Vec::len).collect();
        assert_eq!(count, [1, 2, 1, 0]);
    }
}
