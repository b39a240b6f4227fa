//! What we build on: why it was chosen, and under which licence it comes.

use serde_json::Value;

/// What the product may be shipped with. Nothing that asks for our source in return.
const ALLOWED: [&str; 12] = [
    "MIT",
    "MIT-0",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "0BSD",
    "BSL-1.0",
    "ISC",
    "Zlib",
    "Unicode-3.0",
    "CDLA-Permissive-2.0", // webpki-roots: a list of certificates
];

/// Every entry of `[workspace.dependencies]` stands in a paragraph that begins with its reason.
pub fn reasons(manifest: &str) -> Vec<String> {
    let mut broken = Vec::new();
    let mut has_reason = false;
    let section = manifest
        .split("[workspace.dependencies]")
        .nth(1)
        .unwrap_or_default();
    for line in section.lines().take_while(|line| !line.starts_with('[')) {
        if line.trim().is_empty() {
            has_reason = false;
        } else if line.starts_with('#') {
            has_reason = true;
        } else if let Some((name, _)) = line.split_once('=')
            && !has_reason
            && !name.starts_with("easyisp-")
        {
            let name = name.trim();
            broken.push(format!("{name} has no reason above it in Cargo.toml"));
        }
    }
    broken
}

/// Every package of the tree, from `cargo metadata`, can be used under allowed licences alone.
pub fn licences(metadata: &Value) -> Vec<String> {
    let packages = metadata["packages"]
        .as_array()
        .map_or(&[][..], Vec::as_slice);
    let mut broken = Vec::new();
    if packages.is_empty() {
        broken.push("cargo metadata lists no packages".to_owned());
    }
    for package in packages {
        let (name, licence) = (
            &package["name"],
            package["license"].as_str().unwrap_or("none"),
        );
        if !is_allowed(licence) {
            broken.push(format!("{name} comes under {licence}"));
        }
    }
    broken
}

/// Reads an SPDX expression: every part of an AND, and one part of an OR (`/` in older packages).
fn is_allowed(expression: &str) -> bool {
    let expression = expression.replace('/', " OR ");
    let words = expression.replace('(', " ( ").replace(')', " ) ");
    let words: Vec<&str> = words.split_whitespace().collect();
    let mut rest = words.as_slice();
    any_of(&mut rest) && rest.is_empty()
}

fn any_of(rest: &mut &[&str]) -> bool {
    let mut allowed = all_of(rest);
    while let ["OR", after @ ..] = rest {
        *rest = after;
        allowed |= all_of(rest);
    }
    allowed
}

fn all_of(rest: &mut &[&str]) -> bool {
    let mut allowed = term(rest);
    while let ["AND", after @ ..] = rest {
        *rest = after;
        allowed &= term(rest);
    }
    allowed
}

fn term(rest: &mut &[&str]) -> bool {
    match rest {
        ["(", inside @ ..] => {
            *rest = inside;
            let allowed = any_of(rest);
            let [")", after @ ..] = rest else {
                return false;
            };
            *rest = after;
            allowed
        }
        [licence, "WITH", exception, after @ ..] => {
            let name = format!("{licence} WITH {exception}");
            *rest = after;
            ALLOWED.contains(&name.as_str())
        }
        [licence, after @ ..] => {
            let allowed = ALLOWED.contains(licence);
            *rest = after;
            allowed
        }
        [] => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn licences_that_ask_for_our_source_are_refused() {
        for allowed in [
            "MIT",
            "Unlicense/MIT",
            "(Apache-2.0 OR MIT) AND BSD-3-Clause",
            "MIT OR GPL-2.0",
        ] {
            assert!(is_allowed(allowed), "{allowed}");
        }
        for refused in [
            "AGPL-3.0",
            "GPL-3.0-only",
            "MIT AND GPL-2.0",
            "none",
            "",
            "(MIT",
            "MIT MIT",
        ] {
            assert!(!is_allowed(refused), "{refused}");
        }
        let package = serde_json::json!({"packages": [{"name": "a", "license": "AGPL-3.0"}]});
        assert_eq!(licences(&package).len(), 1);
        assert_eq!(licences(&serde_json::json!({})).len(), 1);
    }

    #[test]
    fn a_dependency_without_a_reason_is_found() {
        let manifest =
            "[workspace.dependencies]\n# Why.\na = \"1\"\nb = \"1\"\n\nc = \"1\"\n[x]\nd = 1";
        assert_eq!(
            reasons(manifest),
            ["c has no reason above it in Cargo.toml"]
        );
    }
}
