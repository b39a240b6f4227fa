//! The numbers of our RADIUS attributes are those of FreeRADIUS's dictionaries.

use std::collections::HashMap;
use std::fs;

use anyhow::{Context, Result, ensure};

/// Every constant of the agent's dictionary has an attribute of its name and number there.
#[test]
fn every_attribute_is_numbered_as_in_the_public_dictionaries() -> Result<()> {
    let known = public_numbers()?;
    let ours = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../agent/src/radius/dictionary.rs"
    );
    let ours = fs::read_to_string(ours)?;
    let (mut prefix, mut checked) = (None, 0);
    for line in ours.lines() {
        if let Some(module) = line.strip_prefix("pub mod ") {
            prefix = match module.trim_end_matches(" {") {
                "attribute" => Some(""),
                "mikrotik" => Some("mikrotik-"),
                "microsoft" => Some("ms-"),
                "wispr" => Some("wispr-"),
                _ => None,
            };
        }
        let constant = line.trim().strip_prefix("pub const ");
        let (Some(constant), Some(prefix)) = (constant, prefix) else {
            continue;
        };
        let Some((name, number)) = constant.trim_end_matches(';').split_once(": u8 = ") else {
            continue;
        };
        let name = format!("{prefix}{}", name.to_lowercase().replace('_', "-"));
        let expected = known
            .get(&name)
            .with_context(|| format!("there is no {name}"))?;
        ensure!(number == expected, "{name} is {expected}, not {number}");
        checked += 1;
    }
    ensure!(checked > 50, "only {checked} were found");
    Ok(())
}

/// The numbers of the attributes of all RFCs, MikroTik, Microsoft and WISPr, by name in lower case.
fn public_numbers() -> Result<HashMap<String, String>> {
    let mut numbers = HashMap::new();
    let folder = fs::read_dir(FOLDER).context("the dictionaries of package freeradius-common")?;
    for entry in folder {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let wanted = [
            "dictionary.rfc",
            "dictionary.mikrotik",
            "dictionary.microsoft",
            "dictionary.wispr",
        ];
        if !wanted.iter().any(|wanted| name.starts_with(wanted)) {
            continue;
        }
        for line in fs::read_to_string(&path)?.lines() {
            let mut words = line.split_whitespace();
            if let (Some("ATTRIBUTE"), Some(name), Some(number)) =
                (words.next(), words.next(), words.next())
            {
                numbers.insert(name.to_lowercase(), number.to_owned());
            }
        }
    }
    Ok(numbers)
}

const FOLDER: &str = "/usr/share/freeradius";
