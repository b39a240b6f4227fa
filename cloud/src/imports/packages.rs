//! Rows of packages: what they say, and what is done. They are few, so each is made as by hand.

use std::collections::{HashMap, HashSet};

use easyisp_shared::money::Cents;
use easyisp_shared::time::Timestamp;
use serde_json::Value;
use sqlx::types::Json;

use super::fields::bare;
use super::row::yes_or_no;
use super::store::Line;
use super::table::Table;
use super::words::{OnExisting, Outcome};
use crate::customers::many::Depth;
use crate::db::Tx;
use crate::error::{FieldError, Wrong};
use crate::packages::{self, Change, PackageType, Period, PeriodUnit, draft};

/// A row that was read: its line, what it wishes and what of it cannot be read.
pub struct Row {
    /// The line of the file on which it begins.
    pub line: u32,
    /// The package that it wishes.
    pub change: Change,
    /// What is wrong with it.
    pub errors: Vec<FieldError>,
}

/// The rows of a table, and what is left out of it.
pub fn read(table: Table) -> (Vec<Row>, Vec<String>) {
    let mut warnings = Vec::new();
    let mut columns: Vec<Option<Column>> = Vec::with_capacity(table.columns.len());
    for name in &table.columns {
        let found = column(name);
        if found.is_none() && !name.trim().is_empty() && !SHOWN.contains(&bare(name).as_str()) {
            warnings.push(format!(
                "The column {name:?} means nothing here and is left out"
            ));
        }
        columns.push(found);
    }
    let mut seen: HashMap<(String, Option<PackageType>), u32> = HashMap::new();
    let rows = table.rows.into_iter().map(|(line, cells)| {
        let mut row = row(line, &columns, &cells);
        let name = row.change.name.clone().unwrap_or_default().to_lowercase();
        let first = *seen.entry((name, row.change.kind)).or_insert(line);
        if first != line {
            row.errors.push(FieldError {
                field: "name".to_owned(),
                message: format!("stands in line {first} already; leave one of the two out"),
            });
        }
        row
    });
    (rows.collect(), warnings)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Column {
    Name,
    Kind,
    Price,
    Download,
    Upload,
    BurstDownload,
    BurstUpload,
    Minutes,
    Period,
    DataLimit,
    Devices,
    IsActive,
    Terms,
}

/// What our own files show besides.
const SHOWN: [&str; 3] = ["id", "createdat", "updatedat"];

fn column(name: &str) -> Option<Column> {
    Some(match bare(name).as_str() {
        "name" | "package" | "packagename" | "plan" | "planname" | "nameplan" => Column::Name,
        "type" | "connectiontype" | "packagetype" => Column::Kind,
        "price" | "amount" | "cost" => Column::Price,
        "downloadspeed" | "download" | "downmbps" | "ratedown" => Column::Download,
        "uploadspeed" | "upload" | "upmbps" | "rateup" => Column::Upload,
        "burstdownload" => Column::BurstDownload,
        "burstupload" => Column::BurstUpload,
        "sessiontime" | "minutes" => Column::Minutes,
        "period" | "validity" | "duration" => Column::Period,
        "datalimit" | "data" | "quota" => Column::DataLimit,
        "devices" | "sharedusers" | "maxdevices" => Column::Devices,
        "isactive" | "active" | "enabled" | "status" => Column::IsActive,
        "terms" => Column::Terms,
        _ => return None,
    })
}

fn row(line: u32, columns: &[Option<Column>], cells: &[String]) -> Row {
    let mut wrong = Wrong::default();
    let mut change = Change::default();
    for (cell, column) in cells.iter().zip(columns) {
        let (Some(column), text) = (column, cell.trim()) else {
            continue;
        };
        if text.is_empty() {
            continue;
        }
        let whole = || text.parse::<i32>().ok();
        match column {
            Column::Name => change.name = Some(text.to_owned()),
            Column::Kind => match bare(text).as_str() {
                "pppoe" | "home" | "dhcp" | "static" => change.kind = Some(PackageType::Pppoe),
                "hotspot" => change.kind = Some(PackageType::Hotspot),
                _ => wrong.add("type", "must be PPPOE or HOTSPOT"),
            },
            Column::Price => match Cents::parse(text) {
                Ok(price) => change.price = Some(price),
                Err(error) => wrong.add("price", &error.to_string()),
            },
            Column::Download => match whole() {
                Some(mbps) => change.download_mbps = Some(mbps),
                None => wrong.add("downloadSpeed", MBPS),
            },
            Column::Upload => match whole() {
                Some(mbps) => change.upload_mbps = Some(mbps),
                None => wrong.add("uploadSpeed", MBPS),
            },
            Column::BurstDownload => match whole() {
                Some(mbps) => change.burst_download = Some(Some(mbps)),
                None => wrong.add("burstDownload", MBPS),
            },
            Column::BurstUpload => match whole() {
                Some(mbps) => change.burst_upload = Some(Some(mbps)),
                None => wrong.add("burstUpload", MBPS),
            },
            Column::Minutes => match text.parse() {
                Ok(minutes) => change.session_time = Some(Some(minutes)),
                Err(_) => wrong.add("sessionTime", "must be a whole number of minutes"),
            },
            Column::Period => match period(text) {
                Some(period) => change.period = Some(period),
                None => wrong.add("period", "must be such as 1 MONTHS, 30 DAYS or 12 HOURS"),
            },
            Column::DataLimit => match bytes(text) {
                Some(bytes) => change.data_limit = Some(Some(bytes)),
                None => wrong.add("dataLimit", "must be bytes, or such as 10 GB or 500 MB"),
            },
            Column::Devices => match whole() {
                Some(devices) => change.devices = Some(devices),
                None => wrong.add("devices", "must be a whole number"),
            },
            Column::IsActive => match yes_or_no(text) {
                Some(is_active) => change.is_active = Some(is_active),
                None => wrong.add("isActive", "must be yes or no"),
            },
            Column::Terms => match serde_json::from_str(text) {
                Ok(terms) => change.terms = Some(terms),
                Err(_) => wrong.add("terms", "must be the terms of a package as JSON"),
            },
        }
    }
    Row {
        line,
        change,
        errors: wrong.none_or(()).err().unwrap_or_default(),
    }
}

const MBPS: &str = "must be a whole number of Mbit/s";

/// `1 MONTHS`, `30days`, `12 h`.
fn period(text: &str) -> Option<Period> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let (count, unit) = text.split_at(digits);
    let unit = match bare(unit).as_str() {
        "minutes" | "minute" | "mins" | "min" => PeriodUnit::Minutes,
        "hours" | "hour" | "hrs" | "h" => PeriodUnit::Hours,
        "days" | "day" | "d" => PeriodUnit::Days,
        "weeks" | "week" | "w" => PeriodUnit::Weeks,
        "months" | "month" => PeriodUnit::Months,
        _ => return None,
    };
    Some(Period {
        count: count.parse().ok()?,
        unit,
    })
}

