//! How a package is used up and what it gets from the router: everything beyond a speed and a price.

use easyisp_shared::entitlement::{self, DataCounts, Days, Window};
use easyisp_shared::money::Cents;
use easyisp_shared::net::RateLimit;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::error::Wrong;

/// Terms of a package. What is absent is the default; the object is replaced as a whole.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Terms {
    /// Minutes online in a period, all devices together; null = unlimited.
    pub time_limit: Option<i64>,
    /// Slower speeds from some usage on: throttled before cut off. At most 8.
    pub fair_use: Vec<FairUse>,
    /// Hours with rules of their own, in the tenant's time zone. At most 8; of two that hold at once the
    /// first with a speed gives it.
    pub schedule: Vec<Hours>,
    /// Seconds over which a burst is averaged; null = 16.
    pub burst_seconds: Option<i32>,
    /// Percent of the plain speed below which a burst may begin; null = 75.
    pub burst_threshold: Option<i32>,
    /// An address pool that exists on the routers.
    pub address_pool: Option<String>,
    /// A PPP profile, or hotspot user profile, that exists on the routers.
    pub router_profile: Option<String>,
    /// A pool of IPv6 prefixes for lines that exists on the routers.
    pub ipv6_pool: Option<String>,
    /// A pool of IPv6 prefixes to delegate that exists on the routers.
    pub delegated_ipv6_pool: Option<String>,
    /// Whether days of grace and promised days are a present: else they are the first of what a late payer
    /// buys.
    pub unpaid_days_free: bool,
    /// Days of service after the paid end, in place of the provider's; null = the provider's. At most 30.
    pub grace_days: Option<i32>,
    /// How often somebody may buy it: at most 4 rules, all of which must hold. With any, it does not renew by
    /// itself.
    pub purchase_limits: Vec<PurchaseLimit>,
    /// How much of the price may be missing when money arrives: it buys all the same, and what is missing is written
    /// off; null = nothing.
    pub tolerance: Option<Tolerance>,
    /// Whether money for several periods buys them, one after the other; else the rest stays in the wallet. With
    /// `purchaseLimits` it does not.
    pub more_periods: bool,
    /// How many periods at once, with `morePeriods`: 2 to 24; null = 12.
    pub most_periods: Option<i32>,
    /// Whether time lost to an outage is not given back.
    pub keeps_outages: bool,
    /// The shortest outage that is given back, in minutes; null = 60.
    pub outage_minutes: Option<i32>,
    /// To how many devices the first logins bind a customer, 0 to 10 (0 = to none), in place of the provider's;
    /// null = the provider's.
    pub bind_macs: Option<i32>,
    /// Whether who has it logs in at every site of the provider, at any router there, and not at his own site alone (PPPoE
    /// and hotspot). Sites cut off from the cloud know each his own sessions only; what is too much of all sites together
    /// the cloud ends, the newest first.
    pub roams: bool,
    /// Whether what comes to him reaches his own device alone: it leaves the router with a TTL of 1, so that a second
    /// router or a phone's hotspot behind it passes nothing on. The router needs the rule of its script; of IPv4
    /// alone, as address lists of sessions are.
    pub anti_sharing: bool,
}

/// How much of a price may be missing: the one that is given, or the smaller of both.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Tolerance {
    /// So much.
    pub amount: Option<Cents>,
    /// A part of the price: more than 0 and at most 50 percent, with at most two decimals.
    pub percent: Option<Cents>,
}

/// How often somebody may buy a package: he, his phone or one of his devices, under whatever account.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PurchaseLimit {
    /// 1 to 1000.
    pub most: i32,
    /// In how long; the provider's own days, weeks from Monday on, and months.
    pub per: Span,
}

/// How long something is counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "UPPERCASE")]
#[schema(as = PurchaseSpan)]
pub enum Span {
    /// From midnight to midnight.
    Day,
    /// From Monday to Sunday.
    Week,
    /// From the first of the month.
    Month,
    /// For good: a free trial is `{"most": 1, "per": "EVER"}`.
    Ever,
}

/// A speed that holds once so much was used in the period.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct FairUse {
    /// Bytes, both directions together.
    pub after_bytes: i64,
    /// Mbit/s.
    pub download_speed: i32,
    /// Mbit/s.
    pub upload_speed: i32,
}

/// Hours with rules of their own.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Hours {
    /// On which days they begin; none = every day.
    #[serde(default)]
    pub days: Vec<Day>,
    /// `22:00`.
    pub from: String,
    /// `06:00`; at or before `from` it is of the next day.
    pub until: String,
    /// Mbit/s; null = the usual speed.
    #[serde(default)]
    pub download_speed: Option<i32>,
    /// Mbit/s; null = the usual speed.
    #[serde(default)]
    pub upload_speed: Option<i32>,
    /// Data used meanwhile counts against no limit.
    #[serde(default)]
    pub free_data: bool,
}

