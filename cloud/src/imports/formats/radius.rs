//! The tables of FreeRADIUS and daloRADIUS: `radcheck`, `radreply`, `radusergroup`, `userinfo`.
//!
//! As a dump of the database, or as CSV: several tables one below the other, each with the names of its
//! columns first.

use std::collections::HashMap;

use super::super::FileError;
use super::super::fields::{Field, bare};
use super::super::row::Row;
use super::super::table::table;
use super::{MOST_WARNINGS, name_or_username, sql};

/// Rows of one table: a user has a handful of attributes.
const MOST: usize = 200_000;

/// The users of a server, in the order in which they first stand there.
pub fn read(text: &str) -> Result<(Vec<Row>, Vec<String>), FileError> {
    let mut users = Users::default();
    if sql::looks_like_dump(&text.to_ascii_lowercase()) {
        let mut tables = sql::read(text, MOST)?;
        for (line, row) in ["radcheck", "radreply"]
            .into_iter()
            .flat_map(|name| tables.remove(name).unwrap_or_default())
        {
            users.attribute(line, &row);
        }
        for (line, row) in ["radusergroup", "usergroup"]
            .into_iter()
            .flat_map(|name| tables.remove(name).unwrap_or_default())
        {
            users.group(line, &row);
        }
        for (line, row) in tables.remove("userinfo").unwrap_or_default() {
            users.person(line, &row);
        }
    } else {
        let whole = table(text, MOST)?;
        let mut columns: Vec<String> = whole.columns.iter().map(|name| bare(name)).collect();
        for (line, cells) in whole.rows {
            let names: Vec<String> = cells.iter().map(|cell| bare(cell)).collect();
            if is_head(&names) {
                columns = names;
                continue;
            }
            let row: HashMap<String, String> = columns.iter().cloned().zip(cells).collect();
            if row.contains_key("attribute") {
                users.attribute(line, &row);
            } else if row.contains_key("groupname") {
                users.group(line, &row);
            } else {
                users.person(line, &row);
            }
        }
    }
    Ok(users.finish())
}

/// Whether these are the names of a table's columns.
fn is_head(names: &[String]) -> bool {
    let has = |name: &str| names.iter().any(|known| known == name);
    has("username") && (has("attribute") || has("groupname") || has("firstname"))
}

#[derive(Default)]
struct Users {
    rows: Vec<Row>,
    by_name: HashMap<String, usize>,
    /// Lines that name nobody.
    nobody: u32,
}

impl Users {
    fn of(&mut self, line: u32, row: &HashMap<String, String>) -> Option<&mut Row> {
        let name = row
            .get("username")
            .map(|name| name.trim())
            .unwrap_or_default();
        if name.is_empty() {
            self.nobody += 1;
            return None;
        }
        let at = *self.by_name.entry(name.to_owned()).or_insert_with(|| {
            let mut new = Row::at(line);
            new.say(Field::Username, name);
            self.rows.push(new);
            self.rows.len() - 1
        });
        self.rows.get_mut(at)
    }

    fn attribute(&mut self, line: u32, record: &HashMap<String, String>) {
        let text = |name: &str| record.get(name).map_or("", |text| text.as_str());
        let (attribute, value) = (text("attribute").trim(), text("value"));
        let Some(row) = self.of(line, record) else {
            return;
        };
        match attribute.to_ascii_lowercase().as_str() {
            "cleartext-password" | "user-password" | "password" => row.say(Field::Password, value),
            "crypt-password" | "md5-password" | "smd5-password" | "sha-password" | "ssha-password"
            | "sha1-password" | "sha2-password" | "nt-password" | "lm-password" => row.error(
                "password",
                format!("is kept as a digest ({attribute}), which nobody can read; set Cleartext-Password"),
            ),
            // The server means the beginning of a day that it says alone.
            "expiration" if !value.contains(':') => {
                row.say(Field::ExpiresAt, format!("{} 00:00", value.trim()));
            }
            "expiration" => row.say(Field::ExpiresAt, value),
            "simultaneous-use" => row.say(Field::Devices, value),
            "calling-station-id" => row.say(Field::Macs, value),
            "framed-ip-address" => row.say(Field::StaticIp, value),
            "auth-type" if value.eq_ignore_ascii_case("reject") => {
                row.say(Field::Status, "DISABLED");
            }
            // What every line has, and what says nothing of one alone.
            "framed-protocol" if value.eq_ignore_ascii_case("ppp") => {
                row.say(Field::ConnectionType, "PPPOE");
            }
            "service-type" | "framed-compression" | "fall-through" => {}
            _ => row.warn(
                attribute,
                "has no place here and is left out; packages say what a router is told",
            ),
        }
    }

