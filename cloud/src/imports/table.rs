//! Bytes of a file as text, and text as a table: whatever a spreadsheet wrote.

use std::borrow::Cow;

use super::FileError;
use crate::api::{csv_of_workbook, is_workbook, plain};

/// The text of a file: UTF-8 with or without a mark at its beginning, else the code page of Windows; of a workbook its
/// first sheet, at most `most` rows.
pub fn text(bytes: &[u8], most: usize) -> Result<String, FileError> {
    if is_workbook(bytes) {
        let csv = csv_of_workbook(bytes, most).map_err(|why| FileError::new(why.to_string()))?;
        return Ok(String::from_utf8_lossy(&csv).into_owned());
    }
    if bytes.starts_with(&[0xFF, 0xFE]) || bytes.starts_with(&[0xFE, 0xFF]) {
        return Err(FileError::new(
            "is UTF-16; save it as CSV UTF-8 and send it again",
        ));
    }
    if bytes.starts_with(&[0xD0, 0xCF, 0x11, 0xE0]) {
        return Err(FileError::new(
            "is an old workbook, or one with a password; save it as XLSX, or its sheet as CSV UTF-8, and send that",
        ));
    }
    let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
    let text = decoded(bytes).into_owned();
    if text.contains('\0') {
        return Err(FileError::new(
            "holds the character U+0000, which no text may; save it as CSV UTF-8",
        ));
    }
    Ok(text)
}

/// Text, or what an older program made of it.
pub fn decoded(bytes: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.into(),
        Err(_) => encoding_rs::WINDOWS_1252.decode(bytes).0,
    }
}

/// A table: its first row, and the others with the line on which each begins.
#[derive(Debug, Default)]
pub struct Table {
    /// The names of the columns.
    pub columns: Vec<String>,
    /// Line and cells; there may be fewer or more cells than columns.
    pub rows: Vec<(u32, Vec<String>)>,
}

/// So many columns are somebody's mistake, or worse.
const MOST_COLUMNS: usize = 200;

/// Reads a table whose cells are parted by commas, semicolons or tabs, whichever its first row has most.
///
/// At most `most` rows. Rows without any text are left out.
pub fn table(text: &str, most: usize) -> Result<Table, FileError> {
    let (separator, text, skipped) = separator(text);
    let mut reader = csv::ReaderBuilder::new()
        .delimiter(separator)
        .has_headers(false)
        .flexible(true)
        .from_reader(text.as_bytes());
    let mut table = Table::default();
    let mut record = csv::StringRecord::new();
    let (mut counted, mut line) = (0, skipped + 1);
    loop {
        let more = reader.read_record(&mut record).map_err(|error| {
            let line = error.position().map_or(0, csv::Position::line);
            FileError::new(format!(
                "cannot be read at line {line}; save it as CSV again"
            ))
        })?;
        if !more {
            break;
        }
        // The reader takes the end of a line before it for a part of a row, or not: by its own count the same
        // file has other lines when its lines end otherwise.
        let begins = record.position().map_or(0, csv::Position::byte);
        let begins = usize::try_from(begins).unwrap_or(usize::MAX);
        let ends = text.as_bytes().iter().skip(begins);
        let begins = begins
            + ends
                .take_while(|byte| matches!(byte, b'\r' | b'\n'))
                .count();
        let between = text.as_bytes().get(counted..begins).unwrap_or_default();
        line += between.iter().filter(|byte| **byte == b'\n').count();
        counted = begins.max(counted);
        if record.iter().all(|cell| cell.trim().is_empty()) {
            continue;
        }
        let cells: Vec<String> = record.iter().map(plain).collect();
        if table.columns.is_empty() {
            if cells.len() > MOST_COLUMNS {
                return Err(FileError::new(format!(
                    "has more than {MOST_COLUMNS} columns; leave out those that are not needed"
                )));
            }
            table.columns = cells;
            continue;
        }
        if table.rows.len() == most {
            return Err(FileError::new(format!(
                "has more than {most} rows; send it in parts"
            )));
        }
        table
            .rows
            .push((u32::try_from(line).unwrap_or(u32::MAX), cells));
    }
    if table.columns.is_empty() {
        return Err(FileError::new(
            "is empty; its first row must name the columns: username, password, name, …",
        ));
    }
    Ok(table)
}

