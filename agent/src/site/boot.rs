//! How long the machine counts since it was switched on: across the program's restarts, and only until the next boot.

use std::time::Duration;

use easyisp_shared::time::{Clock, Timestamp};

/// A reading of the machine's own counting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Boot {
    /// Which boot it counts from.
    pub id: i64,
    /// How long ago that was, asleep or awake.
    pub counted: Duration,
}

impl Boot {
    /// Reads it; `None` where the machine does not say.
    pub fn read(clock: &Clock) -> Option<Boot> {
        match clock.number() {
            Some(number) => Some(Boot {
                id: i64::try_from(number).ok()?,
                counted: clock.monotonic(),
            }),
            None => {
                let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
                let uptime = std::fs::read_to_string("/proc/uptime").ok()?;
                Some(Boot {
                    id: number(&id)?,
                    counted: counted(&uptime)?,
                })
            }
        }
    }

    /// What a clock showed at the boot that shows `now` with this reading.
    pub fn began(&self, now: Timestamp) -> Timestamp {
        now.minus(self.counted)
    }
}

/// The first half of the kernel's random id, which is enough to know it again.
fn number(id: &str) -> Option<i64> {
    let id = uuid::Uuid::parse_str(id.trim()).ok()?;
    let (half, _) = id.as_bytes().split_first_chunk()?;
    Some(i64::from_be_bytes(*half))
}

/// Seconds with two decimals, then what the processors idled.
fn counted(uptime: &str) -> Option<Duration> {
    let secs: f64 = uptime.split_ascii_whitespace().next()?.parse().ok()?;
    Duration::try_from_secs_f64(secs).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_says_is_read() {
        let id = number("6f1c5a30-8f5e-4c1d-9b57-1a2b3c4d5e6f\n");
        assert_eq!(id, Some(0x6f1c_5a30_8f5e_4c1d));
        assert_eq!(
            counted("350735.47 234388.90\n"),
            Some(Duration::from_millis(350_735_470))
        );
        assert_eq!((number("?"), counted("")), (None, None));
        let here = Boot::read(&Clock::system());
        assert!(here.is_some_and(|here| here.counted > Duration::ZERO));
    }
}
