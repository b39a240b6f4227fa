//! When something about a device is told to a person: after it lasted, once, with an all-clear; what stands behind
//! something that is away says nothing, and what comes and goes is counted.

use std::time::Duration;

use easyisp_shared::id::AlertId;
use easyisp_shared::time::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::words::{Kind, Severity};
use crate::error::{FieldError, Wrong};

impl Kind {
    /// The rule of a provider who changed nothing. Where a router gets hot is its board's temperature at 75 °C;
    /// a line of 12 V that falls to 11 V is a battery that runs out.
    pub const fn usual(self) -> Rule {
        let (severity, limits, delay_secs, clear_secs) = match self {
            Kind::SiteDown => (Severity::Critical, None, 180, 60),
            Kind::RouterDown => (Severity::Critical, None, 180, 60),
            Kind::LinkDown => (Severity::Warning, None, 120, 60),
            Kind::Temperature => (Severity::Warning, Some((75.0, 70.0)), 300, 300),
            Kind::Voltage => (Severity::Critical, Some((11.0, 11.5)), 120, 300),
            Kind::Cpu => (Severity::Warning, Some((90.0, 75.0)), 600, 300),
            Kind::Memory => (Severity::Warning, Some((90.0, 85.0)), 600, 300),
            Kind::Disk => (Severity::Warning, Some((90.0, 85.0)), 600, 300),
            Kind::Pool => (Severity::Warning, Some((90.0, 80.0)), 300, 300),
            // What is being configured differs for a while.
            Kind::ConfigurationDrift => (Severity::Warning, None, 300, 0),
            Kind::PayoutUnknown => (Severity::Warning, None, 3_600, 0),
            Kind::RolloutStopped => (Severity::Critical, None, 0, 0),
        };
        let (raise, clear) = match limits {
            Some((raise, clear)) => (Some(raise), Some(clear)),
            None => (None, None),
        };
        Rule {
            enabled: true,
            severity,
            raise,
            clear,
            delay_secs,
            clear_secs,
        }
    }

    /// Whether what is measured is bad when it is low.
    const fn falls(self) -> bool {
        matches!(self, Kind::Voltage)
    }

    /// Whether it is told only of what was seen well before: a port where nothing was ever plugged in is no line that
    /// is down, and a sensor of 3.3 V no battery.
    const fn needs_well(self) -> bool {
        matches!(self, Kind::LinkDown | Kind::Voltage)
    }
}

/// When one kind of thing is told.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = AlertRule)]
pub struct Rule {
    /// Whether it is looked at.
    pub enabled: bool,
    /// How bad it is.
    pub severity: Severity,
    /// From here on it is bad; null where nothing is measured.
    pub raise: Option<f64>,
    /// From here on it is well again; between the two it stays as it is.
    pub clear: Option<f64>,
    /// How long it must be bad before anybody is told.
    pub delay_secs: u32,
    /// How long it must be well before the all-clear.
    pub clear_secs: u32,
}

impl Rule {
    /// What cannot be meant.
    pub fn check(&self, kind: Kind) -> Result<(), Vec<FieldError>> {
        let mut wrong = Wrong::default();
        for (field, secs) in [
            ("delaySecs", self.delay_secs),
            ("clearSecs", self.clear_secs),
        ] {
            if secs > 86_400 {
                wrong.add(field, "must be 0 to 86400 seconds");
            }
        }
        match (self.raise, self.clear, kind.usual().raise) {
            (None, None, None) => {}
            (_, _, None) => wrong.add("raise", "must be null: nothing is measured here"),
            (Some(raise), Some(clear), Some(_)) => {
                let fits = |limit: f64| (-1_000.0..=1_000_000.0).contains(&limit);
                if !fits(raise) || !fits(clear) {
                    wrong.add("raise", "must be -1000 to 1000000, as clear");
                } else if kind.falls() && clear < raise {
                    wrong.add("clear", "must not be below raise");
                } else if !kind.falls() && clear > raise {
                    wrong.add("clear", "must not be above raise");
                }
            }
            (None, _, Some(_)) => wrong.add("raise", "is required"),
            (Some(_), None, Some(_)) => wrong.add("clear", "is required"),
        }
        wrong.none_or(())
    }

