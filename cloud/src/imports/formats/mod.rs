//! Which program wrote a file, and its rows as ours.

mod phpnuxbill;
mod radius;
pub mod routeros;
mod splynx;
mod sql;

use super::FileError;
use super::fields::{Column, Field, bare, column};
use super::row::Row;
use super::table::{Table, table};
use super::words::Format;

/// A file of customers, read.
#[derive(Debug)]
pub struct File {
    /// What it was taken for; never [`Format::Auto`].
    pub format: Format,
    /// Its rows, in its order.
    pub rows: Vec<Row>,
    /// What it holds besides that is left out, in sentences.
    pub warnings: Vec<String>,
}

/// Reads at most `most` customers out of a file's text.
pub fn read(text: &str, format: Format, most: usize) -> Result<File, FileError> {
    let format = match format {
        Format::Auto => guess(text),
        named => named,
    };
    let (rows, warnings) = match format {
        Format::Auto | Format::Csv => of_table(table(text, most)?, |_| {}),
        Format::Routeros => routeros::read(text),
        Format::Radius => radius::read(text)?,
        Format::Phpnuxbill => phpnuxbill::read(table(text, most)?),
        Format::Splynx => splynx::read(table(text, most)?),
    };
    if rows.len() > most {
        return Err(FileError::new(format!(
            "has more than {most} customers; send it in parts"
        )));
    }
    if rows.is_empty() {
        return Err(FileError::new(match format {
            Format::Routeros => {
                "names nobody; send the text of /ppp secret export or /ip hotspot user export"
            }
            Format::Radius => "names nobody; send radcheck, radreply and radusergroup",
            Format::Auto | Format::Csv | Format::Phpnuxbill | Format::Splynx => {
                "has no row but the names of its columns"
            }
        }));
    }
    let warnings = warnings.into_iter().take(MOST_WARNINGS);
    Ok(File {
        format,
        rows,
        warnings: warnings.map(|said| beginning(&said, 200)).collect(),
    })
}

/// What a file looks like.
fn guess(text: &str) -> Format {
    let lower = text.get(..text.floor_char_boundary(4096)).unwrap_or(text);
    let lower = lower.to_ascii_lowercase();
    let begins = |words: &str| {
        lower
            .lines()
            .any(|line| line.trim_start().starts_with(words))
    };
    if begins("/ppp secret") || begins("/ip hotspot user") {
        return Format::Routeros;
    }
    if sql::looks_like_dump(&text.to_ascii_lowercase()) {
        return Format::Radius;
    }
    let first = lower.lines().find(|line| !line.trim().is_empty());
    let names: Vec<String> = first
        .unwrap_or_default()
        .split([',', ';', '\t'])
        .map(bare)
        .collect();
    let has = |name: &str| names.iter().any(|known| known == name);
    if has("attribute") && has("value") || has("groupname") && has("username") {
        Format::Radius
    } else if has("namebp") || has("fullname") && has("phonenumber") && has("servicetype") {
        Format::Phpnuxbill
    } else if has("portallogin") || has("servicelogin") || has("mrrtotal") {
        Format::Splynx
    } else {
        Format::Csv
    }
}

/// The rows of a table by its columns' names; `prepare` may rename columns first.
fn of_table(mut table: Table, prepare: impl Fn(&mut Vec<String>)) -> (Vec<Row>, Vec<String>) {
    prepare(&mut table.columns);
    let mut warnings = Vec::new();
    let mut columns: Vec<Option<Column>> = Vec::with_capacity(table.columns.len());
    for name in &table.columns {
        let found = column(name);
        if found.is_none() && !name.trim().is_empty() {
            warnings.push(format!(
                "The column {name:?} means nothing here and is left out"
            ));
        }
        let twice = matches!(found, Some(Column::Of(_))) && columns.contains(&found);
        if twice {
            warnings.push(format!(
                "The column {name:?} says what an earlier one says and is left out"
            ));
        }
        columns.push(found.filter(|_| !twice));
    }
    let row = |(line, cells): (u32, Vec<String>)| {
        let mut row = Row::at(line);
        if cells.len() > columns.len() && cells[columns.len()..].iter().any(|c| !c.is_empty()) {
            row.error(
                "row",
                "has more cells than there are columns; quote a text with a comma in it",
            );
        }
        for (cell, column) in cells.into_iter().zip(&columns) {
            if let Some(Column::Of(field)) = column {
                row.say(*field, cell);
            }
        }
        row
    };
    (table.rows.into_iter().map(row).collect(), warnings)
}

/// At most so many letters of a text: what a file says may be long, and is told again.
pub fn beginning(text: &str, most: usize) -> String {
    text.chars().take(most).collect()
}

/// A name for who has none but his user name.
fn name_or_username(row: &mut Row) {
    if row
        .get(Field::Name)
        .is_none_or(|name| name.trim().chars().count() < 2)
    {
        let username = row.username().to_owned();
        row.say(Field::Name, username);
    }
}

/// Warnings about a file as a whole.
const MOST_WARNINGS: usize = 100;

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn a_file_is_known_by_what_it_says() {
        for (text, format) in [
            ("username,password,name\n", Format::Csv),
            (
                "# by RouterOS 7.14\n/ppp secret\nadd name=a",
                Format::Routeros,
            ),
            ("id;username;attribute;op;value\n", Format::Radius),
            (
                "INSERT INTO `radcheck` VALUES (1,'a','b',':=','c');",
                Format::Radius,
            ),
            (
                "id,username,fullname,address,phonenumber,email,balance,service_type",
                Format::Phpnuxbill,
            ),
            ("ID,Status,Portal login,Full name", Format::Splynx),
            ("é", Format::Csv),
        ] {
            assert_eq!(guess(text), format, "{text}");
        }
    }

    #[test]
    fn a_table_names_what_it_leaves_out() {
        let text = "Username,Shoe size,user,account number\njane,42,other,10017\njo,,,,,x\n";
        let file = read(text, Format::Csv, 10).unwrap();
        assert_eq!(file.warnings.len(), 2, "{:?}", file.warnings);
        assert!(file.warnings[0].contains("Shoe size"));
        assert_eq!(file.rows[0].username(), "jane");
        assert_eq!(file.rows[0].cells.len(), 1);
        assert_eq!(file.rows[1].errors[0].field, "row");
        assert!(read("username\n", Format::Csv, 10).is_err());
    }
}
