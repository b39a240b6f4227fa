//! Who may name whom.

use crate::source::{Source, line_of};

/// What a file that decides never touches: sockets, disks, databases.
const OUTSIDE: [&str; 5] = ["tokio", "axum", "sqlx", "rusqlite", "quinn"];
/// Nor does it read a clock.
const CLOCKS: [&str; 4] = [
    "Instant::now(",
    "SystemTime::now(",
    "Timestamp::now(",
    "Clock::system(",
];

/// `cloud -> shared <- agent`, in code and in the manifests.
pub fn crates(sources: &[Source], manifests: &[(String, String)]) -> Vec<String> {
    let forbidden = |path: &str| -> &[(&str, &str)] {
        const CLOUD: (&str, &str) = ("easyisp_cloud", "easyisp-cloud");
        const AGENT: (&str, &str) = ("easyisp_agent", "easyisp-agent");
        match path.split('/').next() {
            Some("cloud") => &[AGENT],
            Some("agent") => &[CLOUD],
            Some("shared") => &[CLOUD, AGENT],
            Some(_) | None => &[],
        }
    };
    let mut broken = Vec::new();
    for source in sources {
        for (name, _) in forbidden(&source.path) {
            // Test modules count too, so this reads the text.
            if source.text.contains(name) {
                broken.push(format!("{} names {name}", source.path));
            }
        }
    }
    for (path, text) in manifests {
        for (_, name) in forbidden(path) {
            if text.lines().any(|line| line.starts_with(name)) {
                broken.push(format!("{path} depends on {name}"));
            }
        }
    }
    broken
}

/// A folder of the cloud calls only folders above it in `cloud/src/lib.rs`.
pub fn order(sources: &[Source]) -> Vec<String> {
    let Some(lib) = sources
        .iter()
        .find(|source| source.path == "cloud/src/lib.rs")
    else {
        return vec!["cloud/src/lib.rs is missing".to_owned()];
    };
    let order: Vec<&str> = modules(&lib.code).collect();
    let place = |name: &str| order.iter().position(|listed| *listed == name);

    let mut broken = Vec::new();
    for source in sources {
        let Some(inside) = source.path.strip_prefix("cloud/src/") else {
            continue;
        };
        let own = inside
            .split('/')
            .next()
            .unwrap_or(inside)
            .trim_end_matches(".rs");
        let Some(own_place) = place(own) else {
            continue;
        };
        for (at, name) in calls(source) {
            if place(&name).is_some_and(|called| called > own_place) {
                let line = line_of(&source.code, at);
                broken.push(format!(
                    "{}:{line} calls {name}, which is below {own}",
                    source.path
                ));
            }
        }
    }
    broken
}

/// The names that follow `crate::`, also inside `use crate::{…}`, and `super::` of a folder's root.
fn calls(source: &Source) -> Vec<(usize, String)> {
    let folder_root = source.path.ends_with("/mod.rs") || source.path.matches('/').count() == 2;
    let mut found = Vec::new();
    for prefix in ["crate::", "super::"] {
        if prefix == "super::" && !(folder_root && source.path.matches('/').count() <= 3) {
            continue;
        }
        for (at, _) in source.code.match_indices(prefix) {
            let after = &source.code[at + prefix.len()..];
            if let Some(group) = after.strip_prefix('{') {
                found.extend(top_names(group).map(|name| (at, name.to_owned())));
            } else {
                found.push((at, word(after).to_owned()));
            }
        }
    }
    found
}

/// The first word of each branch of a use group: `db::{Tx, X}, auth}` gives db and auth.
fn top_names(group: &str) -> impl Iterator<Item = &str> {
    let mut depth = 0;
    let mut starts = vec![0];
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => starts.push(at + 1),
            _ => {}
        }
    }
    starts.into_iter().map(|at| word(group[at..].trim_start()))
}

fn word(text: &str) -> &str {
    let end = text
        .find(|c| !crate::source::is_word(c))
        .unwrap_or(text.len());
    &text[..end]
}

fn modules(code: &str) -> impl Iterator<Item = &str> {
    let declarations = code
        .lines()
        .filter_map(|line| line.trim().strip_suffix(';'));
    declarations.filter_map(|line| Some(line.split_once("mod ")?.1))
}

/// SQLite belongs to `agent/src/store`.
pub fn sqlite(sources: &[Source]) -> Vec<String> {
    let outside = |source: &&Source| {
        let path = source.path.as_str();
        !path.starts_with("agent/src/store")
            && (path.starts_with("agent/") || path.starts_with("cloud/"))
    };
    let names = |source: &Source| {
        let line = source.has_path_into("rusqlite")?;
        Some(format!(
            "{}:{line} uses rusqlite outside agent/src/store",
            source.path
        ))
    };
    sources.iter().filter(outside).filter_map(names).collect()
}

