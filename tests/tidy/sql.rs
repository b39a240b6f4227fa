//! Where SQL stands and what it may say.

use crate::source::Source;

/// Ids and `now` are parameters: a statement says the same whenever and wherever it runs.
const IMPURE: [&str; 9] = [
    "now()",
    "current_timestamp",
    "current_date",
    "localtimestamp",
    "clock_timestamp(",
    "statement_timestamp(",
    "transaction_timestamp(",
    "gen_random_uuid(",
    "random()",
];

/// Whose SQL reads the server's clock: to find out whether ours is wrong, which no argument tells; and what tries that.
const CLOCKS: [&str; 2] = ["cloud/src/db/drift.rs", "tests/stories/clock.rs"];

/// Where SQL may stand outside a `store.rs`, and why.
const PLACES: [&str; 10] = [
    "cloud/src/db/",        // the doors to the database, the feed and the cluster
    "cloud/src/ledger/",    // horizontal: writes its tables for everyone
    "cloud/src/dashboard/", // reads across features
    // Commons that are one file around one table.
    "cloud/src/secrets.rs",
    "cloud/src/due.rs",
    "cloud/src/api/idempotency.rs",
    "cloud/src/audit/mod.rs",
    "cloud/src/auth/sessions.rs",
    "agent/src/store/", // the whole of SQLite
    "tests/",           // looks at tables from outside
];

/// Where a statement may be put together at run time, and why that is safe.
const DYNAMIC: [&str; 7] = [
    "cloud/src/db/mod.rs", // the tenant's id, which prints as hex digits and dashes
    "cloud/src/api/sort.rs", // the columns of an order, each a constant that a name of the request picks
    "tests/stories/sorted.rs", // the columns of a table that is filled with copies
    "tests/benches/postgres.rs", // FreeRADIUS's own schema, and names that are constants
    "tests/benches/years/load.rs", // indexes that are dropped and made again as the catalog has them
    "tests/support/database.rs", // database names made of numbers, and plans of statements that were sent
    "tests/support/grown.rs", // a million rows of a tenant whose id prints as hex digits and dashes
];

/// No SQL reads a clock or randomness.
pub fn pure(sources: &[Source], migrations: &[(String, String)]) -> Vec<String> {
    let mut broken = Vec::new();
    for source in sources.iter().filter(|source| {
        !source.path.starts_with("tests/tidy") && !CLOCKS.contains(&source.path.as_str())
    }) {
        for (line, literal) in &source.literals {
            if let Some(impure) = impurity(literal) {
                broken.push(format!("{}:{line} says {impure} in SQL", source.path));
            }
        }
    }
    for (path, text) in migrations {
        for (number, line) in text.lines().enumerate() {
            let sql = line.split("--").next().unwrap_or_default();
            if let Some(impure) = impurity(sql) {
                broken.push(format!("{path}:{} says {impure}", number + 1));
            }
        }
    }
    broken
}

fn impurity(sql: &str) -> Option<&'static str> {
    let sql = sql.to_lowercase();
    let stands = |impure: &&&str| {
        let mut places = sql.match_indices(**impure);
        places.any(|(at, _)| !sql[..at].ends_with(crate::source::is_word))
    };
    IMPURE.iter().find(stands).copied()
}

/// SQL stands in `store.rs`, or in a place that says why not.
pub fn places(sources: &[Source]) -> Vec<String> {
    let mut broken = Vec::new();
    for source in sources {
        let path = &source.path;
        let store = path.ends_with("/store.rs") || path.contains("/store/");
        if store || PLACES.iter().any(|place| path.starts_with(place)) {
            continue;
        }
        for (line, literal) in &source.literals {
            if is_statement(literal) {
                broken.push(format!("{path}:{line} holds SQL; it belongs in store.rs"));
            }
        }
    }
    broken
}

fn is_statement(literal: &str) -> bool {
    let text = literal.trim_start().to_lowercase();
    let words: Vec<&str> = text.split_whitespace().collect();
    match words.as_slice() {
        ["select", rest @ ..] => rest.contains(&"from") || text.contains('('),
        ["insert", "into", ..] | ["delete", "from", ..] => true,
        ["update", _, "set", ..] | ["update", _, _, "set", ..] => true,
        ["with", _, "as", ..] => text.contains('('),
        _ => false,
    }
}

/// A statement made of parts is a hole unless each part is known; such places are few and named.
pub fn dynamic(sources: &[Source]) -> Vec<String> {
    let unnamed = |source: &&Source| {
        source.code.contains("AssertSqlSafe") && !DYNAMIC.contains(&source.path.as_str())
    };
    let broken = sources.iter().filter(unnamed);
    broken
        .map(|source| format!("{} uses AssertSqlSafe", source.path))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(path: &str, text: &str) -> Vec<Source> {
        vec![Source::new(path, text)]
    }

    #[test]
    fn sql_reads_no_clock_and_no_randomness() {
        let store = |sql: &str| pure(&one("cloud/src/a/store.rs", &format!("q(\"{sql}\")")), &[]);
        assert_eq!(store("update a set b = now()").len(), 1);
        assert_eq!(store("insert into a values (GEN_RANDOM_UUID())").len(), 1);
        assert_eq!(store("select known() from a").len(), 0);
        assert_eq!(
            pure(&one("cloud/src/a/http.rs", "clock.now()"), &[]).len(),
            0
        );

        let migration = |sql: &str| ("migrations/cloud/0001_a.sql".to_owned(), sql.to_owned());
        assert_eq!(
            pure(&[], &[migration("a timestamptz default now()")]).len(),
            1
        );
        assert_eq!(
            pure(&[], &[migration("-- never now()\ncreate table a ()")]).len(),
            0
        );
    }

    #[test]
    fn sql_stands_in_the_store() {
        let text = "q(\"select a\n from b\")";
        assert_eq!(places(&one("cloud/src/a/http.rs", text)).len(), 1);
        assert_eq!(places(&one("cloud/src/a/store.rs", text)).len(), 0);
        assert_eq!(
            places(&one("cloud/src/a/http.rs", "e(\"select a router first\")")).len(),
            0
        );
        assert_eq!(
            places(&one("agent/src/sync/mod.rs", "q(\"update a set b = 1\")")).len(),
            1
        );
    }

    #[test]
    fn statements_made_of_parts_are_named() {
        let text = "use sqlx::AssertSqlSafe;";
        assert_eq!(dynamic(&one("cloud/src/a/store.rs", text)).len(), 1);
        assert_eq!(dynamic(&one("cloud/src/db/mod.rs", text)).len(), 0);
    }
}