    /// How a measured value reads.
    pub fn judge(&self, kind: Kind, value: f64, at: Timestamp) -> Reading {
        let (Some(raise), Some(clear)) = (self.raise, self.clear) else {
            return Reading::Unknown;
        };
        let (bad, well) = match kind.falls() {
            true => (value <= raise, value > clear),
            false => (value >= raise, value < clear),
        };
        match (bad, well) {
            (true, _) => Reading::Bad { since: at },
            (false, true) => Reading::Well,
            (false, false) => Reading::Between,
        }
    }
}

/// What is seen of one thing now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reading {
    /// All is well.
    Well,
    /// It is bad, as far as is known since then.
    Bad {
        /// Since when.
        since: Timestamp,
    },
    /// Not well enough to be over, not bad enough to begin.
    Between,
    /// Nobody can say.
    Unknown,
}

/// What is remembered of one thing between two looks.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Watch {
    /// How it stands.
    pub phase: Phase,
    /// Whether it was ever seen well.
    pub seen_well: bool,
    /// Whether it comes and goes: what it does is counted until it has been well for [`STEADY`].
    pub flapping: bool,
    /// How often it came back.
    pub flaps: u32,
    /// When it was over last.
    pub cleared_at: Option<Timestamp>,
    /// What people were told, while it goes on.
    pub alert: Option<AlertId>,
}

/// How something stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// Well.
    #[default]
    Well,
    /// Bad, and not for long enough.
    Bad {
        /// Since when.
        since: Timestamp,
    },
    /// People were told.
    Raised,
    /// Well again, and not for long enough.
    Better {
        /// Since when.
        since: Timestamp,
    },
}

/// What a look found out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum News {
    /// It has been bad for long enough.
    Raised,
    /// It came back; counted, told nobody.
    Counted,
    /// It is over.
    Cleared,
}

impl Watch {
    /// Whether what stands behind it can be seen at all.
    pub fn hides(&self) -> bool {
        match self.phase {
            Phase::Well => false,
            Phase::Bad { .. } | Phase::Raised | Phase::Better { .. } => true,
        }
    }

    /// How it stands after a look, and what is news of it. `hidden` = what it stands behind is away.
    pub fn step(
        self,
        kind: Kind,
        rule: &Rule,
        reading: Reading,
        hidden: bool,
        now: Timestamp,
    ) -> (Watch, Option<News>) {
        let secs = |secs: u32| Duration::from_secs(u64::from(secs));
        let mut next = self;
        next.seen_well |= reading == Reading::Well;
        if hidden {
            // What was beginning begins anew once it can be seen; what was told stays told.
            next.phase = match self.phase {
                Phase::Bad { .. } => Phase::Well,
                Phase::Better { .. } => Phase::Raised,
                Phase::Well | Phase::Raised => self.phase,
            };
            return (next, None);
        }
        match (self.phase, reading) {
            (_, Reading::Unknown) => (next, None),
            (Phase::Well, Reading::Bad { .. }) if kind.needs_well() && !self.seen_well => {
                (next, None)
            }
            (Phase::Well, Reading::Bad { since }) => {
                next.phase = Phase::Bad {
                    since: since.min(now),
                };
                next.raise_after(secs(rule.delay_secs), now)
            }
            (Phase::Bad { .. }, Reading::Bad { .. }) => {
                next.raise_after(secs(rule.delay_secs), now)
            }
            (Phase::Well | Phase::Bad { .. }, Reading::Well | Reading::Between) => {
                next.phase = Phase::Well;
                (next, None)
            }
            (Phase::Raised, Reading::Well) => {
                next.phase = Phase::Better { since: now };
                next.clear_after(secs(rule.clear_secs), now)
            }
            (Phase::Better { .. }, Reading::Well) => next.clear_after(secs(rule.clear_secs), now),
            (Phase::Better { .. }, Reading::Bad { .. }) => {
                next.phase = Phase::Raised;
                next.flaps = self.flaps.saturating_add(1);
                (next, Some(News::Counted))
            }
            (Phase::Better { .. }, Reading::Between) => {
                next.phase = Phase::Raised;
                (next, None)
            }
            (Phase::Raised, Reading::Bad { .. } | Reading::Between) => (next, None),
        }
    }

