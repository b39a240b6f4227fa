//! Rows out of a dump of MySQL, MariaDB or PostgreSQL: `insert` statements and `COPY … FROM stdin`.

use std::collections::HashMap;

use super::super::FileError;

/// One row of a table, by its columns' names, and the line on which its statement begins.
pub type Record = (u32, HashMap<String, String>);

/// Whether a text, in lower case, is a dump that has the tables of a RADIUS server.
pub fn looks_like_dump(lower: &str) -> bool {
    let inserts = lower.contains("insert ") && lower.contains(" into ");
    (inserts || lower.contains("\ncopy ") || lower.starts_with("copy "))
        && TABLES.iter().any(|(table, _)| lower.contains(table))
        || lower.contains("create table") && lower.contains("radcheck")
}

/// The tables that are read, and their columns where a statement does not name them.
const TABLES: [(&str, &[&str]); 5] = [
    ("radcheck", &["id", "username", "attribute", "op", "value"]),
    ("radreply", &["id", "username", "attribute", "op", "value"]),
    ("radusergroup", &["username", "groupname", "priority"]),
    ("usergroup", &["username", "groupname", "priority"]),
    (
        "userinfo",
        &["id", "username", "firstname", "lastname", "email"],
    ),
];

/// The rows of every table that is read, by table. At most `most` of each.
pub fn read(text: &str, most: usize) -> Result<HashMap<&'static str, Vec<Record>>, FileError> {
    let mut found: HashMap<&'static str, Vec<Record>> = HashMap::new();
    let mut declared: HashMap<&'static str, Vec<String>> = HashMap::new();
    let mut reader = Reader {
        text,
        at: 0,
        counted: (0, 1),
        closes: None,
    };
    while let Some(statement) = reader.statement() {
        let line = reader.line_of(statement.begins);
        let known = statement.table.as_deref().and_then(|name| {
            let mut tables = TABLES.iter();
            tables.find(|(table, _)| *table == name)
        });
        let Some((table, default)) = known else {
            reader.skip(&statement);
            continue;
        };
        match statement.kind {
            Kind::Create => {
                declared.insert(table, reader.declared());
            }
            Kind::Insert | Kind::Copy => {
                let mut columns = reader.columns();
                if columns.is_empty() {
                    columns = declared
                        .get(table)
                        .cloned()
                        .unwrap_or_else(|| default.iter().map(|name| (*name).to_owned()).collect());
                }
                let rows = match statement.kind {
                    Kind::Copy => reader.copied(),
                    Kind::Insert | Kind::Create => reader.inserted(),
                };
                let list = found.entry(table).or_default();
                for row in rows {
                    if list.len() == most {
                        return Err(FileError::new(format!(
                            "has more than {most} rows of {table}; send it in parts"
                        )));
                    }
                    let row = columns.iter().cloned().zip(row);
                    let row = row.filter_map(|(name, value)| Some((name, value?)));
                    list.push((line, row.collect()));
                }
            }
        }
    }
    Ok(found)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Create,
    Insert,
    Copy,
}

struct Statement {
    kind: Kind,
    table: Option<String>,
    begins: usize,
}

/// Walks a text. Every step moves on or stops, whatever the text.
struct Reader<'a> {
    text: &'a str,
    at: usize,
    /// Up to where lines were counted, and which line that is.
    counted: (usize, u32),
    /// From where the end of a comment was looked for, and where it was found: looked for again only behind it.
    closes: Option<(usize, Option<usize>)>,
}

impl<'a> Reader<'a> {
    /// The next statement of ours; what stands before it is passed over, comments and texts as such.
    fn statement(&mut self) -> Option<Statement> {
        loop {
            self.pass_blank();
            let rest = self.rest();
            if rest.is_empty() {
                return None;
            }
            let begins = self.at;
            for (words, kind) in [
                (&["create", "table"][..], Kind::Create),
                (&["insert", "into"], Kind::Insert),
                (&["insert", "ignore", "into"], Kind::Insert),
                (&["replace", "into"], Kind::Insert),
                (&["copy"], Kind::Copy),
            ] {
                if self.pass_words(words) {
                    self.pass_words(&["if", "not", "exists"]);
                    let table = self.name();
                    return Some(Statement {
                        kind,
                        table,
                        begins,
                    });
                }
            }
            self.pass_statement();
        }
    }

    /// Passes over the rest of a statement that is none of ours.
    fn skip(&mut self, statement: &Statement) {
        match statement.kind {
            Kind::Copy => {
                self.pass_statement();
                self.copied();
            }
            Kind::Create | Kind::Insert => self.pass_statement(),
        }
    }

    /// The names in brackets before the rows; none when there are none.
    fn columns(&mut self) -> Vec<String> {
        self.pass_blank();
        if !self.pass('(') {
            return Vec::new();
        }
        let mut names = Vec::new();
        while let Some(name) = self.name() {
            names.push(name);
            self.pass_blank();
            if !self.pass(',') {
                break;
            }
        }
        self.pass_blank();
        self.pass(')');
        names
    }

