//! What who is logged in may: the policies of his group (`MikroTik`, User), command by command.
//!
//! The manual gives `read` what changes nothing, `write` what does, "except for user management", which is `policy`'s;
//! `ftp` reads, writes and erases files and is to go with `read` and `write`; `test` runs ping, fetch and their like;
//! `reboot` and `password` are what they say; `sensitive` shows secrets. From 7.13 `/tool fetch` needs `ftp` beside
//! `test` (release notes). That `/system backup save` and `/export file=` need `ftp` is what public projects met, not
//! the manual's word; one of them also met `/system package update install` refused without `policy`, which is not
//! enforced here because nobody else says so. How a router refuses a policy of an entry of the scheduler that its
//! owner has not is not written down either: here it is the usual refusal.

use std::collections::BTreeSet;

use super::super::script::Machine;
use super::wire::Sentence;

/// The words of a refusal.
pub(super) const REFUSED: &str = "not enough permissions (9)";

/// The policies of a group.
#[derive(Clone, Debug)]
pub(super) struct Rights(BTreeSet<String>);

impl Rights {
    /// Of a user; none for who is nobody.
    pub(super) fn of(machine: &Machine, user: &str) -> Rights {
        let first = |menu: &str, name: &str| machine.rows(menu, "name", name).into_iter().next();
        let group = first("/user", user).and_then(|user| user.get("group").cloned());
        let group = group.and_then(|group| first("/user group", &group));
        let policy = group.and_then(|group| group.get("policy").cloned());
        Rights::read(&policy.unwrap_or_default())
    }

    fn read(policy: &str) -> Rights {
        let all = policy.split(',').map(str::trim);
        let granted = all.filter(|one| !one.is_empty() && !one.starts_with('!'));
        Rights(granted.map(str::to_owned).collect())
    }

    pub(super) fn has(&self, policy: &str) -> bool {
        self.0.contains(policy)
    }

    /// Whether this command is theirs.
    pub(super) fn allow(&self, sentence: &Sentence) -> bool {
        let path = sentence.first().unwrap_or_default();
        let owned = |policy: &str| Rights::read(policy).0.is_subset(&self.0);
        let (menu, verb) = path.rsplit_once('/').unwrap_or_default();
        let scheduled = menu == "/system/scheduler" && ["add", "set"].contains(&verb);
        if scheduled && !sentence.value("policy").is_none_or(owned) {
            return false;
        }
        needed(path).iter().all(|policy| self.has(policy))
    }
}

/// Whether a command changes something.
pub(super) fn changes(path: &str) -> bool {
    let (_, verb) = path.rsplit_once('/').unwrap_or_default();
    let asks = [
        "quit",
        "cancel",
        "login",
        "print",
        "getall",
        "monitor-traffic",
        "ping",
    ];
    !asks.contains(&verb)
}

fn needed(path: &str) -> &'static [&'static str] {
    let (menu, verb) = path.rsplit_once('/').unwrap_or_default();
    match (menu, verb) {
        (_, "quit" | "cancel") => &[],
        (_, "password") => &["password"],
        (_, "print" | "getall" | "monitor-traffic") => &["read"],
        (_, "ping") => &["test"],
        ("/tool", "fetch") => &["test", "ftp"],
        ("/system/backup", _) => &["read", "write", "ftp"],
        ("", "export") => &["read", "ftp"],
        ("/file", _) => &["read", "write", "ftp"],
        ("/system", "reboot" | "shutdown") => &["reboot"],
        ("/system/package/update", "install") | ("/system/package", "downgrade") => {
            &["write", "reboot"]
        }
        ("/user" | "/user/group" | "/user/aaa", _) => &["write", "policy"],
        _ => &["write"], // whatever else changes something
    }
}

/// What is shown to nobody without `sensitive`.
pub(super) const SENSITIVE: &[&str] = &[
    "password",
    "secret",
    "passphrase",
    "private-key",
    "authentication-password",
    "encryption-password",
    "wpa2-pre-shared-key",
];