    fn raise_after(mut self, delay: Duration, now: Timestamp) -> (Watch, Option<News>) {
        let Phase::Bad { since } = self.phase else {
            return (self, None);
        };
        if now.since(since) < delay {
            return (self, None);
        }
        self.phase = Phase::Raised;
        // Told once more, and from then on counted: the next all-clear is meant.
        self.flapping = self
            .cleared_at
            .is_some_and(|cleared| now.since(cleared) < STEADY);
        self.flaps = u32::from(self.flapping);
        (self, Some(News::Raised))
    }

    fn clear_after(mut self, well: Duration, now: Timestamp) -> (Watch, Option<News>) {
        let Phase::Better { since } = self.phase else {
            return (self, None);
        };
        let needed = match self.flapping || self.flaps > MANY {
            true => well.max(STEADY),
            false => well,
        };
        if now.since(since) < needed {
            return (self, None);
        }
        self.phase = Phase::Well;
        self.cleared_at = Some(now);
        (self, Some(News::Cleared))
    }
}

/// What comes back sooner than this after its all-clear comes and goes; then it must be well for as long.
pub const STEADY: Duration = Duration::from_secs(1_800);
/// What came back more often before its all-clear comes and goes too.
const MANY: u32 = 3;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(secs: u64) -> Timestamp {
        Timestamp::from_secs(1_800_000_000).plus(Duration::from_secs(secs))
    }

    /// Steps a watch through readings at their seconds; what was news, and when.
    fn news(kind: Kind, readings: &[(u64, Reading, bool)]) -> Vec<(u64, News)> {
        let (rule, mut watch) = (kind.usual(), Watch::default());
        let mut all = Vec::new();
        for (secs, reading, hidden) in readings {
            let (next, told) = watch.step(kind, &rule, *reading, *hidden, at(*secs));
            watch = next;
            all.extend(told.map(|told| (*secs, told)));
        }
        all
    }

    fn bad(secs: u64) -> (u64, Reading, bool) {
        (secs, Reading::Bad { since: at(secs) }, false)
    }

    fn well(secs: u64) -> (u64, Reading, bool) {
        (secs, Reading::Well, false)
    }

    #[test]
    fn it_is_told_after_it_lasted_once_and_with_an_all_clear() {
        let told = news(
            Kind::RouterDown,
            &[
                bad(0),
                bad(60),
                bad(120),
                bad(180),
                bad(240),
                well(300),
                well(330),
                well(360),
            ],
        );
        assert_eq!(told, [(180, News::Raised), (360, News::Cleared)]);
        // What is over before is nobody's business.
        assert_eq!(
            news(
                Kind::RouterDown,
                &[bad(0), bad(120), well(170), bad(190), bad(300)]
            ),
            []
        );
        // It had begun before anybody looked.
        let long = (500, Reading::Bad { since: at(0) }, false);
        assert_eq!(news(Kind::RouterDown, &[long]), [(500, News::Raised)]);
    }

    #[test]
    fn between_the_limits_everything_stays_as_it_is() {
        let rule = Kind::Temperature.usual();
        let read = |value| rule.judge(Kind::Temperature, value, at(0));
        assert_eq!(read(75.0), Reading::Bad { since: at(0) });
        assert_eq!((read(72.0), read(69.9)), (Reading::Between, Reading::Well));
        let rule = Kind::Voltage.usual();
        let read = |value| rule.judge(Kind::Voltage, value, at(0));
        assert_eq!(read(11.0), Reading::Bad { since: at(0) });
        assert_eq!((read(11.2), read(11.6)), (Reading::Between, Reading::Well));

        let between = |secs| (secs, Reading::Between, false);
        let told = news(
            Kind::Temperature,
            &[
                bad(0),
                bad(300),
                between(600),
                between(900),
                well(1200),
                between(1300),
                well(1400),
                well(1700),
            ],
        );
        assert_eq!(told, [(300, News::Raised), (1700, News::Cleared)]);
        assert_eq!(
            news(
                Kind::Temperature,
                &[bad(0), between(200), bad(300), bad(500)]
            ),
            []
        );
    }

    #[test]
    fn what_stands_behind_something_that_is_away_says_nothing() {
        let hidden = |secs| (secs, Reading::Bad { since: at(0) }, true);
        let seen = news(
            Kind::LinkDown,
            &[
                well(0),
                bad(10),
                hidden(60),
                hidden(600),
                bad(660),
                bad(700),
                bad(780),
            ],
        );
        assert_eq!(seen, [(780, News::Raised)], "counted anew once it is seen");
        // What was told before is not over because nobody sees it.
        let told = news(
            Kind::LinkDown,
            &[
                well(0),
                bad(10),
                bad(130),
                hidden(200),
                hidden(900),
                well(960),
                well(1020),
            ],
        );
        assert_eq!(told, [(130, News::Raised), (1020, News::Cleared)]);
    }

    #[test]
    fn a_port_where_nothing_was_is_no_line_that_is_down() {
        assert_eq!(news(Kind::LinkDown, &[bad(0), bad(500)]), []);
        assert_eq!(
            news(Kind::LinkDown, &[well(0), bad(10), bad(500)]),
            [(500, News::Raised)]
        );
        assert_eq!(news(Kind::Cpu, &[bad(0), bad(600)]), [(600, News::Raised)]);
    }

    #[test]
    fn what_comes_and_goes_is_counted() {
        // An hour of five minutes down and two up.
        let mut readings = Vec::new();
        for round in 0..8_u64 {
            let from = round * 420;
            readings.extend((0..10).map(|step| bad(from + step * 30)));
            readings.extend((10..14).map(|step| well(from + step * 30)));
        }
        readings.extend((0..80).map(|step| well(8 * 420 + step * 30)));
        let told = news(Kind::RouterDown, &readings);
        let sent: Vec<News> = told
            .iter()
            .map(|(_, news)| *news)
            .filter(|news| *news != News::Counted)
            .collect();
        assert_eq!(
            sent,
            [News::Raised, News::Cleared, News::Raised, News::Cleared]
        );
        let counted = told.iter().filter(|(_, news)| *news == News::Counted);
        assert_eq!(counted.count(), 6);
    }

    #[test]
    fn limits_that_contradict_each_other_are_refused() {
        for kind in Kind::ALL {
            assert_eq!(kind.usual().check(kind), Ok(()), "{kind:?}");
            assert_eq!(Kind::parse(kind.name()), Some(kind));
        }
        let wrong = |rule: Rule, kind: Kind| rule.check(kind).is_err();
        let usual = Kind::Cpu.usual();
        assert!(wrong(
            Rule {
                clear: Some(95.0),
                ..usual
            },
            Kind::Cpu
        ));
        assert!(wrong(
            Rule {
                clear: None,
                ..usual
            },
            Kind::Cpu
        ));
        assert!(wrong(
            Rule {
                raise: Some(f64::NAN),
                ..usual
            },
            Kind::Cpu
        ));
        assert!(wrong(
            Rule {
                raise: Some(1.0),
                ..Kind::LinkDown.usual()
            },
            Kind::LinkDown
        ));
        assert!(wrong(
            Rule {
                clear: Some(10.0),
                ..Kind::Voltage.usual()
            },
            Kind::Voltage
        ));
    }

    proptest! {
        /// Whatever is seen: an all-clear follows what was told, and nothing is told twice without one between.
        #[test]
        fn raised_and_cleared_take_turns(
            readings in prop::collection::vec((0u64..900, 0u8..4, any::<bool>()), 0..200),
        ) {
            let (mut secs, mut open) = (0, false);
            let (rule, mut watch) = (Kind::Cpu.usual(), Watch::default());
            for (pause, reading, hidden) in readings {
                secs += pause;
                let reading = match reading {
                    0 => Reading::Well,
                    1 => Reading::Bad { since: at(secs) },
                    2 => Reading::Between,
                    _ => Reading::Unknown,
                };
                let (next, news) = watch.step(Kind::Cpu, &rule, reading, hidden, at(secs));
                watch = next;
                match news {
                    Some(News::Raised) => {
                        prop_assert!(!open && !hidden);
                        open = true;
                    }
                    Some(News::Cleared) => {
                        prop_assert!(open && !hidden);
                        open = false;
                    }
                    Some(News::Counted) => prop_assert!(open),
                    None => {}
                }
            }
        }
    }
}