    /// The names of a table's columns as it is made.
    fn declared(&mut self) -> Vec<String> {
        const NO_COLUMNS: [&str; 7] = [
            "primary",
            "key",
            "unique",
            "constraint",
            "foreign",
            "index",
            "check",
        ];
        self.pass_blank();
        let mut names = Vec::new();
        if !self.pass('(') {
            return names;
        }
        loop {
            self.pass_blank();
            match self.name() {
                Some(name) if !NO_COLUMNS.contains(&name.as_str()) => names.push(name),
                Some(_) | None => {}
            }
            if !self.pass_until_comma() {
                return names;
            }
        }
    }

    /// The rows after `values`.
    fn inserted(&mut self) -> Vec<Vec<Option<String>>> {
        let mut rows = Vec::new();
        self.pass_blank();
        if !self.pass_words(&["values"]) && !self.pass_words(&["value"]) {
            self.pass_statement();
            return rows;
        }
        loop {
            self.pass_blank();
            if !self.pass('(') {
                break;
            }
            let mut row = Vec::new();
            loop {
                self.pass_blank();
                row.push(self.value());
                self.pass_blank();
                if !self.pass(',') {
                    break;
                }
            }
            self.pass(')');
            rows.push(row);
            self.pass_blank();
            if !self.pass(',') {
                break;
            }
        }
        self.pass_statement();
        rows
    }

    /// The lines after `FROM stdin;` up to `\.`.
    fn copied(&mut self) -> Vec<Vec<Option<String>>> {
        let end = self
            .rest()
            .find('\n')
            .map_or(self.text.len(), |n| self.at + n + 1);
        self.at = end;
        let mut rows = Vec::new();
        while !self.rest().is_empty() {
            let line = self.rest().split('\n').next().unwrap_or_default();
            self.at = (self.at + line.len() + 1).min(self.text.len());
            let line = line.trim_end_matches('\r');
            if line == "\\." {
                break;
            }
            let cells = line.split('\t').map(|cell| match cell {
                "\\N" => None,
                cell => Some(unescaped(cell)),
            });
            rows.push(cells.collect());
        }
        rows
    }

    /// One value: a text in quotes, or a word; `None` for null.
    fn value(&mut self) -> Option<String> {
        let prefixed = ["N'", "E'", "n'", "e'"];
        if prefixed
            .iter()
            .any(|prefix| self.rest().starts_with(prefix))
        {
            self.at += 1;
        }
        if self.rest().starts_with('\'') {
            return Some(self.quoted('\''));
        }
        let rest = self.rest();
        let end = rest.find([',', ')', ';']).unwrap_or(rest.len());
        let word = rest[..end].trim();
        self.at += end;
        (!word.eq_ignore_ascii_case("null")).then(|| word.to_owned())
    }

    /// A text up to its closing quote: doubled quotes and backslashes undone.
    fn quoted(&mut self, quote: char) -> String {
        self.at += quote.len_utf8();
        let mut text = String::new();
        while let Some(letter) = self.rest().chars().next() {
            self.at += letter.len_utf8();
            if letter == quote {
                if !self.pass(quote) {
                    return text;
                }
                text.push(quote);
            } else if letter == '\\' && quote == '\'' {
                if let Some(next) = self.rest().chars().next() {
                    self.at += next.len_utf8();
                    text.push(plain(next));
                }
            } else {
                text.push(letter);
            }
        }
        text
    }

    /// A name, in quotes of its kind or not, without the schema before it; in lower case.
    fn name(&mut self) -> Option<String> {
        self.pass_blank();
        let mut name;
        loop {
            let first = self.rest().chars().next()?;
            name = match first {
                '`' | '"' => self.quoted(first),
                letter if letter.is_alphanumeric() || letter == '_' => {
                    let rest = self.rest();
                    let is_in = |c: char| c.is_alphanumeric() || c == '_';
                    let end = rest.find(|c| !is_in(c)).unwrap_or(rest.len());
                    self.at += end;
                    rest[..end].to_owned()
                }
                _ => return None,
            };
            if !self.pass('.') {
                return Some(name.to_lowercase());
            }
        }
    }

    /// Passes over spaces and comments.
    fn pass_blank(&mut self) {
        loop {
            let rest = self.rest();
            let trimmed = rest.trim_start();
            self.at += rest.len() - trimmed.len();
            let end = if trimmed.starts_with("--") || trimmed.starts_with('#') {
                trimmed.find('\n').unwrap_or(trimmed.len())
            } else if trimmed.starts_with("/*") {
                self.comment_closes().map_or(trimmed.len(), |end| end + 2)
            } else {
                return;
            };
            self.at += end;
        }
    }

    /// How far on the next end of a comment is.
    fn comment_closes(&mut self) -> Option<usize> {
        let at = self.at;
        let known = self
            .closes
            .filter(|(from, found)| *from <= at && found.is_none_or(|found| at <= found));
        let (from, found) =
            known.unwrap_or_else(|| (at, self.rest().find("*/").map(|end| at + end)));
        self.closes = Some((from, found));
        found.map(|found| found - at)
    }

