//! Reads the first sheet of a workbook (ECMA-376, XLSX) as CSV, so that what takes a table takes a workbook too.
//!
//! Reads untrusted bytes. A workbook is a ZIP: a small one may hold more than there is memory. Everything in it is
//! unpacked once under a limit and looked at before the reader sees it, cells are read as they come, and what they
//! give is counted.

use std::io::{Cursor, Read};

use calamine::{Cell, DataRef, ExcelDateTime, Reader, Xlsx};
use zip::ZipArchive;

use super::sheet::guarded;

/// What a workbook holds unpacked, at most: a hundred times what a full file of customers has.
const MOST_UNPACKED: u64 = 64 * 1024 * 1024;
/// The files in it.
const MOST_FILES: usize = 500;
/// The text of all cells: a cell may stand for a long text that stands elsewhere once.
const MOST_TEXT: usize = 32 * 1024 * 1024;
/// So many columns are somebody's mistake, or worse.
const MOST_COLUMNS: u32 = 200;
/// Rows without any text between those with some.
const MOST_EMPTY: usize = 10_000;
/// What a workbook may say that it has of anything. A reader makes room for it before it looks.
const MOST_COUNTED_DIGITS: usize = 7;

/// Why a workbook cannot be read; the message continues a sentence that begins with the file.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum NotOpened {
    /// No workbook, or a damaged or locked one.
    #[error(
        "is a workbook that cannot be read; take its password off, or save its sheet as CSV UTF-8 and send that"
    )]
    Damaged,
    /// Unpacked it is too large.
    #[error(
        "is a workbook that is too large; leave out other sheets and pictures, or send it in parts"
    )]
    TooLarge,
    /// Too many rows.
    #[error("has more than {0} rows; send it in parts")]
    Rows(usize),
    /// Too many columns.
    #[error("has more than 200 columns; leave out those that are not needed")]
    Columns,
}

/// Whether a file is a workbook by its first bytes.
pub fn is_workbook(bytes: &[u8]) -> bool {
    bytes.starts_with(b"PK\x03\x04")
}

/// The first sheet of a workbook as CSV (UTF-8), each row on the line of its number, as `api::Sheet` writes: a cell
/// that looks like a formula is guarded. At most `most` rows beside the first. Numbers are written as they are meant
/// to be read, dates as `2026-01-31` or `2026-01-31 14:05:00`.
pub fn csv_of_workbook(bytes: &[u8], most: usize) -> Result<Vec<u8>, NotOpened> {
    look_through(bytes)?;
    let damaged = |_| NotOpened::Damaged;
    let mut book = Xlsx::new(Cursor::new(bytes)).map_err(damaged)?;
    let name = book.sheet_names().first().cloned();
    let name = name.ok_or(NotOpened::Damaged)?;
    let mut cells = book.worksheet_cells_reader(&name).map_err(damaged)?;
    let mut lines = Lines {
        // Every cell in quotes: what parts them is beyond doubt.
        writer: csv::WriterBuilder::new()
            .flexible(true)
            .quote_style(csv::QuoteStyle::Always)
            .from_writer(Vec::new()),
        row: Vec::new(),
        number: 0,
        filled: 0,
        text: 0,
        most,
    };
    while let Some(cell) = cells.next_cell().map_err(damaged)? {
        lines.take(&cell)?;
    }
    lines.end()
}

/// Unpacks everything and keeps nothing: whether there is too much of it, or what a reader would trip over.
fn look_through(bytes: &[u8]) -> Result<(), NotOpened> {
    let mut archive = ZipArchive::new(Cursor::new(bytes)).map_err(|_| NotOpened::Damaged)?;
    if archive.len() > MOST_FILES {
        return Err(NotOpened::TooLarge);
    }
    let mut left = MOST_UNPACKED;
    let mut content = Vec::new();
    for at in 0..archive.len() {
        let file = archive.by_index(at).map_err(|_| NotOpened::Damaged)?;
        let name = file.name().map_err(|_| NotOpened::Damaged)?.to_lowercase();
        let is_markup = name.ends_with(".xml") || name.ends_with(".rels");
        content.clear();
        let read = file.take(left + 1).read_to_end(&mut content);
        let read = read.map_err(|_| NotOpened::Damaged)?;
        left = left.checked_sub(read as u64).ok_or(NotOpened::TooLarge)?;
        if is_markup && !is_plain(&content) {
            return Err(NotOpened::Damaged);
        }
    }
    Ok(())
}

/// Whether markup is of the kind that spreadsheets write: UTF-8, and nothing is counted that cannot be there.
fn is_plain(content: &[u8]) -> bool {
    const NAME: &[u8] = b"ount";

    if std::str::from_utf8(content).is_err() || content.contains(&0) {
        return false;
    }
    let named = |at: usize| content.get(at..at + NAME.len()) == Some(NAME);
    (0..content.len()).filter(|at| named(*at)).all(|at| {
        let after = content.iter().skip(at + NAME.len());
        let mut after = after.skip_while(|byte| b" \t\r\n=\"'".contains(byte));
        let digits = after.by_ref().take_while(|byte| byte.is_ascii_digit());
        digits.take(MOST_COUNTED_DIGITS + 1).count() <= MOST_COUNTED_DIGITS
    })
}