    fn group(&mut self, line: u32, record: &HashMap<String, String>) {
        let group = record.get("groupname").map_or("", |name| name.trim());
        let Some(row) = self.of(line, record) else {
            return;
        };
        let disabling = ["daloradius-disabled-users", "disabled", "suspended"];
        if disabling.contains(&group.to_ascii_lowercase().as_str()) {
            row.say(Field::Status, "DISABLED");
        } else if row.get(Field::Package).is_none() {
            row.say(Field::Package, group);
        } else {
            row.warn(
                "groupname",
                format!("={group} is a second group and is left out"),
            );
        }
    }

    fn person(&mut self, line: u32, record: &HashMap<String, String>) {
        let text = |name: &str| record.get(name).map_or("", |text| text.trim());
        let name = format!("{} {}", text("firstname"), text("lastname"));
        let phone = ["mobilephone", "homephone", "workphone"]
            .map(text)
            .into_iter()
            .find(|phone| !phone.is_empty());
        let Some(row) = self.of(line, record) else {
            return;
        };
        row.say(Field::Name, name.trim());
        row.say(Field::Email, text("email"));
        row.say(Field::Phone, phone.unwrap_or_default());
        row.say(Field::Location, text("address"));
    }

    fn finish(mut self) -> (Vec<Row>, Vec<String>) {
        for row in &mut self.rows {
            name_or_username(row);
            row.warnings.truncate(MOST_WARNINGS);
        }
        let nobody = (self.nobody > 0)
            .then(|| format!("{} lines without a user name are left out", self.nobody));
        (self.rows, nobody.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn three_tables_in_one_file_become_one_row_a_user() {
        let csv = "id,username,attribute,op,value\n\
                   1,jane,Cleartext-Password,:=,jane-secret\n\
                   2,jane,Expiration,:=,01 Mar 2026\n\
                   3,jo,NT-Password,:=,0123456789ABCDEF\n\
                   4,jane,Simultaneous-Use,:=,2\n\
                   5,jo,Auth-Type,:=,Reject\n\
                   6,,Auth-Type,:=,Reject\n\
                   id,username,attribute,op,value\n\
                   1,jane,Framed-IP-Address,=,10.0.0.9\n\
                   2,jane,Mikrotik-Rate-Limit,=,5M/10M\n\
                   3,jane,Framed-Protocol,=,PPP\n\
                   username,groupname,priority\n\
                   jane,Home 10,1\n\
                   jane,Night,2\n\
                   jo,daloRADIUS-Disabled-Users,0\n";
        let (rows, warnings) = read(csv).unwrap();
        assert_eq!(rows.len(), 2);
        let jane = &rows[0];
        assert_eq!(jane.line, 2);
        for (field, text) in [
            (Field::Password, "jane-secret"),
            (Field::ExpiresAt, "01 Mar 2026 00:00"),
            (Field::Devices, "2"),
            (Field::StaticIp, "10.0.0.9"),
            (Field::ConnectionType, "PPPOE"),
            (Field::Package, "Home 10"),
            (Field::Name, "jane"),
        ] {
            assert_eq!(jane.get(field), Some(text), "{field:?}");
        }
        let said: Vec<&str> = jane.warnings.iter().map(|w| w.field.as_str()).collect();
        assert_eq!(said, ["Mikrotik-Rate-Limit", "groupname"]);
        let jo = &rows[1];
        assert_eq!(jo.get(Field::Status), Some("DISABLED"));
        assert!(jo.errors[0].message.contains("NT-Password"), "{jo:?}");
        assert_eq!(warnings, ["1 lines without a user name are left out"]);
    }

    #[test]
    fn a_dump_says_the_same_and_who_people_are() {
        let dump = "INSERT INTO `radcheck` (`id`,`username`,`attribute`,`op`,`value`) VALUES\n\
                    (1,'jane','User-Password','==','secret-1'),(2,'jane','Expiration',':=','1 Mar 2026 10:00:00');\n\
                    INSERT INTO `radusergroup` VALUES ('jane','Home',0);\n\
                    INSERT INTO `userinfo` (`id`,`username`,`firstname`,`lastname`,`email`,`mobilephone`,`address`) \
                    VALUES (1,'jane','Jane','Doe','j@x.example','0712345678','Kilimani');\n";
        let (rows, warnings) = read(dump).unwrap();
        assert_eq!((rows.len(), warnings.len()), (1, 0));
        let jane = &rows[0];
        for (field, text) in [
            (Field::Password, "secret-1"),
            (Field::ExpiresAt, "1 Mar 2026 10:00:00"),
            (Field::Package, "Home"),
            (Field::Name, "Jane Doe"),
            (Field::Email, "j@x.example"),
            (Field::Phone, "0712345678"),
            (Field::Location, "Kilimani"),
        ] {
            assert_eq!(jane.get(field), Some(text), "{field:?}");
        }
    }
}