    /// Passes over everything up to the end of a statement.
    fn pass_statement(&mut self) {
        while let Some(letter) = self.rest().chars().next() {
            match letter {
                '\'' | '"' | '`' => {
                    self.quoted(letter);
                }
                ';' => {
                    self.at += 1;
                    return;
                }
                other => self.at += other.len_utf8(),
            }
        }
    }

    /// Passes over everything up to a comma of this bracket; `false` at the bracket's end.
    fn pass_until_comma(&mut self) -> bool {
        let mut depth = 0_u32;
        while let Some(letter) = self.rest().chars().next() {
            match letter {
                '\'' | '"' | '`' => {
                    self.quoted(letter);
                    continue;
                }
                '(' => depth += 1,
                ')' if depth == 0 => {
                    self.pass_statement();
                    return false;
                }
                ')' => depth -= 1,
                ',' if depth == 0 => {
                    self.at += 1;
                    return true;
                }
                _ => {}
            }
            self.at += letter.len_utf8();
        }
        false
    }

    /// Passes over these words, in any case; nothing when they do not stand there.
    fn pass_words(&mut self, words: &[&str]) -> bool {
        let before = self.at;
        for word in words {
            self.pass_blank();
            let rest = self.rest();
            let stands = rest
                .get(..word.len())
                .is_some_and(|t| t.eq_ignore_ascii_case(word))
                && !rest[word.len()..].starts_with(|c: char| c.is_alphanumeric() || c == '_');
            if !stands {
                self.at = before;
                return false;
            }
            self.at += word.len();
        }
        true
    }

    fn pass(&mut self, letter: char) -> bool {
        let there = self.rest().starts_with(letter);
        if there {
            self.at += letter.len_utf8();
        }
        there
    }

    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    /// The line of a place that is not before the one asked for last.
    fn line_of(&mut self, at: usize) -> u32 {
        let (from, line) = self.counted;
        let between = self.text.get(from..at).unwrap_or_default();
        let more = between.bytes().filter(|byte| *byte == b'\n').count();
        let line = line.saturating_add(u32::try_from(more).unwrap_or(u32::MAX));
        self.counted = (at.max(from), line);
        line
    }
}

/// What a letter after a backslash stands for.
fn plain(letter: char) -> char {
    match letter {
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        other => other,
    }
}

fn unescaped(cell: &str) -> String {
    let mut text = String::new();
    let mut letters = cell.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => text.extend(letters.next().map(plain)),
            other => text.push(other),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn a_dump_of_mysql_is_read_with_its_quotes() {
        let dump = "-- MySQL dump\n/*!40101 SET NAMES utf8 */;\nCREATE TABLE `radcheck` (\n  `id` int(11) NOT NULL,\n  \
                    `username` varchar(64) DEFAULT '',\n  `attribute` varchar(64),\n  `op` char(2),\n  `value` \
                    varchar(253),\n  PRIMARY KEY (`id`),\n  KEY `username` (`username`(32))\n) ENGINE=InnoDB;\n\
                    INSERT INTO `other` VALUES (1,'; INSERT INTO radcheck');\n\
                    INSERT INTO `radcheck` VALUES (1,'jane','Cleartext-Password',':=','it''s \\'x\\', (y)'),\n\
                    (2,'jo','Expiration',':=',NULL);\n";
        let found = read(dump, 10).unwrap();
        let rows = &found["radcheck"];
        assert_eq!(rows.len(), 2);
        assert_eq!(rows[0].0, 13);
        assert_eq!(rows[0].1["value"], "it's 'x', (y)");
        assert_eq!(rows[1].1["username"], "jo");
        assert_eq!(rows[1].1.get("value"), None);
    }

    #[test]
    fn a_dump_of_postgresql_is_read() {
        let dump = "COPY public.radusergroup (username, groupname, priority) FROM stdin;\n\
                    jane\tHome\\t10\t0\njo\t\\N\t1\n\\.\n\nCOPY public.nas (id) FROM stdin;\n1\n\\.\n\
                    INSERT INTO public.radcheck (username, value, attribute, op) VALUES ('a', 'b', 'c', ':=');";
        let found = read(dump, 10).unwrap();
        assert_eq!(found["radusergroup"][0].1["groupname"], "Home\t10");
        assert_eq!(found["radusergroup"].len(), 2);
        assert_eq!(found["radcheck"][0].1["attribute"], "c");
    }

    #[test]
    fn any_text_at_all_comes_to_an_end() {
        for text in [
            "insert into radcheck",
            "insert into radcheck values",
            "insert into radcheck values (",
            "insert into radcheck values ('",
            "insert into radcheck values (1,'\\",
            "create table radcheck",
            "create table radcheck (a, (",
            "copy radcheck from stdin",
            "/*",
            "--",
            "'",
            "`",
            "é;(",
            "copy",
            "insert",
        ] {
            read(text, 10).unwrap();
        }
        assert!(read("insert into radcheck values (1),(2),(3)", 2).is_err());
    }
}
