//! Exports as CSV (RFC 4180), safe to open in a spreadsheet.

use axum::body::Body;
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};

use crate::error::ApiError;

/// A file of rows. A cell that a spreadsheet would take for a formula gets a leading apostrophe.
pub struct Sheet {
    writer: csv::Writer<Vec<u8>>,
}

impl Sheet {
    /// With these column names.
    pub fn new(columns: &[&str]) -> Result<Sheet, ApiError> {
        let mut sheet = Sheet { writer: writer() };
        sheet.row(columns)?;
        Ok(sheet)
    }

    /// Adds a row with as many cells as there are columns.
    pub fn row(&mut self, cells: &[&str]) -> Result<(), ApiError> {
        let cells = cells.iter().map(|cell| guarded(cell));
        self.writer.write_record(cells).map_err(ApiError::internal)
    }

    /// The rows so far, for a file that is sent while it is written; the rest begins anew.
    pub fn take(&mut self) -> Result<Vec<u8>, ApiError> {
        let full = std::mem::replace(&mut self.writer, writer());
        full.into_inner().map_err(|error| {
            ApiError::internal(anyhow::anyhow!("a sheet in memory: {}", error.error()))
        })
    }

    /// The file under a name of letters, digits, dots and dashes.
    pub fn download(mut self, name: &str) -> Result<Response, ApiError> {
        let bytes = self.take()?;
        Ok(attachment(name, Sheet::TYPE, Body::from(bytes)))
    }

    /// What such a file is called in Content-Type.
    pub const TYPE: &'static str = "text/csv; charset=utf-8";
}

/// A file to be kept, under a name of letters, digits, dots and dashes.
pub fn attachment(name: &str, kind: &'static str, body: Body) -> Response {
    let headers = [
        (CONTENT_TYPE, kind.to_owned()),
        (
            CONTENT_DISPOSITION,
            format!("attachment; filename=\"{name}\""),
        ),
    ];
    (headers, body).into_response()
}

fn writer() -> csv::Writer<Vec<u8>> {
    csv::WriterBuilder::new()
        .terminator(csv::Terminator::CRLF)
        .from_writer(Vec::new())
}

/// A cell that looks guarded already is guarded once more: whoever reads the file back takes one guard off, with
/// [`plain`].
///
/// A spreadsheet whose cells are parted by something else than commas takes what is behind that for a cell of its own:
/// there is a guard before each formula inside, too.
pub(super) fn guarded(cell: &str) -> String {
    let mut text = String::with_capacity(cell.len() + 1);
    let mut rest = cell;
    let mut first = true;
    loop {
        if is_formula(rest, first) {
            text.push('\'');
        }
        let Some(at) = rest.find(PARTS) else {
            text.push_str(rest);
            return text;
        };
        let (part, behind) = rest.split_at(at + 1);
        text.push_str(part);
        (rest, first) = (behind, false);
    }
}

/// A cell without the guards that [`Sheet`] writes.
pub fn plain(cell: &str) -> String {
    let mut text = String::with_capacity(cell.len());
    let mut rest = cell;
    let mut first = true;
    loop {
        if is_formula(rest, first) {
            rest = rest.strip_prefix('\'').unwrap_or(rest);
        }
        let Some(at) = rest.find(PARTS) else {
            text.push_str(rest);
            return text;
        };
        let (part, behind) = rest.split_at(at + 1);
        text.push_str(part);
        (rest, first) = (behind, false);
    }
}

/// What parts the cells of a sheet somewhere.
const PARTS: [char; 5] = [';', ',', '\t', '\n', '\r'];

/// Whether this is one behind its guards; a cell's first letter may be one that is not seen, behind which one is.
fn is_formula(text: &str, first: bool) -> bool {
    let bare = text.trim_start_matches('\'');
    bare.starts_with(['=', '+', '-', '@']) || first && bare.starts_with(['\t', '\r', '\n'])
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    /// H6: what looks like a formula is text.
    #[test]
    fn a_cell_is_never_a_formula() {
        let mut sheet = Sheet::new(&["name", "note"]).unwrap();
        for cell in ["=1+1", "+254", "-1", "@SUM(A1)", "\tx", "\rx", "\nx", "'=x"] {
            sheet.row(&[cell, "a \"quoted\", text"]).unwrap();
        }
        let text = String::from_utf8(sheet.take().unwrap()).unwrap();
        assert!(text.starts_with("name,note\r\n'=1+1,\"a \"\"quoted\"\", text\"\r\n"));
        for row in text.split("\r\n").skip(1).filter(|row| !row.is_empty()) {
            assert!(row.starts_with('\'') || row.starts_with("\"'"), "{row:?}");
        }
    }

    /// However a spreadsheet parts the cells, none of them is a formula; read back, each is what it was.
    #[test]
    fn nothing_inside_a_cell_is_a_formula_where_cells_are_parted_otherwise() {
        for cell in [
            "Jane;=cmd|' /C calc'!A0",
            "Jane,+1",
            "Jane\t@SUM(A1)",
            "Jane\n-1",
            "Jane;'=x",
            "Jane;''=x;y",
            "'t Hooft; O'Neill",
            ";=1",
            "\n=1",
            "",
            "Jane Doe-Smith, a=b; c",
        ] {
            let text = guarded(cell);
            assert_eq!(plain(&text), cell);
            for part in text.split(PARTS) {
                assert!(!part.starts_with(['=', '+', '-', '@']), "{text:?}");
            }
        }
        assert_eq!(guarded("Jane;=1"), "Jane;'=1");
        assert_eq!(guarded("Jane Doe-Smith, a=b"), "Jane Doe-Smith, a=b");
    }
}
