//! What comes next in a rollout: which routers, which ring, or its end; and what is to be done about one router's
//! release.

use std::cmp::Ordering;
use std::time::Duration;

use easyisp_shared::id::RolloutPartId;
use easyisp_shared::time::Timestamp;
use easyisp_shared::wire::firmware::FirmwareV1;
use jiff::ToSpan;
use jiff::tz::TimeZone;

use super::words::{State, Step};

/// How large a ring is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Size {
    /// So many routers.
    Count(u32),
    /// So many of a hundred of all, and one at least.
    Percent(u32),
}

impl Size {
    /// `3` or `10%`.
    pub fn parse(text: &str) -> Option<Size> {
        let size = match text.strip_suffix('%') {
            Some(percent) => Size::Percent(percent.trim().parse().ok()?),
            None => Size::Count(text.trim().parse().ok()?),
        };
        let fits = match size {
            Size::Count(count) => (1..=2000).contains(&count),
            Size::Percent(percent) => (1..=100).contains(&percent),
        };
        fits.then_some(size)
    }
}

/// One to see that it works, a tenth to see that it works elsewhere, then the rest.
pub const USUAL: [Size; 2] = [Size::Count(1), Size::Percent(10)];

/// The ring of each of so many routers, from 1; who is left over is one ring more.
pub fn rings(sizes: &[Size], count: usize) -> Vec<i32> {
    let mut rings = Vec::with_capacity(count);
    for (ring, size) in (1..).zip(sizes) {
        let size = match size {
            Size::Count(count) => *count as usize,
            Size::Percent(percent) => (count * *percent as usize).div_ceil(100).max(1),
        };
        rings.extend(std::iter::repeat_n(ring, size.min(count - rings.len())));
    }
    let last = rings.last().map_or(1, |ring| ring + 1);
    rings.resize(count, last);
    rings
}

/// The minutes of a tenant's day between which routers are begun with; over midnight where the first is later.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Window {
    /// The first minute.
    pub from: i16,
    /// The first one after it.
    pub to: i16,
}

impl Window {
    /// Whether it is open.
    pub fn is_open(self, now: Timestamp, zone: &TimeZone) -> bool {
        let local = now.in_zone(zone);
        let minute = i16::from(local.hour()) * 60 + i16::from(local.minute());
        match self.from.cmp(&self.to) {
            Ordering::Less => (self.from..self.to).contains(&minute),
            Ordering::Greater => minute >= self.from || minute < self.to,
            Ordering::Equal => true,
        }
    }

    /// When it opens next.
    pub fn opens(self, now: Timestamp, zone: &TimeZone) -> Timestamp {
        let local = now.in_zone(zone);
        let (hour, minute) = (self.from / 60, self.from % 60);
        let (hour, minute) = (hour.try_into().unwrap_or(0), minute.try_into().unwrap_or(0));
        let at = |date: jiff::civil::Date| {
            let opens = date.at(hour, minute, 0, 0).to_zoned(zone.clone()).ok()?;
            let opens = Timestamp::from_jiff(opens.timestamp());
            (opens > now).then_some(opens)
        };
        let today = local.date();
        let opens = at(today).or_else(|| at(today.saturating_add(1.day())));
        opens.unwrap_or(now.plus(AWAY_AGAIN))
    }
}

/// A rollout as far as its next step hangs on it.
#[derive(Clone, Copy, Debug)]
pub struct Course {
    /// How it is.
    pub state: State,
    /// The ring at work.
    pub ring: i32,
    /// How many there are.
    pub rings: i32,
    /// How many may fail.
    pub max_failed: i32,
    /// Until when routers are begun with.
    pub until: Timestamp,
    /// Whether the window is open; when it opens where it is not.
    pub opens: Option<Timestamp>,
}

/// One router of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Part {
    /// Which.
    pub id: RolloutPartId,
    /// In which ring.
    pub ring: i32,
    /// How far it is.
    pub step: Step,
    /// Since when.
    pub since: Timestamp,
}

/// What comes next.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Next {
    /// How the rollout is from here on.
    pub state: State,
    /// Why it stopped by itself.
    pub because: Option<String>,
    /// The ring at work.
    pub ring: i32,
    /// Who is begun with.
    pub begin: Vec<RolloutPartId>,
    /// Whose part is over, and how.
    pub over: Vec<(RolloutPartId, Step)>,
    /// When to look again where nothing else brings it about.
    pub again: Option<Timestamp>,
}

