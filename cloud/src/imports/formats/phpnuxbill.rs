//! PHPNuxBill's CSV of customers, and that of its active plans: plan, date and time of its end, on or off.

use super::super::fields::{Field, bare};
use super::super::row::Row;
use super::super::table::Table;
use super::{name_or_username, of_table};

/// The customers of a file.
pub fn read(mut table: Table) -> (Vec<Row>, Vec<String>) {
    join_end(&mut table);
    let (mut rows, warnings) = of_table(table, |columns| {
        for column in columns {
            *column = match bare(column).as_str() {
                "namebp" => "package".to_owned(),
                _ => std::mem::take(column),
            };
        }
    });
    for row in &mut rows {
        let said = row
            .get(Field::Status)
            .map(|text| text.trim().to_lowercase());
        match said.as_deref() {
            // A plan that is off has come to its end; that follows from the date.
            Some("off") => row.say(Field::Status, "EXPIRED"),
            Some("on") => row.say(Field::Status, "ACTIVE"),
            Some(_) | None => {}
        }
        let kind = row.get(Field::ConnectionType).map(bare);
        if let Some(kind) = kind
            && ["others", "vpn", "balance"].contains(&kind.as_str())
        {
            row.cells.remove(&Field::ConnectionType);
            row.warn(
                "service_type",
                format!(
                    "={kind} is no way to be connected here; the package says it, or connectionType"
                ),
            );
        }
        name_or_username(row);
    }
    (rows, warnings)
}

/// `expiration` and `time` are one moment.
fn join_end(table: &mut Table) {
    let at = |name: &str| table.columns.iter().position(|column| bare(column) == name);
    let (Some(date), Some(time)) = (at("expiration"), at("time")) else {
        return;
    };
    table.columns[time] = String::new();
    for (_, cells) in &mut table.rows {
        let moment = cells.get(time).map_or("", |time| time.trim()).to_owned();
        if let Some(cell) = cells.get_mut(date)
            && !cell.trim().is_empty()
            && !moment.is_empty()
        {
            *cell = format!("{} {moment}", cell.trim());
        }
        if let Some(cell) = cells.get_mut(time) {
            cell.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::super::super::table::table;
    use super::*;

    #[test]
    fn customers_with_their_plans_are_read() {
        let csv = "id,username,fullname,address,phonenumber,email,balance,service_type,namebp,recharged_on,\
                   expiration,time,status,method,routers,type\n\
                   1,jane,Jane Doe,Kilimani,254712345678,,50.00,PPPoE,Home 10,2026-01-01,2026-02-01,23:59:00,on,\
                   mpesa,Tower A,PPPOE\n\
                   2,jo,,,,,0.00,Others,Hour,2026-01-01,2026-01-01,13:00:00,off,cash,,Hotspot\n";
        let (rows, warnings) = read(table(csv, 10).unwrap());
        let jane = &rows[0];
        for (field, text) in [
            (Field::Name, "Jane Doe"),
            (Field::Package, "Home 10"),
            (Field::ExpiresAt, "2026-02-01 23:59:00"),
            (Field::Status, "ACTIVE"),
            (Field::Router, "Tower A"),
            (Field::ConnectionType, "PPPoE"),
            (Field::Phone, "254712345678"),
            (Field::Location, "Kilimani"),
        ] {
            assert_eq!(jane.get(field), Some(text), "{field:?}");
        }
        let jo = &rows[1];
        assert_eq!(jo.get(Field::Status), Some("EXPIRED"));
        assert_eq!(jo.get(Field::Name), Some("jo"));
        assert_eq!(jo.warnings.len(), 1);
        // Money is entered by payments, not by files; `type` says what service_type says.
        for (warning, column) in warnings
            .iter()
            .zip(["balance", "recharged_on", "method", "type"])
        {
            assert!(warning.contains(column), "{warnings:?}");
        }
        assert_eq!(warnings.len(), 4);
    }
}