/// Files that decide import nothing that does I/O and read no clock.
pub fn pure(sources: &[Source]) -> Vec<String> {
    let mut broken = Vec::new();
    for source in sources.iter().filter(|source| decides(&source.path)) {
        let shared = source.path.starts_with("shared/");
        for krate in OUTSIDE {
            // The conversions of shared types that must live beside the type, behind a feature.
            if shared && ["sqlx", "rusqlite"].contains(&krate) {
                continue;
            }
            if let Some(line) = source.has_path_into(krate) {
                broken.push(format!("{}:{line} decides, but uses {krate}", source.path));
            }
        }
        for clock in CLOCKS {
            if let Some(at) = source.code.find(clock) {
                let line = line_of(&source.code, at);
                broken.push(format!("{}:{line} decides, but reads a clock", source.path));
            }
        }
    }
    broken
}

fn decides(path: &str) -> bool {
    const CORES: [&str; 4] = [
        "shared/src/",
        "agent/src/radius/",
        "agent/src/sessions/",
        "agent/src/diagnosis/",
    ];
    // The clock itself; and the drivers, which own a core's sockets.
    let excepted = path == "shared/src/time.rs" || path.ends_with("/driver.rs");
    path.ends_with("/rules.rs") || CORES.iter().any(|core| path.starts_with(core)) && !excepted
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(path: &str, text: &str) -> Vec<Source> {
        vec![Source::new(path, text)]
    }

    #[test]
    fn the_two_sides_never_see_each_other() {
        assert_eq!(
            crates(&one("cloud/src/a.rs", "use easyisp_agent::x;"), &[]).len(),
            1
        );
        assert_eq!(
            crates(&one("shared/src/a.rs", "use easyisp_cloud::x;"), &[]).len(),
            1
        );
        assert_eq!(
            crates(&one("tests/support/a.rs", "use easyisp_cloud::x;"), &[]).len(),
            0
        );
        let manifest = (
            "agent/Cargo.toml".to_owned(),
            "easyisp-cloud.workspace = true".to_owned(),
        );
        assert_eq!(crates(&[], &[manifest]).len(), 1);
    }

    #[test]
    fn a_folder_calls_only_those_above_it() {
        let lib = "pub mod error;\npub mod db;\n// things\npub mod customers;\npub mod renewals;\n";
        let check = |path: &str, text: &str| {
            order(&[
                Source::new("cloud/src/lib.rs", lib),
                Source::new(path, text),
            ])
            .len()
        };
        assert_eq!(
            check(
                "cloud/src/renewals/mod.rs",
                "use crate::customers::Customer;"
            ),
            0
        );
        assert_eq!(
            check("cloud/src/customers/mod.rs", "use crate::renewals::renew;"),
            1
        );
        assert_eq!(
            check("cloud/src/customers/mod.rs", "use super::renewals::renew;"),
            1
        );
        assert_eq!(check("cloud/src/customers/http.rs", "use super::store;"), 0);
        let group = "use crate::{db::{Tx, renewals}, error::ApiError, renewals};";
        assert_eq!(check("cloud/src/db/mod.rs", group), 1);
        assert_eq!(
            check("cloud/src/db/mod.rs", "fn a() { crate::customers::b() }"),
            1
        );
        assert_eq!(check("cloud/src/db/mod.rs", "// crate::customers::b()"), 0);
    }

    #[test]
    fn sqlite_belongs_to_the_agents_store() {
        assert_eq!(
            sqlite(&one("agent/src/sync/mod.rs", "use rusqlite::Connection;")).len(),
            1
        );
        assert_eq!(
            sqlite(&one("agent/src/sync/mod.rs", "// not rusqlite::this")).len(),
            0
        );
        assert_eq!(
            sqlite(&one("agent/src/store/mod.rs", "use rusqlite::Connection;")).len(),
            0
        );
    }

    #[test]
    fn files_that_decide_do_no_io_and_read_no_clock() {
        let broken = |path: &str, text: &str| pure(&one(path, text)).len();
        assert_eq!(
            broken("cloud/src/payments/rules.rs", "use sqlx::PgPool;"),
            1
        );
        assert_eq!(
            broken(
                "agent/src/radius/packet.rs",
                "async fn a() { tokio::spawn(b) }"
            ),
            1
        );
        assert_eq!(
            broken("agent/src/radius/driver.rs", "use tokio::net::UdpSocket;"),
            0
        );
        assert_eq!(
            broken("agent/src/enforce/rules.rs", "let now = Instant::now();"),
            1
        );
        assert_eq!(
            broken(
                "shared/src/money.rs",
                "impl sqlx::Type<sqlx::Postgres> for A {}"
            ),
            0
        );
        assert_eq!(broken("shared/src/money.rs", "use axum::Json;"), 1);
        let tested = "fn a() {}\n#[cfg(test)]\nmod tests { fn b() { Instant::now(); } }";
        assert_eq!(broken("agent/src/radius/coa.rs", tested), 0);
    }
}