/// What comes next: nothing of a ring before everybody in the one before is well, nothing more after too many failed.
pub fn next(course: Course, parts: &[Part], now: Timestamp) -> Next {
    let mut next = Next {
        state: course.state,
        because: None,
        ring: course.ring,
        begin: Vec::new(),
        over: Vec::new(),
        again: None,
    };
    let failed = parts
        .iter()
        .filter(|part| part.step == Step::Failed)
        .count();
    if matches!(course.state, State::Running | State::Paused)
        && i32::try_from(failed).unwrap_or(i32::MAX) > course.max_failed
    {
        next.state = State::Stopped;
        next.because = Some(match failed {
            1 => "a router failed".to_owned(),
            many => format!("{many} routers failed"),
        });
    }
    let left = |part: &&Part| part.step.is_idle() || part.step.is_before_order();
    match next.state {
        State::Stopped => {
            let over = parts.iter().filter(left);
            next.over = over.map(|part| (part.id, Step::Untouched)).collect();
            return next;
        }
        State::Done => return next,
        State::Running | State::Paused => {}
    }
    if course.until <= now {
        let over = parts.iter().filter(|part| part.step.is_idle());
        next.over = over.map(|part| (part.id, Step::Missed)).collect();
    }
    let is_over =
        |part: &Part| part.step.is_end() || next.over.iter().any(|(id, _)| *id == part.id);
    if parts.iter().all(is_over) {
        next.state = State::Done;
        return next;
    }
    next.again = Some(course.until).filter(|until| *until > now);
    if course.state == State::Paused || course.until <= now {
        return next;
    }
    while next.ring < course.rings && has_passed(parts, next.ring) {
        next.ring += 1;
    }
    if let Some(opens) = course.opens {
        next.again = next.again.into_iter().chain([opens]).min();
        return next;
    }
    let busy = parts
        .iter()
        .filter(|part| !part.step.is_end() && !part.step.is_idle());
    let room = AT_ONCE.saturating_sub(busy.count());
    let ready = |part: &&Part| {
        part.ring <= next.ring
            && match part.step {
                Step::Waiting => true,
                Step::Away => now.since(part.since) >= AWAY_AGAIN,
                _ => false, // under way, or over
            }
    };
    next.begin = parts
        .iter()
        .filter(ready)
        .take(room)
        .map(|part| part.id)
        .collect();
    let away = parts.iter().filter(|part| part.step == Step::Away);
    let retry = away
        .map(|part| part.since.plus(AWAY_AGAIN))
        .filter(|at| *at > now)
        .min();
    next.again = next.again.into_iter().chain(retry).min();
    next
}

/// Whether everybody of a ring is well or out of it, and somebody of it showed how it goes. Who is away is left for
/// later.
fn has_passed(parts: &[Part], ring: i32) -> bool {
    let mut of = parts.iter().filter(|part| part.ring == ring);
    let mut shown = parts.iter().filter(|part| part.ring == ring);
    of.all(|part| part.step.is_end() || part.step == Step::Away)
        && shown.any(|part| part.step.is_end())
}

/// What was asked for about a router's release.
#[derive(Clone, Copy, Debug)]
pub struct Wish<'a> {
    /// This release and no other.
    pub release: Option<&'a str>,
    /// Also the board's firmware.
    pub board: bool,
    /// Also an older release.
    pub downgrade: bool,
}

/// What is to be done about it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// It is taken.
    Install {
        /// Which.
        release: String,
        /// Whether it is an older one.
        downgrade: bool,
    },
    /// The release is right, the board's firmware is not.
    Board,
    /// All is as wished.
    Nothing,
    /// It runs a newer one, and an older one was not asked for.
    Newer(String),
    /// It cannot be done; a sentence for people.
    Refuse(String),
}

/// What is to be done about a router that says this; `tried` is the release that the rollout began with.
pub fn verdict(wish: Wish<'_>, tried: Option<&str>, told: &FirmwareV1) -> Verdict {
    if told.latest.is_empty() {
        return Verdict::Refuse(format!(
            "the router does not find out what it could take ({})",
            match told.status.as_str() {
                "" => "it says nothing",
                status => status,
            }
        ));
    }
    if let Some(wanted) = wish.release.or(tried)
        && wanted != told.latest
    {
        let channel = &told.channel;
        let has = &told.latest;
        return Verdict::Refuse(match wish.release {
            Some(_) => format!("its channel {channel} has {has}, and {wanted} was asked for"),
            None => {
                format!("its channel {channel} has {has}, and {wanted} is what was tried before")
            }
        });
    }
    match compare(&told.latest, &told.installed) {
        Ordering::Equal => match &told.board {
            Some((runs, takes)) if wish.board && runs != takes => Verdict::Board,
            Some(_) | None => Verdict::Nothing,
        },
        Ordering::Less if !wish.downgrade => Verdict::Newer(told.installed.clone()),
        order @ (Ordering::Less | Ordering::Greater) => Verdict::Install {
            release: told.latest.clone(),
            downgrade: order == Ordering::Less,
        },
    }
}

/// Which of two releases is newer: `7.18beta2` < `7.18rc1` < `7.18` < `7.18.1`.
pub fn compare(one: &str, other: &str) -> Ordering {
    key(one).cmp(&key(other))
}

fn key(release: &str) -> [u64; 5] {
    let mut key = [0; 5];
    let numbers = release.find(|c: char| c.is_ascii_alphabetic());
    let (numbers, suffix) = release.split_at(numbers.unwrap_or(release.len()));
    for (place, part) in key.iter_mut().zip(numbers.split('.').take(3)) {
        *place = part.trim().parse().unwrap_or(0);
    }
    let number = |text: &str| text.parse().unwrap_or(0);
    let (rank, number) = match suffix {
        "" => (3, 0),
        text => match (text.strip_prefix("rc"), text.strip_prefix("beta")) {
            (Some(text), _) => (2, number(text)),
            (None, Some(text)) => (1, number(text)),
            (None, None) => (0, 0),
        },
    };
    let [.., at, last] = &mut key;
    (*at, *last) = (rank, number);
    key
}

/// How soon a router that could not be reached is tried again.
pub const AWAY_AGAIN: Duration = Duration::from_secs(600);
/// So many routers of one rollout are under way at once.
const AT_ONCE: usize = 16;

#[cfg(test)]
mod tests;