/// Rows as they come.
struct Lines {
    writer: csv::Writer<Vec<u8>>,
    /// The row that is being read, and its number from 0.
    row: Vec<String>,
    number: u32,
    /// Rows with some text, and the text of all.
    filled: usize,
    text: usize,
    most: usize,
}

impl Lines {
    fn take(&mut self, cell: &Cell<DataRef<'_>>) -> Result<(), NotOpened> {
        let text = text_of(cell.get_value());
        if text.trim().is_empty() {
            return Ok(());
        }
        let (row, column) = cell.get_position();
        if row < self.number {
            return Err(NotOpened::Damaged);
        }
        if column >= MOST_COLUMNS {
            return Err(NotOpened::Columns);
        }
        self.text += text.len();
        if self.text > MOST_TEXT {
            return Err(NotOpened::TooLarge);
        }
        if row as usize > self.most + MOST_EMPTY {
            return Err(NotOpened::Rows(self.most));
        }
        while self.number < row {
            self.write()?;
        }
        let column = column as usize;
        if self.row.len() <= column {
            self.row.resize(column + 1, String::new());
        }
        if let Some(place) = self.row.get_mut(column) {
            *place = text;
        }
        Ok(())
    }

    fn write(&mut self) -> Result<(), NotOpened> {
        if !self.row.is_empty() {
            self.filled += 1;
            // The first names the columns.
            if self.filled > self.most + 1 {
                return Err(NotOpened::Rows(self.most));
            }
        }
        let cells: Vec<_> = self.row.iter().map(|cell| guarded(cell)).collect();
        let written = match cells.is_empty() {
            true => self.writer.write_record([""]),
            false => self.writer.write_record(&cells),
        };
        written.map_err(|_| NotOpened::Damaged)?;
        self.row.clear();
        self.number += 1;
        Ok(())
    }

    fn end(mut self) -> Result<Vec<u8>, NotOpened> {
        self.write()?;
        self.writer.into_inner().map_err(|_| NotOpened::Damaged)
    }
}

/// A cell as a person reads it, on one line.
fn text_of(cell: &DataRef<'_>) -> String {
    let text = match cell {
        DataRef::Int(number) => return number.to_string(),
        DataRef::Float(number) => return number_text(*number),
        DataRef::Bool(truth) => return truth.to_string(),
        DataRef::DateTime(at) => return date_text(at),
        DataRef::String(text) | DataRef::DateTimeIso(text) | DataRef::DurationIso(text) => text,
        DataRef::SharedString(text) => *text,
        DataRef::Error(_) => "#ERROR",
        DataRef::Empty => "",
    };
    match text.contains(['\r', '\n', '\0']) {
        true => text.replace("\r\n", " ").replace(['\r', '\n', '\0'], " "),
        false => text.to_owned(),
    }
}

/// A phone number in a cell of numbers is one: no exponent, no decimals that are not there.
fn number_text(number: f64) -> String {
    match number.fract() == 0.0 && number.abs() < 1e15 {
        true => format!("{number:.0}"),
        false => number.to_string(),
    }
}