/// Bytes, or gigabytes and megabytes of 1,024.
fn bytes(text: &str) -> Option<i64> {
    let text = text.trim();
    let digits = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (count, unit) = text.split_at(digits);
    let times = match bare(unit).as_str() {
        "" | "b" | "bytes" => 1,
        "mb" | "mib" => 1 << 20,
        "gb" | "gib" => 1 << 30,
        _ => return None,
    };
    count.parse::<i64>().ok()?.checked_mul(times)
}

/// Takes up to 500 rows in; what became of each, in their order. Locks the set of sites and each package that is
/// changed. With [`Depth::Look`] nothing is written.
pub async fn take_in(
    tx: &mut Tx,
    rows: Vec<Row>,
    on_existing: OnExisting,
    depth: Depth,
    now: Timestamp,
) -> sqlx::Result<Vec<Line>> {
    let words: HashSet<String> = rows
        .iter()
        .filter_map(|row| Some(row.change.name.as_ref()?.trim().to_lowercase()))
        .collect();
    let called = packages::called(tx, &Vec::from_iter(words)).await?;
    let mut lines = Vec::with_capacity(rows.len());
    for row in rows {
        let name = row.change.name.clone().unwrap_or_default();
        let wanted = name.trim().to_lowercase();
        let there = called
            .iter()
            .find(|package| package.name == wanted && Some(package.kind) == row.change.kind);
        let mut line = Line {
            line: i32::try_from(row.line).unwrap_or(i32::MAX),
            outcome: Outcome::Failed,
            subject_id: there.map(|package| package.id.0),
            name: name.chars().take(100).collect(),
            errors: Json(row.errors),
            warnings: Json(Vec::new()),
            before: None,
        };
        let found = match (there, on_existing) {
            (Some(_), OnExisting::Skip) => {
                line.errors.clear();
                Ok((Outcome::Skipped, None))
            }
            (Some(_), OnExisting::Fail) => Err(vec![FieldError {
                field: "name".to_owned(),
                message:
                    "is another package's of this type; choose another, or send onExisting=skip \
                          or onExisting=update"
                        .to_owned(),
            }]),
            (_, OnExisting::Update | OnExisting::Skip | OnExisting::Fail)
                if !line.errors.is_empty() =>
            {
                Err(Vec::new())
            }
            (Some(package), OnExisting::Update) => {
                update(tx, package.id, row.change, depth, now).await?
            }
            (None, OnExisting::Update | OnExisting::Skip | OnExisting::Fail) => {
                match draft(row.change, None) {
                    Err(wrong) => Err(wrong),
                    Ok(draft) if depth == Depth::Write => {
                        let package = packages::create(tx, &draft, now).await?;
                        Ok((Outcome::Created, Some(package.0)))
                    }
                    Ok(_) => Ok((Outcome::Created, None)),
                }
            }
        };
        match found {
            Ok((outcome, made)) => {
                line.outcome = outcome;
                line.subject_id = line.subject_id.or(made);
            }
            Err(errors) => line.errors.extend(errors),
        }
        lines.push(line);
    }
    Ok(lines)
}

