//! How RouterOS writes times and rates.

pub use easyisp_shared::setup::duration;

/// Reads a pair of rates or counters, `up/down`, each a number with an optional `k`, `M` or `G`.
pub fn pair(text: &str) -> Option<(u64, u64)> {
    let (up, down) = text.split_once('/')?;
    Some((scaled(up)?, scaled(down)?))
}

/// Bits a second as they stand in a queue: `5000000`, `5M`, `512k`, `10Mbps`.
fn scaled(text: &str) -> Option<u64> {
    let text = text.strip_suffix("bps").unwrap_or(text);
    let (digits, factor) = match text.as_bytes() {
        [.., b'k'] => (text.strip_suffix('k')?, 1000),
        [.., b'M'] => (text.strip_suffix('M')?, 1_000_000),
        [.., b'G'] => (text.strip_suffix('G')?, 1_000_000_000),
        _ => (text, 1),
    };
    digits.parse::<u64>().ok()?.checked_mul(factor)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn times_are_read_in_all_their_spellings() {
        for (text, secs) in [
            ("2d20h12m20s", 2 * 86_400 + 20 * 3600 + 12 * 60 + 20),
            ("1w2d03:04:05", 9 * 86_400 + 3 * 3600 + 4 * 60 + 5),
            ("01:22:53", 4973),
            ("0s", 0),
            ("300s", 300),
        ] {
            assert_eq!(duration(text), Some(Duration::from_secs(secs)), "{text}");
        }
        assert_eq!(duration("453us"), Some(Duration::from_micros(453)));
        assert_eq!(duration("1s10ms"), Some(Duration::from_millis(1010)));
        for text in ["", "never", "5", "5x", "99999999999999999999w", "1:2:x"] {
            assert_eq!(duration(text), None, "{text}");
        }
    }

    #[test]
    fn rates_are_read_plain_and_scaled() {
        assert_eq!(pair("5000000/10000000"), Some((5_000_000, 10_000_000)));
        assert_eq!(pair("5M/10M"), Some((5_000_000, 10_000_000)));
        assert_eq!(pair("512k/1G"), Some((512_000, 1_000_000_000)));
        assert_eq!(pair("0bps/12kbps"), Some((0, 12_000)));
        assert_eq!(pair("5M"), None);
        assert_eq!(pair("x/y"), None);
    }
}