fn date_text(at: &ExcelDateTime) -> String {
    if !at.is_datetime() {
        return number_text(at.as_f64());
    }
    let (year, month, day, hour, minute, second, _) = at.to_ymd_hms_milli();
    match (hour, minute, second) {
        (0, 0, 0) => format!("{year:04}-{month:02}-{day:02}"),
        _ => format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}"),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use std::io::Write;

    use proptest::prelude::*;
    use zip::ZipWriter;
    use zip::write::SimpleFileOptions;

    use super::super::Workbook;
    use super::*;

    /// A workbook of one sheet with this markup, and these shared strings.
    fn book(sheet: &str, strings: &str) -> Vec<u8> {
        let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
        let ns = "xmlns=\"http://schemas.openxmlformats.org/spreadsheetml/2006/main\"";
        let rel = "http://schemas.openxmlformats.org/officeDocument/2006/relationships";
        for (name, text) in [
            (
                "_rels/.rels",
                format!(
                    "<Relationships><Relationship Id=\"r\" Type=\"{rel}/officeDocument\" Target=\"xl/workbook.xml\"/></Relationships>"
                ),
            ),
            (
                "xl/workbook.xml",
                format!(
                    "<workbook {ns} xmlns:r=\"{rel}\"><sheets><sheet name=\"S\" sheetId=\"1\" r:id=\"r1\"/></sheets></workbook>"
                ),
            ),
            (
                "xl/_rels/workbook.xml.rels",
                format!(
                    "<Relationships xmlns=\"http://schemas.openxmlformats.org/package/2006/relationships\"><Relationship Id=\"r1\" Type=\"{rel}/worksheet\" Target=\"worksheets/sheet1.xml\"/></Relationships>"
                ),
            ),
            (
                "xl/styles.xml",
                format!(
                    "<styleSheet {ns}><cellXfs count=\"2\"><xf numFmtId=\"0\"/><xf numFmtId=\"14\"/></cellXfs></styleSheet>"
                ),
            ),
            ("xl/sharedStrings.xml", format!("<sst {ns} {strings}</sst>")),
            (
                "xl/worksheets/sheet1.xml",
                format!("<worksheet {ns}><sheetData>{sheet}</sheetData></worksheet>"),
            ),
        ] {
            zip.start_file(name, SimpleFileOptions::default()).unwrap();
            zip.write_all(text.as_bytes()).unwrap();
        }
        zip.finish().unwrap().into_inner()
    }

    fn read(bytes: &[u8], most: usize) -> Result<String, NotOpened> {
        csv_of_workbook(bytes, most).map(|csv| String::from_utf8(csv).unwrap())
    }

    #[test]
    fn what_we_write_is_read_again() {
        let mut ours = Workbook::new(&["username", "note"]).unwrap();
        ours.row(&["amina", "a \"quoted\", text"]).unwrap();
        ours.row(&["=1+1", "two\nlines"]).unwrap();
        let mut bytes = ours.take();
        bytes.extend(ours.finish().unwrap());
        assert!(is_workbook(&bytes));
        let csv = read(&bytes, 2).unwrap();
        let expected = "\"username\",\"note\"\n\"amina\",\"a \"\"quoted\"\", text\"\n\"'=1+1\",\"two lines\"\n";
        assert_eq!(csv, expected);
        assert_eq!(read(&bytes, 1), Err(NotOpened::Rows(1)));
    }

    #[test]
    fn numbers_and_dates_read_as_people_mean_them() {
        let sheet = "<row r=\"1\"><c r=\"A1\" t=\"s\"><v>0</v></c><c r=\"C1\"><v>254712345678</v></c></row>\
                     <row r=\"4\"><c r=\"A4\" s=\"1\"><v>46053</v></c><c r=\"B4\"><v>12.5</v></c>\
                     <c r=\"C4\" t=\"b\"><v>1</v></c><c r=\"D4\" s=\"1\"><v>46053.5</v></c></row>";
        let csv = read(&book(sheet, "uniqueCount=\"1\"><si><t>name</t></si>"), 9).unwrap();
        assert_eq!(
            csv,
            "\"name\",\"\",\"254712345678\"\n\"\"\n\"\"\n\"2026-01-31\",\"12.5\",\"true\",\"2026-01-31 12:00:00\"\n"
        );
    }

    /// A small file that is large inside, or says that it is, is refused and takes no memory.
    #[test]
    fn a_bomb_is_refused() {
        let zeros = "<row>".to_owned() + &" ".repeat(70 * 1024 * 1024) + "</row>";
        let bomb = book(&zeros, "uniqueCount=\"1\">");
        assert!(bomb.len() < 1024 * 1024);
        assert_eq!(read(&bomb, 9), Err(NotOpened::TooLarge));
        for strings in [
            "uniqueCount=\"99999999999\">",
            "uniqueCount = '99999999999'>",
        ] {
            assert_eq!(
                read(&book("", strings), 9),
                Err(NotOpened::Damaged),
                "{strings}"
            );
        }
        // A long text that stands once, in many cells.
        let long = format!("uniqueCount=\"1\"><si><t>{}</t></si>", "x".repeat(30_000));
        let row = |n: usize| format!("<row r=\"{n}\"><c r=\"A{n}\" t=\"s\"><v>0</v></c></row>");
        let rows: String = (1..3_000).map(row).collect();
        assert_eq!(read(&book(&rows, &long), 20_000), Err(NotOpened::TooLarge));
        let far = "<row r=\"1048576\"><c r=\"A1048576\"><v>1</v></c></row>";
        assert_eq!(read(&book(far, ">"), 9), Err(NotOpened::Rows(9)));
        let wide = "<row r=\"1\"><c r=\"XFD1\"><v>1</v></c></row>";
        assert_eq!(read(&book(wide, ">"), 9), Err(NotOpened::Columns));
    }

    #[test]
    fn what_is_no_workbook_is_told_so() {
        let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
        zip.start_file("readme.txt", SimpleFileOptions::default())
            .unwrap();
        let none = zip.finish().unwrap().into_inner();
        assert_eq!(read(&none, 9), Err(NotOpened::Damaged));
        assert_eq!(read(b"PK\x03\x04rest", 9), Err(NotOpened::Damaged));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(at in 0_usize..2_000, byte: u8, cut in 0_usize..2_000) {
            let sheet = "<row r=\"1\"><c r=\"A1\" t=\"s\"><v>0</v></c></row>";
            let mut bytes = book(sheet, "uniqueCount=\"1\"><si><t>name</t></si>");
            if let Some(place) = bytes.get_mut(at) {
                *place = byte;
            }
            bytes.truncate(bytes.len().saturating_sub(cut));
            let _ = csv_of_workbook(&bytes, 9);
        }
    }
}
