//! Names of tenants, and bounds of what they may choose.

use std::ops::RangeInclusive;

/// Days for which a tenant may have sessions kept after their end; two years when it does not choose, as
/// long as the trail is kept, which covers what most telecom laws ask of a provider.
///
/// Not less than 90: agents send again what they reported within 30 days when the cloud came back from a
/// backup, and a session that was forgotten would then be new and its usage counted twice. Not more than
/// ten years: whose address it was is personal, and no law asks for longer.
pub const SESSION_DAYS: RangeInclusive<i32> = 90..=3650;

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

/// The database's own spelling of a time zone's name; `None` when it knows none of this name.
pub fn time_zone(name: &str) -> Option<String> {
    let zone = jiff::tz::db().get(name.trim()).ok()?;
    zone.iana_name().map(str::to_owned)
}

/// A currency's code in upper case; `None` when it is not three letters (ISO 4217).
pub fn currency(code: &str) -> Option<String> {
    let code = code.trim().to_ascii_uppercase();
    let is_code = code.len() == 3 && code.bytes().all(|letter| letter.is_ascii_uppercase());
    is_code.then_some(code)
}

/// A colour as `#RRGGBB`, in upper case; `None` when it is not written so. It ends up in pages, where anything
/// else could be more than a colour.
pub fn colour(text: &str) -> Option<String> {
    let text = text.trim().to_ascii_uppercase();
    let digits = text.strip_prefix('#')?;
    let is_colour = digits.len() == 6 && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    is_colour.then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_colour_is_six_hexadecimal_digits() {
        assert_eq!(colour(" #0f62fe ").as_deref(), Some("#0F62FE"));
        for wrong in [
            "", "#", "0F62FE", "#0F62F", "#0F62FE0", "#0F62FG", "red;}", "#ÉÉÉ",
        ] {
            assert_eq!(colour(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_currency_is_three_letters() {
        assert_eq!(currency(" ugx ").as_deref(), Some("UGX"));
        for wrong in ["", "K", "KESH", "K3S", "KÉS", "KSh."] {
            assert_eq!(currency(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_time_zone_has_a_name_of_the_database() {
        assert_eq!(time_zone(" africa/lagos ").as_deref(), Some("Africa/Lagos"));
        for wrong in ["Mars/Olympus", "", "EAT-3", "/etc/passwd"] {
            assert_eq!(time_zone(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_slug_holds_letters_digits_and_single_dashes() {
        assert_eq!(slug("Demo ISP & Sons, Ltd."), "demo-isp-sons-ltd");
        assert_eq!(slug("  X "), "isp-x");
        assert_eq!(slug("日本"), "isp");
        assert!(slug(&"long name ".repeat(20)).len() <= 50);
    }
}