type Found = Result<(Outcome, Option<uuid::Uuid>), Vec<FieldError>>;

async fn update(
    tx: &mut Tx,
    package: easyisp_shared::id::PackageId,
    change: Change,
    depth: Depth,
    now: Timestamp,
) -> sqlx::Result<Found> {
    let Some((stored, customers, _)) = packages::lock(tx, package).await? else {
        return Ok(Err(vec![FieldError {
            field: "name".to_owned(),
            message: "was deleted by somebody else at the same moment; send it again".to_owned(),
        }]));
    };
    let before = stored.draft();
    let after = match draft(change, Some(&before)) {
        Ok(after) => after,
        Err(wrong) => return Ok(Err(wrong)),
    };
    if after == before {
        return Ok(Ok((Outcome::Skipped, None)));
    }
    if let Some(why) = packages::refused_in_use(&before, &after, customers) {
        return Ok(Err(vec![FieldError {
            field: "isActive".to_owned(),
            message: format!("cannot be so: {why}"),
        }]));
    }
    if depth == Depth::Write {
        packages::change(tx, package, &before, &after, now).await?;
    }
    Ok(Ok((Outcome::Updated, None)))
}

/// The types of the packages that rows would make, for who may not make all.
pub fn types(rows: &[Row]) -> HashSet<PackageType> {
    rows.iter().filter_map(|row| row.change.kind).collect()
}

/// The words of a file of packages, in the order of its columns.
pub const COLUMNS: [&str; 12] = [
    "name",
    "type",
    "price",
    "downloadSpeed",
    "uploadSpeed",
    "burstDownload",
    "burstUpload",
    "period",
    "dataLimit",
    "devices",
    "isActive",
    "terms",
];

/// A package as such a file shows it.
pub fn cells(draft: &packages::Draft) -> [String; 12] {
    let number = |number: Option<i32>| number.map_or(String::new(), |number| number.to_string());
    let word = |value: serde_json::Result<Value>| match value {
        Ok(Value::String(word)) => word,
        Ok(other) => other.to_string(),
        Err(_) => String::new(),
    };
    [
        draft.name.clone(),
        word(serde_json::to_value(draft.kind)),
        draft.price.to_string(),
        draft.download_mbps.to_string(),
        draft.upload_mbps.to_string(),
        number(draft.burst_download),
        number(draft.burst_upload),
        format!(
            "{} {}",
            draft.period.count,
            word(serde_json::to_value(draft.period.unit))
        ),
        draft
            .data_limit
            .map_or(String::new(), |bytes| bytes.to_string()),
        draft.devices.to_string(),
        (if draft.is_active { "yes" } else { "no" }).to_owned(),
        match draft.terms == packages::Terms::default() {
            true => String::new(),
            false => word(serde_json::to_value(&draft.terms)),
        },
    ]
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::super::table::table;
    use super::*;

    #[test]
    fn a_package_in_a_file_reads_as_it_was() {
        let change = Change {
            name: Some("Home \"10\", fast".to_owned()),
            kind: Some(PackageType::Hotspot),
            price: Some(Cents::new(99_950)),
            download_mbps: Some(10),
            upload_mbps: Some(5),
            burst_download: Some(Some(20)),
            period: period("2 weeks"),
            data_limit: Some(bytes("10 GB")),
            devices: Some(3),
            is_active: Some(false),
            terms: serde_json::from_str(r#"{"timeLimit": 600, "routerProfile": "10M"}"#).ok(),
            ..Change::default()
        };
        let wanted = draft(change, None).unwrap();
        let mut writer = csv::Writer::from_writer(Vec::new());
        writer.write_record(COLUMNS).unwrap();
        writer.write_record(cells(&wanted)).unwrap();
        let text = String::from_utf8(writer.into_inner().unwrap()).unwrap();
        let (rows, warnings) = read(table(&text, 10).unwrap());
        assert_eq!(warnings, Vec::<String>::new());
        assert_eq!(draft(rows[0].change.clone(), None).unwrap(), wanted);
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        let text = "name,type,price,download,upload,period,data,devices,active,terms,colour\n\
                    a,x,1.005,fast,1.5,soon,much,two,maybe,{,red\nb,PPPOE,1,1,1,,,,,,\nB,PPPOE,1,1,1,,,,,,\n";
        let (rows, warnings) = read(table(text, 10).unwrap());
        let fields: Vec<&str> = rows[0].errors.iter().map(|e| e.field.as_str()).collect();
        assert_eq!(
            fields,
            [
                "type",
                "price",
                "downloadSpeed",
                "uploadSpeed",
                "period",
                "dataLimit",
                "devices",
                "isActive",
                "terms"
            ]
        );
        assert_eq!(warnings.len(), 1);
        assert!(rows[1].errors.is_empty());
        assert!(rows[2].errors[0].message.contains("line 3"));
    }
}
