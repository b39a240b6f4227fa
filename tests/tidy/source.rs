//! Source files as the checks see them: code without comments and text, and the text by itself.

use std::fs;
use std::path::Path;

/// One Rust file.
pub struct Source {
    /// From the top of the tree, with `/`.
    pub path: String,
    /// As it stands in the file.
    pub text: String,
    /// The same length and lines, with comments, the insides of literals, and test modules blanked.
    pub code: String,
    /// String literals outside test modules, with their line.
    pub literals: Vec<(usize, String)>,
}

impl Source {
    pub fn new(path: &str, text: &str) -> Source {
        let (mut code, found) = blank(text);
        let tests = if is_test_file(path) {
            vec![(0, code.len())]
        } else {
            test_modules(&code)
        };
        let in_tests = |at: usize| tests.iter().any(|(from, to)| (*from..*to).contains(&at));
        let literals = found
            .into_iter()
            .filter(|(at, _)| !in_tests(*at))
            .map(|(at, literal)| (line_of(text, at), literal))
            .collect();
        for (from, to) in &tests {
            let blanked: String = code[*from..*to].chars().map(blank_char).collect();
            code.replace_range(*from..*to, &blanked);
        }
        Source {
            path: path.to_owned(),
            text: text.to_owned(),
            code,
            literals,
        }
    }

    /// Every `a::b::c` and `name` of the code that is followed by `::`, with its line.
    pub fn has_path_into(&self, krate: &str) -> Option<usize> {
        let found = self.code.match_indices(krate).find(|(at, _)| {
            let before = self.code[..*at].chars().next_back();
            let after = &self.code[at + krate.len()..];
            !before.is_some_and(|c| is_word(c) || c == ':')
                && (after.starts_with("::") || after.starts_with([';', ' ']) && self.is_use(*at))
        });
        found.map(|(at, _)| line_of(&self.code, at))
    }

    fn is_use(&self, at: usize) -> bool {
        self.code[..at].trim_end().ends_with("use")
    }
}

/// Every file below `folders` of the tree with one of these endings.
pub fn files(root: &Path, folders: &[&str], ending: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for folder in folders {
        collect(root, &root.join(folder), ending, &mut found);
    }
    found.sort();
    found
}

pub fn rust(root: &Path) -> Vec<Source> {
    let all = files(root, &["cloud", "agent", "shared", "tests"], ".rs");
    all.iter()
        .map(|(path, text)| Source::new(path, text))
        .collect()
}

pub fn line_of(text: &str, at: usize) -> usize {
    text[..at].matches('\n').count() + 1
}

pub fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn collect(root: &Path, folder: &Path, ending: &str, found: &mut Vec<(String, String)>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        let name = entry.file_name();
        if path.is_dir() {
            if name != "target" && name != "node_modules" {
                collect(root, &path, ending, found);
            }
        } else if name.to_string_lossy().ends_with(ending) {
            let relative = path.strip_prefix(root).expect("below the root");
            let text = fs::read_to_string(&path).expect("a source file is readable UTF-8");
            found.push((relative.to_string_lossy().into_owned(), text));
        }
    }
}

fn is_test_file(path: &str) -> bool {
    let test = |part: &str| part == "tests" || part == "tests.rs";
    path.split('/').skip(1).any(test)
}

fn blank_char(c: char) -> char {
    if c == '\n' { '\n' } else { ' ' }
}

/// Blanks comments and the insides of literals; returns the string literals and where they start.
fn blank(text: &str) -> (String, Vec<(usize, String)>) {
    let bytes = text.as_bytes();
    let mut code = bytes.to_vec();
    let mut literals = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let rest = &bytes[at..];
        let before = at.checked_sub(1).map_or(b' ', |before| bytes[before]);
        let end = if rest.starts_with(b"//") {
            at + rest.iter().position(|b| *b == b'\n').unwrap_or(rest.len())
        } else if rest.starts_with(b"/*") {
            at + block_comment(rest)
        } else if let Some(hashes) = raw_string(rest, before) {
            let open = at + hashes + 2 + usize::from(rest[0] == b'b');
            let close = format!("\"{}", "#".repeat(hashes));
            let end = open + find(&bytes[open..], close.as_bytes());
            literals.push((at, text[open..end].to_owned()));
            end + close.len()
        } else if rest[0] == b'"' {
            let end = at + string(rest);
            literals.push((at, text[at + 1..end - 1].to_owned()));
            end
        } else if rest[0] == b'\'' && character(rest) > 1 {
            at + character(rest)
        } else {
            at += 1;
            continue;
        };
        for byte in &mut code[at..end] {
            if *byte != b'\n' {
                *byte = b' ';
            }
        }
        at = end;
    }
    (String::from_utf8_lossy(&code).into_owned(), literals)
}

