//! Splynx's CSV of customers, or of internet services, which have logins and passwords of their own.

use super::super::fields::{Field, bare};
use super::super::row::Row;
use super::super::table::Table;
use super::{name_or_username, of_table};

/// The customers of a file.
pub fn read(table: Table) -> (Vec<Row>, Vec<String>) {
    let has = |name: &str| table.columns.iter().any(|column| bare(column) == name);
    // The login of a service is what is dialled with; that of the portal where there is no other.
    let of_service = has("servicelogin") || has("login") && has("portallogin");
    let (mut rows, warnings) = of_table(table, |columns| {
        for column in columns {
            *column = match bare(column).as_str() {
                "portallogin" if !of_service => "username".to_owned(),
                "servicelogin" => "username".to_owned(),
                "portalpassword" | "servicepassword" => "password".to_owned(),
                "internetplan" | "internettariffs" | "tariffs" | "plantitle" => {
                    "package".to_owned()
                }
                "ipv4address" | "takenipv4" => "ipv4".to_owned(),
                "serviceenddate" | "blockingdate" => "expiry".to_owned(),
                _ => std::mem::take(column),
            };
        }
    });
    for row in &mut rows {
        let said = row.get(Field::Status).map(bare);
        if said.as_deref() == Some("new") {
            row.say(Field::Status, "SUSPENDED");
            row.warn(
                "status",
                "=new is not connected yet: he is suspended until you activate him",
            );
        }
        name_or_username(row);
    }
    (rows, warnings)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::super::super::table::table;
    use super::*;

    #[test]
    fn customers_and_services_are_read() {
        let customers = "\"ID\";\"Status\";\"Portal login\";\"Full name\";\"Phone number\";\"Street\";\"Internet plan\"\n\
                         \"1\";\"Active\";\"100017\";\"Jane Doe\";\"0712345678\";\"Kilimani 5\";\"Home 10\"\n\
                         \"2\";\"New\";\"100018\";\"Jo Doe\";\"\";\"\";\"\"\n";
        let (rows, warnings) = read(table(customers, 10).unwrap());
        assert_eq!(warnings, Vec::<String>::new());
        for (field, text) in [
            (Field::Username, "100017"),
            (Field::Name, "Jane Doe"),
            (Field::Package, "Home 10"),
            (Field::Location, "Kilimani 5"),
        ] {
            assert_eq!(rows[0].get(field), Some(text), "{field:?}");
        }
        assert_eq!(rows[1].get(Field::Status), Some("SUSPENDED"));
        assert_eq!(rows[1].warnings[0].field, "status");

        let services = "Portal login,Login,Password,Plan,IPv4,MAC,Status\n100017,jane,s3cret,Home,10.0.0.3,,Blocked\n";
        let (rows, warnings) = read(table(services, 10).unwrap());
        assert!(warnings[0].contains("Portal login"), "{warnings:?}");
        assert_eq!(rows[0].username(), "jane");
        assert_eq!(rows[0].get(Field::StaticIp), Some("10.0.0.3"));
        assert_eq!(rows[0].get(Field::Status), Some("Blocked"));
    }
}