/// A day of the week.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "UPPERCASE")]
#[expect(missing_docs, reason = "the days' names")]
pub enum Day {
    Mon,
    Tue,
    Wed,
    Thu,
    Fri,
    Sat,
    Sun,
}

impl Terms {
    /// Notes what cannot be.
    pub fn check(&self, wrong: &mut Wrong) {
        let limit = self.time_limit;
        if limit.is_some_and(|minutes| !(1..=5_256_000).contains(&minutes)) {
            wrong.add("terms.timeLimit", "must be at least a minute, or null");
        }
        if self.fair_use.len() > MOST || self.schedule.len() > MOST {
            wrong.add("terms", "may have at most 8 steps and 8 windows");
        }
        let speed = |mbps: i32| (1..=100_000).contains(&mbps);
        for step in &self.fair_use {
            if step.after_bytes < 1 || !speed(step.download_speed) || !speed(step.upload_speed) {
                wrong.add(
                    "terms.fairUse",
                    "needs afterBytes above 0 and speeds of 1 to 100000 Mbit/s",
                );
            }
        }
        for hours in &self.schedule {
            let speeds = [hours.download_speed, hours.upload_speed];
            if minute(&hours.from).is_none() || minute(&hours.until).is_none() {
                wrong.add("terms.schedule", "needs from and until like 22:00");
            }
            if speeds.into_iter().flatten().any(|mbps| !speed(mbps)) {
                wrong.add("terms.schedule", "needs speeds of 1 to 100000 Mbit/s");
            }
        }
        if self
            .burst_seconds
            .is_some_and(|secs| !(1..=300).contains(&secs))
        {
            wrong.add("terms.burstSeconds", "must be 1 to 300");
        }
        if self
            .burst_threshold
            .is_some_and(|percent| !(1..=100).contains(&percent))
        {
            wrong.add("terms.burstThreshold", "must be 1 to 100 percent");
        }
        if self
            .grace_days
            .is_some_and(|days| !(0..=30).contains(&days))
        {
            wrong.add(
                "terms.graceDays",
                "must be 0 to 30, or null for the provider's",
            );
        }
        if self.purchase_limits.len() > 4
            || self
                .purchase_limits
                .iter()
                .any(|limit| !(1..=1000).contains(&limit.most))
        {
            wrong.add(
                "terms.purchaseLimits",
                "may have at most 4 rules, each with most from 1 to 1000",
            );
        }
        if let Some(tolerance) = &self.tolerance {
            tolerance.check(wrong);
        }
        if self
            .most_periods
            .is_some_and(|most| !(2..=MOST_PERIODS).contains(&most))
        {
            wrong.add("terms.mostPeriods", "must be 2 to 24, or null for 12");
        }
        if self
            .outage_minutes
            .is_some_and(|minutes| !(5..=43_200).contains(&minutes))
        {
            wrong.add("terms.outageMinutes", "must be 5 to 43200, or null for 60");
        }
        if self.bind_macs.is_some_and(|macs| !(0..=10).contains(&macs)) {
            wrong.add(
                "terms.bindMacs",
                "must be 0 to 10, or null for the provider's",
            );
        }
        let names = [
            &self.address_pool,
            &self.router_profile,
            &self.ipv6_pool,
            &self.delegated_ipv6_pool,
        ];
        if names.into_iter().flatten().any(|name| !is_name(name)) {
            wrong.add(
                "terms",
                "names of pools and profiles have 1 to 100 characters",
            );
        }
    }

    /// The steps of fair use as a site must know them.
    pub fn tiers(&self) -> Vec<entitlement::Tier> {
        let tier = |step: &FairUse| entitlement::Tier {
            from_bytes: step.after_bytes.unsigned_abs(),
            rate: rate(step.upload_speed, step.download_speed),
        };
        self.fair_use.iter().map(tier).collect()
    }

    /// The hours as a site must know them; `usual` is the package's own speed, up and down.
    pub fn windows(&self, usual: (i32, i32)) -> Vec<Window> {
        let windows = self.schedule.iter().filter_map(|hours| hours.window(usual));
        windows.collect()
    }

    /// Seconds of service after the paid end, where it says so itself.
    pub fn grace_secs(&self) -> Option<u32> {
        self.grace_days.map(|days| days.unsigned_abs() * 86_400)
    }

    /// How many periods money may buy at once.
    pub fn periods_at_once(&self) -> usize {
        let most = self.most_periods.unwrap_or(USUAL_PERIODS);
        match self.more_periods && self.purchase_limits.is_empty() {
            true => usize::try_from(most.clamp(1, MOST_PERIODS)).unwrap_or(1),
            false => 1,
        }
    }

