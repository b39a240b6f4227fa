//! Reads the source tree and keeps its arrows true.

#[path = "tidy/arrows.rs"]
mod arrows;
#[path = "tidy/dependencies.rs"]
mod dependencies;
#[path = "tidy/faults.rs"]
mod faults;
#[path = "tidy/source.rs"]
mod source;
#[path = "tidy/sql.rs"]
mod sql;

use std::path::PathBuf;
use std::process::Command;

#[test]
fn cloud_and_agent_share_words_and_never_see_each_other() {
    let manifests = source::files(&root(), &["cloud", "agent", "shared"], "Cargo.toml");
    assert_kept(arrows::crates(&source::rust(&root()), &manifests));
}

#[test]
fn a_folder_of_the_cloud_calls_only_folders_above_it() {
    assert_kept(arrows::order(&source::rust(&root())));
}

#[test]
fn only_the_agents_store_speaks_sqlite() {
    assert_kept(arrows::sqlite(&source::rust(&root())));
}

#[test]
fn files_that_decide_do_no_io_and_read_no_clock() {
    assert_kept(arrows::pure(&source::rust(&root())));
}

#[test]
fn sql_reads_no_clock_and_no_randomness() {
    let migrations = source::files(&root(), &["migrations"], ".sql");
    assert_kept(sql::pure(&source::rust(&root()), &migrations));
}

#[test]
fn sql_stands_in_the_store_of_its_feature() {
    assert_kept(sql::places(&source::rust(&root())));
}

#[test]
fn statements_made_of_parts_are_named() {
    assert_kept(sql::dynamic(&source::rust(&root())));
}

#[test]
fn each_priority_one_fault_stands_in_one_test() {
    let ids = |text: &'static str| text.split_whitespace();
    let due: Vec<&str> = ids(include_str!("vectors/faults-p1.txt")).collect();
    let coming = ids(include_str!("vectors/faults-p1-coming.txt"));
    let all: Vec<&str> = due.iter().copied().chain(coming).collect();
    let found = faults::tests_of(&all, &source::rust(&root()));

    let missing = due.iter().filter(|id| found[*id].is_empty());
    assert_kept(
        missing
            .map(|id| format!("no test stands for the fault {id}"))
            .collect(),
    );

    // The id stays with the test that fails first without the protection; others say it in words.
    let twice = found.iter().filter(|(_, tests)| tests.len() > 1);
    assert_kept(
        twice
            .map(|(id, tests)| {
                format!(
                    "{id} stands in {} tests:\n  {}",
                    tests.len(),
                    tests.join("\n  ")
                )
            })
            .collect(),
    );
}

#[test]
fn every_dependency_has_its_reason() {
    let manifest = std::fs::read_to_string(root().join("Cargo.toml")).expect("the manifest");
    assert_kept(dependencies::reasons(&manifest));
}

#[test]
fn every_licence_lets_us_ship() {
    let target = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let metadata = Command::new(env!("CARGO"))
        .args([
            "metadata",
            "--format-version=1",
            "--locked",
            "--filter-platform",
        ])
        .arg(target)
        .current_dir(root())
        .output()
        .expect("cargo runs");
    let said = String::from_utf8_lossy(&metadata.stderr);
    assert!(metadata.status.success(), "cargo metadata: {said}");
    let metadata = serde_json::from_slice(&metadata.stdout).expect("cargo writes JSON");
    assert_kept(dependencies::licences(&metadata));
}

fn root() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

fn assert_kept(broken: Vec<String>) {
    assert!(broken.is_empty(), "\n{}\n", broken.join("\n"));
}