/// What parts the cells; the text after a line `sep=;` that says so, and how many lines that was.
fn separator(text: &str) -> (u8, &str, usize) {
    let first = text.lines().next().unwrap_or_default();
    if let Some(said) = first.trim().strip_prefix("sep=")
        && let [separator] = said.as_bytes()
    {
        let rest = text.split_once('\n').map_or("", |(_, rest)| rest);
        return (*separator, rest, 1);
    }
    let first = text
        .lines()
        .find(|line| !line.trim().is_empty())
        .unwrap_or_default();
    let count = |separator: u8| {
        let mut quoted = false;
        first
            .bytes()
            .filter(|byte| {
                quoted ^= *byte == b'"';
                !quoted && *byte == separator
            })
            .count()
    };
    let separator = [b'\t', b';', b',']
        .into_iter()
        .max_by_key(|separator| count(*separator))
        .unwrap_or(b',');
    (separator, text, 0)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn a_table_reads_the_same_however_a_spreadsheet_saved_it() {
        for text in [
            "user name,note\r\njane,\"a, b\"\r\n",
            "user name;note\njane;a, b\n",
            "user name\tnote\njane\ta, b\n",
            "sep=;\nuser name;note\njane;a, b",
        ] {
            let table = table(text, 10).unwrap();
            assert_eq!(table.columns, ["user name", "note"], "{text}");
            assert_eq!(table.rows[0].1, ["jane", "a, b"], "{text}");
        }
    }

    #[test]
    fn a_row_knows_its_line_and_empty_ones_are_none() {
        let table = table("a,b\n1,2\n,\n3,4\n", 10).unwrap();
        let lines: Vec<u32> = table.rows.iter().map(|(line, _)| *line).collect();
        assert_eq!(lines, [2, 4]);
        let windows = super::table("a,b\r\n1,2\r\n\r\n3,\"x\r\ny\"\r\n5,6\r\n", 10).unwrap();
        let lines: Vec<u32> = windows.rows.iter().map(|(line, _)| *line).collect();
        assert_eq!(lines, [2, 4, 6]);
        let said = super::table("sep=,\na,b\n1,2\n", 10).unwrap();
        assert_eq!(said.rows[0].0, 3);
    }

    #[test]
    fn old_code_pages_are_read_and_others_refused_with_the_remedy() {
        assert_eq!(text(b"\xEF\xBB\xBFJos\xC3\xA9", 9).unwrap(), "José");
        assert_eq!(text(b"Jos\xE9 \x80", 9).unwrap(), "José €");
        for bytes in [&b"\xFF\xFEa\0"[..], b"PK\x03\x04rest", b"a\0b"] {
            assert!(text(bytes, 9).unwrap_err().message.contains("CSV UTF-8"));
        }
    }

    #[test]
    fn the_guard_of_a_formula_is_taken_off_and_nothing_else() {
        for (cell, is) in [
            ("'=1+1", "=1+1"),
            ("'+254", "+254"),
            ("''=x", "'=x"),
            ("'t Hooft", "'t Hooft"),
            ("", ""),
        ] {
            assert_eq!(plain(cell), is);
        }
    }

    #[test]
    fn there_is_an_end_to_a_file() {
        assert!(
            table("a\n1\n2\n3\n", 2)
                .unwrap_err()
                .message
                .contains("more than 2 rows")
        );
        assert!(table("", 2).is_err());
        assert!(table("\n\n", 2).is_err());
    }
}