    /// Seconds online in a period.
    pub fn time_limit_secs(&self) -> Option<u64> {
        self.time_limit.map(|minutes| minutes.unsigned_abs() * 60)
    }
}

impl Tolerance {
    fn check(&self, wrong: &mut Wrong) {
        if self.amount.is_none() && self.percent.is_none() {
            wrong.add("terms.tolerance", "needs amount or percent, or be null");
        }
        if self.amount.is_some_and(|amount| !amount.is_positive()) {
            wrong.add("terms.tolerance.amount", "must be more than 0, or null");
        }
        if self
            .percent
            .is_some_and(|percent| !percent.is_positive() || percent > Cents::whole(50))
        {
            wrong.add(
                "terms.tolerance.percent",
                "must be more than 0 and at most 50, or null",
            );
        }
    }

    /// How much of `price` may be missing: whole cents, and never more than half of it.
    pub fn of(&self, price: Cents) -> Cents {
        let half = Cents::new(price.minor().max(0) / 2);
        let part = self.percent.map(|percent| {
            let part = i128::from(price.minor()) * i128::from(percent.minor()) / 10_000;
            Cents::new(i64::try_from(part).unwrap_or(0))
        });
        let least = [self.amount, part].into_iter().flatten().min();
        least.map_or(Cents::ZERO, |most| most.min(half).max(Cents::ZERO))
    }
}

impl Hours {
    fn window(&self, (up, down): (i32, i32)) -> Option<Window> {
        let faster = self.upload_speed.is_some() || self.download_speed.is_some();
        let days = self.days.iter().fold(0, |days, day| days | 1 << *day as u8);
        Some(Window {
            days: if days == 0 { Days::ALL } else { Days(days) },
            from_minute: minute(&self.from)?,
            until_minute: minute(&self.until)?,
            rate: faster.then(|| {
                let (up, down) = (
                    self.upload_speed.unwrap_or(up),
                    self.download_speed.unwrap_or(down),
                );
                rate(up, down)
            }),
            data: match self.free_data {
                true => DataCounts::No,
                false => DataCounts::Yes,
            },
        })
    }
}

/// `22:00` as a minute of the day; `24:00` is its end.
fn minute(text: &str) -> Option<u16> {
    let (hour, minute) = text.split_once(':')?;
    if hour.len() != 2 || minute.len() != 2 {
        return None;
    }
    let (hour, minute): (u16, u16) = (hour.parse().ok()?, minute.parse().ok()?);
    let of_day = hour.checked_mul(60)?.checked_add(minute)?;
    (minute < 60 && of_day <= 1440).then_some(of_day)
}

fn rate(up: i32, down: i32) -> RateLimit {
    RateLimit::mbps(up.unsigned_abs(), down.unsigned_abs())
}

/// A name that fits a RADIUS attribute.
fn is_name(text: &str) -> bool {
    (1..=100).contains(&text.len()) && !text.chars().any(char::is_control)
}

const MOST: usize = 8;
/// Periods that money buys at once, unless the terms say otherwise.
const USUAL_PERIODS: i32 = 12;
const MOST_PERIODS: i32 = 24;

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn hours_become_windows_and_nonsense_is_named() {
        let terms: Terms = serde_json::from_str(
            r#"{"schedule": [{"days": ["FRI"], "from": "22:00", "until": "06:30",
                              "downloadSpeed": 20, "freeData": true}],
                "fairUse": [{"afterBytes": 5, "downloadSpeed": 2, "uploadSpeed": 1}]}"#,
        )
        .unwrap();
        let mut wrong = Wrong::default();
        terms.check(&mut wrong);
        assert!(wrong.is_empty());
        let window = terms.windows((5, 10)).remove(0);
        assert_eq!(window.days, Days(0b001_0000));
        assert_eq!((window.from_minute, window.until_minute), (1320, 390));
        assert_eq!(window.rate, Some(RateLimit::mbps(5, 20)));
        assert_eq!(terms.tiers()[0].rate, RateLimit::mbps(1, 2));

        let tolerance = |amount, percent| Tolerance { amount, percent }.of(Cents::whole(1000));
        let (five, ten) = (Some(Cents::whole(5)), Some(Cents::whole(10)));
        assert_eq!(tolerance(ten, None), Cents::whole(10));
        assert_eq!(tolerance(ten, five), Cents::whole(10), "5 percent are 50");
        assert_eq!(tolerance(Some(Cents::whole(90)), five), Cents::whole(50));
        assert_eq!(tolerance(Some(Cents::whole(990)), None), Cents::whole(500));

        for (text, ok) in [
            ("24:00", true),
            ("24:01", false),
            ("7:00", false),
            ("ab:cd", false),
        ] {
            assert_eq!(minute(text).is_some(), ok, "{text}");
        }
    }
}
