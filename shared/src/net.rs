//! Hardware addresses and rates, parsed once at the door.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A hardware address. Text form: `AA:BB:CC:DD:EE:FF`, as RouterOS prints it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mac([u8; 6]);

impl Mac {
    /// From its six octets.
    pub const fn new(octets: [u8; 6]) -> Mac {
        Mac(octets)
    }

    /// The six octets.
    pub const fn octets(self) -> [u8; 6] {
        self.0
    }

    /// Parses twelve hex digits with `:`, `-`, `.` or nothing between them.
    pub fn parse(text: &str) -> Option<Mac> {
        let mut octets = [0; 6];
        let mut digits = 0;
        for byte in text.trim().bytes() {
            let digit = match byte {
                b':' | b'-' | b'.' => continue,
                byte => char::from(byte).to_digit(16)?,
            };
            let octet = octets.get_mut(digits / 2)?;
            *octet = *octet << 4 | u8::try_from(digit).ok()?;
            digits += 1;
        }
        (digits == 12).then_some(Mac(octets))
    }
}

impl std::fmt::Display for Mac {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02X}:{b:02X}:{c:02X}:{d:02X}:{e:02X}:{g:02X}")
    }
}

impl std::fmt::Debug for Mac {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(self, f)
    }
}

impl Serialize for Mac {
    /// Text for people's formats, six octets for postcard.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(self)
        } else {
            self.0.serialize(serializer)
        }
    }
}

impl<'de> Deserialize<'de> for Mac {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Mac, D::Error> {
        if deserializer.is_human_readable() {
            let text = String::deserialize(deserializer)?;
            Mac::parse(&text).ok_or_else(|| {
                serde::de::Error::custom("must be a hardware address like AA:BB:CC:DD:EE:FF")
            })
        } else {
            <[u8; 6]>::deserialize(deserializer).map(Mac)
        }
    }
}

/// How fast a subscriber may be, in kbit/s, seen from the subscriber.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct RateLimit {
    /// Upload, kbit/s.
    pub up_kbps: u32,
    /// Download, kbit/s.
    pub down_kbps: u32,
    /// Faster for moments; `None` when there is no burst.
    pub burst: Option<Burst>,
}

/// How a subscriber may be faster for moments: up to the ceiling, while the average over `secs` is
/// below the threshold.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Burst {
    /// Ceiling, upload, kbit/s.
    pub up_kbps: u32,
    /// Ceiling, download, kbit/s.
    pub down_kbps: u32,
    /// Threshold, upload, kbit/s.
    pub threshold_up_kbps: u32,
    /// Threshold, download, kbit/s.
    pub threshold_down_kbps: u32,
    /// Seconds of the average.
    pub secs: u16,
}

impl RateLimit {
    /// A rate in whole Mbit/s without burst.
    pub fn mbps(up: u32, down: u32) -> RateLimit {
        RateLimit {
            up_kbps: up.saturating_mul(1000),
            down_kbps: down.saturating_mul(1000),
            burst: None,
        }
    }

    /// The slower of both, each direction for itself. Only two that burst give one that does.
    pub fn slower(self, other: RateLimit) -> RateLimit {
        let burst = self.burst.zip(other.burst).map(|(a, b)| Burst {
            up_kbps: a.up_kbps.min(b.up_kbps),
            down_kbps: a.down_kbps.min(b.down_kbps),
            threshold_up_kbps: a.threshold_up_kbps.min(b.threshold_up_kbps),
            threshold_down_kbps: a.threshold_down_kbps.min(b.threshold_down_kbps),
            secs: a.secs.min(b.secs),
        });
        RateLimit {
            up_kbps: self.up_kbps.min(other.up_kbps),
            down_kbps: self.down_kbps.min(other.down_kbps),
            burst,
        }
    }

    /// The value of `Mikrotik-Rate-Limit`: `up/down [burst threshold seconds]`, each `up/down`.
    ///
    /// The router's rx is the subscriber's upload, so upload comes first. Threshold and seconds are
    /// always given: without them RouterOS averages over one second, which is no burst. Never prints
    /// `G`, decimals or a lower-case `m`, which RouterOS releases read differently.
    pub fn to_mikrotik(&self) -> String {
        let rate = format!("{}/{}", rate(self.up_kbps), rate(self.down_kbps));
        match self.burst {
            Some(burst) => format!(
                "{rate} {}/{} {}/{} {secs}/{secs}",
                self::rate(burst.up_kbps),
                self::rate(burst.down_kbps),
                self::rate(burst.threshold_up_kbps),
                self::rate(burst.threshold_down_kbps),
                secs = burst.secs,
            ),
            None => rate,
        }
    }
}

fn rate(kbps: u32) -> String {
    if kbps != 0 && kbps.is_multiple_of(1000) {
        format!("{}M", kbps / 1000)
    } else {
        format!("{kbps}k")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_usual_spelling_of_a_mac_is_one_address() {
        let mac = Mac::new([0xAA, 0xBB, 0xCC, 0x01, 0x02, 0x03]);
        for text in [
            "AA:BB:CC:01:02:03",
            "aa-bb-cc-01-02-03",
            "aabb.cc01.0203",
            "AABBCC010203",
        ] {
            assert_eq!(Mac::parse(text), Some(mac), "{text}");
        }
        assert_eq!(mac.to_string(), "AA:BB:CC:01:02:03");
    }

    #[test]
    fn what_is_not_a_mac_is_refused() {
        for text in [
            "",
            "AA:BB:CC:01:02",
            "AA:BB:CC:01:02:03:04",
            "GG:BB:CC:01:02:03",
            "user",
        ] {
            assert_eq!(Mac::parse(text), None, "{text}");
        }
    }

    #[test]
    fn upload_comes_first_in_a_mikrotik_rate() {
        assert_eq!(RateLimit::mbps(5, 10).to_mikrotik(), "5M/10M");
        let odd = RateLimit {
            up_kbps: 1536,
            down_kbps: 2000,
            burst: Some(Burst {
                up_kbps: 3000,
                down_kbps: 4000,
                threshold_up_kbps: 1152,
                threshold_down_kbps: 1500,
                secs: 16,
            }),
        };
        assert_eq!(odd.to_mikrotik(), "1536k/2M 3M/4M 1152k/1500k 16/16");
    }
}
