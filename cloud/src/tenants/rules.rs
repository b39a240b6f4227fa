//! Names of tenants.

/// What identifies a tenant to people and in addresses: lower-case letters, digits and dashes, 3 to 50.
pub fn slug(business_name: &str) -> String {
    let mut slug = String::new();
    for letter in business_name.to_lowercase().chars() {
        if letter.is_ascii_alphanumeric() {
            slug.push(letter);
        } else if !slug.is_empty() && !slug.ends_with('-') {
            slug.push('-');
        }
        if slug.len() >= 50 {
            break;
        }
    }
    let slug = slug.trim_matches('-');
    match slug.len() {
        0..3 => format!("isp-{slug}").trim_end_matches('-').to_owned(),
        _ => slug.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slug_holds_letters_digits_and_single_dashes() {
        assert_eq!(slug("Demo ISP & Sons, Ltd."), "demo-isp-sons-ltd");
        assert_eq!(slug("  X "), "isp-x");
        assert_eq!(slug("日本"), "isp");
        assert!(slug(&"long name ".repeat(20)).len() <= 50);
    }
}
