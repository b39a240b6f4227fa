//! What a person types beside a running agent, and beside none: what is said, and how it ends.

use std::net::UdpSocket;
use std::process::{Command, Output};

use easyisp_agent::status::Report;

use super::Program;

/// Beside an agent that serves, `status` says how it is, to people and to programs, and ends with 0. Where there is
/// none, it says how to start one, and ends with 1.
#[test]
fn status_tells_how_the_agent_is_and_fails_where_there_is_none() {
    let folder = tempfile::tempdir().unwrap();
    let mut program = Program::serving(folder.path());
    let told = program.says(&["status"]);
    assert_eq!(told.status.code(), Some(0), "{told:?}");
    let text = String::from_utf8(told.stdout).unwrap();
    for part in ["tower", "described by hand"] {
        assert!(text.contains(part), "{part}: {text}");
    }

    let told = program.says(&["status", "--json"]);
    assert_eq!(told.status.code(), Some(0), "{told:?}");
    let report: Report = serde_json::from_slice(&told.stdout).unwrap();
    assert_eq!((report.subscribers, report.routers.len()), (1, 1));
    assert!(report.routers[0].last_seen.is_some(), "{report}");
    assert!(report.durability.is_some_and(|found| found.contains("wal")));

    program.end();
    for words in [&["status"][..], &["status", "--json"]] {
        let told = program.says(words);
        assert_eq!(told.status.code(), Some(1), "{told:?}");
        assert!(told.stdout.is_empty(), "{told:?}");
        let said = String::from_utf8(told.stderr).unwrap();
        assert!(said.contains("start one with: easyisp-agent run"), "{said}");
    }
}

/// `doctor` says of each thing whether it is well, and under each that is not its remedy; it ends with 1 while there is
/// one.
#[test]
fn doctor_says_what_is_wrong_and_ends_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut program = Program::serving(folder.path());
    let told = program.says(&["doctor"]);
    assert_eq!(told.status.code(), Some(1), "{told:?}");
    let text = String::from_utf8(told.stdout).unwrap();
    let failed = |text: &str| -> Vec<String> {
        let lines = text.lines().filter_map(|line| line.strip_prefix("FAIL  "));
        let name = |line: &str| line.split(": ").next().unwrap_or_default().to_owned();
        // How full the disk of this machine is is its own matter.
        lines.map(name).filter(|what| what != "room").collect()
    };
    // A site described by hand has no identity, and so no certificate and no link.
    assert_eq!(failed(&text), ["identity", "certificate", "link"], "{text}");
    assert!(text.contains("easyisp-agent enroll"), "{text}");
    for well in [
        "ok    disk: ",
        "ok    outbox.db: ",
        "ok    routers: all 1 heard",
    ] {
        assert!(text.contains(well), "{well}: {text}");
    }

    // A second one that is to serve at the same ports, with no agent of its own to ask.
    program.end();
    let taken = UdpSocket::bind(program.ports[0]).unwrap();
    let told = program.says(&["doctor"]);
    assert_eq!(told.status.code(), Some(1), "{told:?}");
    let text = String::from_utf8(told.stdout).unwrap();
    let found = failed(&text);
    assert_eq!(
        found,
        ["identity", "certificate", "[radius] auth", "agent"],
        "{text}"
    );
    for remedy in ["ss -lunp", "easyisp-agent run"] {
        assert!(text.contains(remedy), "{remedy}: {text}");
    }
    drop(taken);
    let text = String::from_utf8(program.says(&["doctor"]).stdout).unwrap();
    assert_eq!(
        failed(&text),
        ["identity", "certificate", "agent"],
        "{text}"
    );
}

impl Program {
    /// The same program with the same settings and other words, to its end.
    fn says(&self, words: &[&str]) -> Output {
        let mut command = Command::new(self.command.get_program());
        command.args(words).env_clear();
        if let Some(folder) = self.command.get_current_dir() {
            command.current_dir(folder);
        }
        for (name, value) in self.command.get_envs() {
            if let Some(value) = value {
                command.env(name, value);
            }
        }
        command.output().unwrap()
    }
}
