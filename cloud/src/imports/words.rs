//! The words that stand in the database and in the API.

use serde::{Deserialize, Serialize};

/// What a file holds.
#[derive(
    Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, sqlx::Type, utoipa::ToSchema,
)]
#[schema(as = ImportOf)]
#[serde(rename_all = "UPPERCASE")]
#[sqlx(type_name = "text", rename_all = "UPPERCASE")]
pub enum What {
    /// Subscribers.
    Customers,
    /// What they buy.
    Packages,
}

impl What {
    /// What its work is called.
    pub const fn kind(self) -> &'static str {
        match self {
            What::Customers => "customers.import",
            What::Packages => "packages.import",
        }
    }
}

/// What to do with a row about somebody who is there already.
#[derive(
    Clone, Copy, PartialEq, Eq, Default, Debug, Serialize, Deserialize, sqlx::Type, utoipa::ToSchema,
)]
#[serde(rename_all = "lowercase")]
#[sqlx(type_name = "text", rename_all = "UPPERCASE")]
pub enum OnExisting {
    /// Leave him as he is.
    #[default]
    Skip,
    /// Change what the row mentions; an empty cell mentions nothing. An end of somebody's time that is earlier than
    /// what he has paid is refused: he may have paid since the file was written.
    Update,
    /// The row fails.
    Fail,
}

/// What became of a row.
#[derive(
    Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, sqlx::Type, utoipa::ToSchema,
)]
#[schema(as = ImportOutcome)]
#[serde(rename_all = "lowercase")]
#[sqlx(type_name = "text", rename_all = "UPPERCASE")]
pub enum Outcome {
    /// Made.
    Created,
    /// Was there, and was changed.
    Updated,
    /// Was there, and stays as it was.
    Skipped,
    /// Cannot be; the errors say why and what to write.
    Failed,
}

impl Outcome {
    /// The word in the database.
    pub const fn word(self) -> &'static str {
        match self {
            Outcome::Created => "CREATED",
            Outcome::Updated => "UPDATED",
            Outcome::Skipped => "SKIPPED",
            Outcome::Failed => "FAILED",
        }
    }
}

/// How far an import has come.
#[derive(
    Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, sqlx::Type, utoipa::ToSchema,
)]
#[schema(as = JobState)]
#[serde(rename_all = "UPPERCASE")]
#[sqlx(type_name = "text", rename_all = "UPPERCASE")]
pub enum State {
    /// Nothing of it is done yet.
    Queued,
    /// Some of it is.
    Running,
    /// Every row was looked at.
    Done,
    /// Given up; what was done stays.
    Failed,
}

/// Which program wrote a file.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = ImportFormat)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// Whichever it looks like.
    #[default]
    Auto,
    /// A table with our own column names, or names that mean the same.
    Csv,
    /// The text of `/ppp secret export` and `/ip hotspot user export`.
    Routeros,
    /// The tables of FreeRADIUS and daloRADIUS, as CSV or as a dump of the database.
    Radius,
    /// PHPNuxBill's CSV of customers.
    Phpnuxbill,
    /// Splynx's CSV of customers or internet services.
    Splynx,
}

impl Format {
    /// The name in the API.
    pub const fn name(self) -> &'static str {
        match self {
            Format::Auto => "auto",
            Format::Csv => "csv",
            Format::Routeros => "routeros",
            Format::Radius => "radius",
            Format::Phpnuxbill => "phpnuxbill",
            Format::Splynx => "splynx",
        }
    }
}