fn find(bytes: &[u8], what: &[u8]) -> usize {
    let found = bytes.windows(what.len()).position(|window| window == what);
    found.unwrap_or(bytes.len().saturating_sub(what.len()))
}

fn block_comment(rest: &[u8]) -> usize {
    let (mut at, mut depth) = (2, 1);
    while at < rest.len() && depth > 0 {
        match &rest[at..] {
            [b'/', b'*', ..] => (at, depth) = (at + 2, depth + 1),
            [b'*', b'/', ..] => (at, depth) = (at + 2, depth - 1),
            _ => at += 1,
        }
    }
    at
}

/// The number of hashes of `r"`, `r#"`, `br"`… at the start.
fn raw_string(rest: &[u8], before: u8) -> Option<usize> {
    let after = rest
        .strip_prefix(b"br")
        .or_else(|| rest.strip_prefix(b"r"))?;
    let hashes = after.iter().take_while(|b| **b == b'#').count();
    let in_word = is_word(char::from(before));
    (!in_word && after.get(hashes) == Some(&b'"')).then_some(hashes)
}

fn string(rest: &[u8]) -> usize {
    let mut at = 1;
    while at < rest.len() {
        match rest[at] {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    rest.len()
}

/// `'a'` and `'\n'` are characters, `'a` alone a lifetime.
fn character(rest: &[u8]) -> usize {
    match rest {
        [_, b'\\', _, tail @ ..] => {
            3 + tail
                .iter()
                .position(|b| *b == b'\'')
                .map_or(0, |close| close + 1)
        }
        [_, first, ..] => {
            let width = match first {
                0..0x80 => 1,
                0x80..0xe0 => 2,
                0xe0..0xf0 => 3,
                _ => 4,
            };
            if rest.get(1 + width) == Some(&b'\'') {
                2 + width
            } else {
                1
            }
        }
        _ => 1,
    }
}

/// The spans of `#[cfg(test)] mod name { … }`.
fn test_modules(code: &str) -> Vec<(usize, usize)> {
    let mut spans = Vec::new();
    for (at, _) in code.match_indices("#[cfg(test)]") {
        let item = &code[at..];
        let (Some(open), semicolon) = (item.find('{'), item.find(';')) else {
            continue;
        };
        if semicolon.is_some_and(|semicolon| semicolon < open) {
            continue;
        }
        let mut depth = 0;
        let close = item[open..].char_indices().find(|(_, c)| {
            match c {
                '{' => depth += 1,
                '}' => depth -= 1,
                _ => {}
            }
            depth == 0
        });
        spans.push((at, at + open + close.map_or(0, |(close, _)| close + 1)));
    }
    spans
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_literals_are_no_code() {
        let text = "let a = \"x \\\" // y\"; // now()\nlet b: &'a str = r#\"q\"z\"#; let c = '\"';";
        let source = Source::new("cloud/src/a.rs", text);
        assert!(
            !source.code.contains("now") && !source.code.contains('z'),
            "{}",
            source.code
        );
        assert!(source.code.contains("let b: &'a str =") && source.code.contains("let c ="));
        let literals: Vec<_> = source
            .literals
            .iter()
            .map(|(line, text)| (*line, text.as_str()))
            .collect();
        assert_eq!(literals, [(1, "x \\\" // y"), (2, "q\"z")]);
    }

    #[test]
    fn test_modules_are_left_out() {
        let text = "fn a() {}\n#[cfg(test)]\nmod tests { fn b() { c(\"d\") } }\nfn e() {}";
        let source = Source::new("cloud/src/a.rs", text);
        assert!(source.code.contains("fn a") && source.code.contains("fn e"));
        assert!(!source.code.contains("fn b") && source.literals.is_empty());
    }
}
