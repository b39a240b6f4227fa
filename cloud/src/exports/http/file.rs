//! The two kinds of file, written the same way.

use serde::Deserialize;
use utoipa::ToSchema;

use crate::api::{Sheet, Workbook};
use crate::error::ApiError;

/// What kind of file.
#[derive(Clone, Copy, Default, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = ExportFormat)]
pub enum Format {
    /// Text with commas between cells, which can be taken in again.
    #[default]
    Csv,
    /// A workbook of one sheet, every cell a text.
    Xlsx,
}

impl Format {
    /// How its name ends.
    pub fn ending(self) -> &'static str {
        match self {
            Format::Csv => "csv",
            Format::Xlsx => "xlsx",
        }
    }

    /// What it is called in Content-Type.
    pub fn content_type(self) -> &'static str {
        match self {
            Format::Csv => Sheet::TYPE,
            Format::Xlsx => "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        }
    }
}

/// A file that is sent while it is written.
pub enum File {
    /// See [`Format::Csv`].
    Csv(Box<Sheet>),
    /// See [`Format::Xlsx`].
    Xlsx(Box<Workbook>),
}

impl File {
    /// With these column names.
    pub fn new(format: Format, columns: &[&str]) -> Result<File, ApiError> {
        Ok(match format {
            Format::Csv => File::Csv(Box::new(Sheet::new(columns)?)),
            Format::Xlsx => File::Xlsx(Box::new(
                Workbook::new(columns).map_err(ApiError::internal)?,
            )),
        })
    }

    /// Adds a row.
    pub fn row(&mut self, cells: &[String]) -> Result<(), ApiError> {
        let cells: Vec<&str> = cells.iter().map(String::as_str).collect();
        match self {
            File::Csv(sheet) => sheet.row(&cells),
            File::Xlsx(book) => book.row(&cells).map_err(ApiError::internal),
        }
    }

    /// The bytes since the last time; maybe none yet.
    pub fn take(&mut self) -> Result<Vec<u8>, ApiError> {
        match self {
            File::Csv(sheet) => sheet.take(),
            File::Xlsx(book) => Ok(book.take()),
        }
    }

    /// The last bytes.
    pub fn finish(self) -> Result<Vec<u8>, ApiError> {
        match self {
            File::Csv(mut sheet) => sheet.take(),
            File::Xlsx(book) => book.finish().map_err(ApiError::internal),
        }
    }
}
