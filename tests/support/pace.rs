//! Time that runs faster than the world's, the same in several processes.

use std::str::FromStr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use easyisp_shared::time::{Clock, Timestamp};

/// A pace of time: what a clock shows at an instant of the system's, and how much faster it runs.
///
/// Written as `SHOWN@INSTANT*TIMES`, both in microseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    shown: Timestamp,
    instant: Duration,
    times: u32,
}

impl Pace {
    /// From here on, `times` as fast, beginning with what `clock` shows.
    pub fn from_now(clock: &Clock, times: u32) -> Pace {
        Pace {
            shown: clock.now(),
            instant: instant(),
            times,
        }
    }

    /// What a clock of this pace shows.
    pub fn now(&self) -> Timestamp {
        let passed = instant().saturating_sub(self.instant);
        self.shown.plus(passed * self.times)
    }

    /// A clock that shows that; [`Pace::run`] moves it.
    pub fn clock(&self) -> Clock {
        Clock::test(self.now())
    }

    /// Moves a clock for ever.
    pub async fn run(self, clock: Clock) {
        loop {
            tokio::time::sleep(STEP).await;
            clock.advance(self.now().since(clock.now()));
        }
    }
}

impl std::fmt::Display for Pace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (shown, instant) = (self.shown.micros(), self.instant.as_micros());
        write!(f, "{shown}@{instant}*{}", self.times)
    }
}

impl FromStr for Pace {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Pace> {
        let (shown, rest) = text.split_once('@').context("no @ in a pace")?;
        let (instant, times) = rest.split_once('*').context("no * in a pace")?;
        Ok(Pace {
            shown: Timestamp::from_micros(shown.parse()?),
            instant: Duration::from_micros(instant.parse()?),
            times: times.parse()?,
        })
    }
}

fn instant() -> Duration {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.unwrap_or_default()
}

/// Everybody who sleeps on a test clock is woken at each step.
const STEP: Duration = Duration::from_millis(50);
