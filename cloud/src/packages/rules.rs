//! What a package may be: its period, its speeds, and what an edit makes of it.

use easyisp_shared::money::Cents;
use easyisp_shared::net::{Burst, RateLimit};

use super::terms::Terms;
use super::words::{PackageType, Period, PeriodUnit};
use crate::error::{FieldError, Wrong};

/// The content of a package, checked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Draft {
    /// Unique among the tenant's packages of its type.
    pub name: String,
    /// Whom it is for.
    pub kind: PackageType,
    /// What one period costs.
    pub price: Cents,
    /// Mbit/s to the subscriber.
    pub download_mbps: i32,
    /// Mbit/s from the subscriber.
    pub upload_mbps: i32,
    /// Burst to the subscriber.
    pub burst_download: Option<i32>,
    /// Burst from the subscriber.
    pub burst_upload: Option<i32>,
    /// How long one payment lasts.
    pub period: Period,
    /// Bytes in a period, both directions.
    pub data_limit: Option<i64>,
    /// Devices at once.
    pub devices: i32,
    /// Whether it is sold.
    pub is_active: bool,
    /// Everything beyond speed and price.
    pub terms: Terms,
}

/// What a request says about a package. Outer `None`: not mentioned; `Some(None)`: emptied.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Change {
    /// See [`Draft`].
    pub name: Option<String>,
    /// See [`Draft`].
    pub kind: Option<PackageType>,
    /// See [`Draft`].
    pub price: Option<Cents>,
    /// See [`Draft`].
    pub download_mbps: Option<i32>,
    /// See [`Draft`].
    pub upload_mbps: Option<i32>,
    /// See [`Draft`].
    pub burst_download: Option<Option<i32>>,
    /// See [`Draft`].
    pub burst_upload: Option<Option<i32>>,
    /// Minutes of a period.
    pub session_time: Option<Option<i64>>,
    /// The period in its own unit.
    pub period: Option<Period>,
    /// See [`Draft`].
    pub data_limit: Option<Option<i64>>,
    /// See [`Draft`].
    pub devices: Option<i32>,
    /// See [`Draft`].
    pub is_active: Option<bool>,
    /// See [`Draft`].
    pub terms: Option<Terms>,
}

/// The package that a change makes, from nothing or from the one before.
///
/// Errors name every field at fault.
pub fn draft(change: Change, before: Option<&Draft>) -> Result<Draft, Vec<FieldError>> {
    let mut wrong = Wrong::default();
    let kind = change.kind.or(before.map(|before| before.kind));
    let period = period(&change, kind, before);

    let draft = Draft {
        name: wrong.required(
            "name",
            change
                .name
                .map(|name| name.trim().to_owned())
                .or(before.map(|before| before.name.clone())),
        ),
        kind: kind.unwrap_or_else(|| {
            wrong.add("type", "is required: PPPOE or HOTSPOT");
            PackageType::Pppoe
        }),
        price: wrong.required("price", change.price.or(before.map(|before| before.price))),
        download_mbps: wrong.required(
            "downloadSpeed",
            change
                .download_mbps
                .or(before.map(|before| before.download_mbps)),
        ),
        upload_mbps: wrong.required(
            "uploadSpeed",
            change
                .upload_mbps
                .or(before.map(|before| before.upload_mbps)),
        ),
        burst_download: change
            .burst_download
            .unwrap_or(before.and_then(|before| before.burst_download))
            .filter(|burst| *burst != 0),
        burst_upload: change
            .burst_upload
            .unwrap_or(before.and_then(|before| before.burst_upload))
            .filter(|burst| *burst != 0),
        period,
        data_limit: change
            .data_limit
            .unwrap_or(before.and_then(|before| before.data_limit))
            .filter(|limit| *limit != 0),
        devices: change
            .devices
            .or(before.map(|before| before.devices))
            .unwrap_or(1),
        is_active: change
            .is_active
            .or(before.map(|before| before.is_active))
            .unwrap_or(true),
        terms: change
            .terms
            .or(before.map(|before| before.terms.clone()))
            .unwrap_or_default(),
    };
    if wrong.is_empty() {
        check(&draft, &mut wrong);
    }
    wrong.none_or(draft)
}

/// A form sends back `sessionTime` and `period` as it got them and changes one: the one that differs
/// from what stands is meant, `period` when both do.
fn period(change: &Change, kind: Option<PackageType>, before: Option<&Draft>) -> Period {
    let standing = before.map(|before| before.period);
    if let Some(period) = change.period
        && Some(period) != standing
    {
        return period;
    }
    let default = Period::default_of(kind.unwrap_or(PackageType::Pppoe));
    match (change.session_time, standing) {
        (None, Some(standing)) => standing,
        (None | Some(None), None) => change.period.unwrap_or(default),
        (Some(minutes), Some(standing)) if standing.minutes() == minutes => standing,
        (Some(None | Some(0)), Some(_)) => default,
        (Some(Some(minutes)), _) => Period {
            count: i32::try_from(minutes).unwrap_or(i32::MAX),
            unit: PeriodUnit::Minutes,
        },
    }
}

fn check(draft: &Draft, wrong: &mut Wrong) {
    if !(1..=100).contains(&draft.name.chars().count()) || draft.name.chars().any(char::is_control)
    {
        wrong.add("name", "must have 1 to 100 characters");
    }
    if draft.price < Cents::ZERO {
        wrong.add("price", "must not be negative");
    }
    for (field, speed) in [
        ("downloadSpeed", Some(draft.download_mbps)),
        ("uploadSpeed", Some(draft.upload_mbps)),
        ("burstDownload", draft.burst_download),
        ("burstUpload", draft.burst_upload),
    ] {
        if speed.is_some_and(|speed| !(1..=100_000).contains(&speed)) {
            wrong.add(field, "must be 1 to 100000 Mbit/s");
        }
    }
    // Ten years: far beyond any package, and far from overflowing a date.
    let minutes = draft.period.minutes();
    if draft.period.count < 1
        || minutes.is_some_and(|minutes| minutes > 5_256_000)
        || (minutes.is_none() && draft.period.count > 120)
    {
        wrong.add(
            "sessionTime",
            "must be at least a minute and at most ten years",
        );
    }
    if draft.data_limit.is_some_and(|limit| limit < 1) {
        wrong.add(
            "dataLimit",
            "must be a positive number of bytes, or empty for no limit",
        );
    }
    if !(1..=1000).contains(&draft.devices) {
        wrong.add("devices", "must be 1 to 1000");
    }
    draft.terms.check(wrong);
}

impl Draft {
    /// The speed as a site must know it. A burst needs both directions; a missing one is the plain rate.
    /// Unless its terms say otherwise it lasts until the average of 16 seconds reaches three quarters of
    /// the plain rate: at twice that rate, six seconds.
    pub fn rate(&self) -> RateLimit {
        let kbps = |mbps: i32| u32::try_from(mbps).unwrap_or(0).saturating_mul(1000);
        let percent = self.terms.burst_threshold.unwrap_or(BURST_THRESHOLD);
        let threshold = |mbps: i32| kbps(mbps) / 100 * percent.unsigned_abs();
        let secs = self.terms.burst_seconds.unwrap_or(BURST_SECS);
        let bursts = self.burst_upload.is_some() || self.burst_download.is_some();
        let burst = bursts.then(|| Burst {
            up_kbps: kbps(self.burst_upload.unwrap_or(self.upload_mbps)),
            down_kbps: kbps(self.burst_download.unwrap_or(self.download_mbps)),
            threshold_up_kbps: threshold(self.upload_mbps),
            threshold_down_kbps: threshold(self.download_mbps),
            secs: u16::try_from(secs).unwrap_or(1),
        });
        RateLimit {
            up_kbps: kbps(self.upload_mbps),
            down_kbps: kbps(self.download_mbps),
            burst,
        }
    }
}

const BURST_SECS: i32 = 16;
const BURST_THRESHOLD: i32 = 75;

/// Why a package cannot be changed so.
pub fn in_use(customers: i64, wish: &str) -> String {
    let customers = match customers {
        1 => "1 customer has".to_owned(),
        n => format!("{n} customers have"),
    };
    format!("{customers} this package; move them to another package before you {wish}")
}

/// Why a package cannot be deleted whose vouchers somebody may show.
pub fn has_vouchers(vouchers: i64) -> String {
    let vouchers = match vouchers {
        1 => "1 voucher".to_owned(),
        n => format!("{n} vouchers"),
    };
    format!(
        "{vouchers} of this package can still be used; revoke them, or stop its sale and delete it when they are used \
         or over"
    )
}

/// What an edit changed, each as a person would say it.
pub fn differences(before: &Draft, after: &Draft) -> Vec<String> {
    let mut said = Vec::new();
    let mut note = |changed: bool, text: String| {
        if changed {
            said.push(text);
        }
    };
    note(before.name != after.name, format!("name to {}", after.name));
    note(
        before.kind != after.kind,
        format!("type to {:?}", after.kind),
    );
    note(
        before.price != after.price,
        format!("price from {} to {}", before.price, after.price),
    );
    let (old, new) = (before.rate().to_mikrotik(), after.rate().to_mikrotik());
    note(old != new, format!("speed from {old} to {new}"));
    let period = after.period;
    note(
        before.period != period,
        format!("period to {} {:?}", period.count, period.unit),
    );
    note(
        before.data_limit != after.data_limit,
        match after.data_limit {
            Some(bytes) => format!("data limit to {bytes} bytes"),
            None => "data limit to none".to_owned(),
        },
    );
    note(before.terms != after.terms, "its terms".to_owned());
    note(
        before.devices != after.devices,
        format!("devices to {}", after.devices),
    );
    let sold = if after.is_active {
        "active"
    } else {
        "inactive"
    };
    note(before.is_active != after.is_active, format!("it to {sold}"));
    said
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn full() -> Change {
        Change {
            name: Some(" Home 10 ".to_owned()),
            kind: Some(PackageType::Pppoe),
            price: Some(Cents::whole(1000)),
            download_mbps: Some(10),
            upload_mbps: Some(5),
            ..Change::default()
        }
    }

    #[test]
    fn no_time_means_a_month_at_home_and_thirty_days_at_a_hotspot() {
        let home = draft(full(), None).unwrap();
        assert_eq!(
            (home.name.as_str(), home.period),
            ("Home 10", Period::MONTH)
        );
        assert_eq!(home.period.minutes(), None);

        let hotspot = Change {
            kind: Some(PackageType::Hotspot),
            session_time: Some(None),
            ..full()
        };
        assert_eq!(draft(hotspot, None).unwrap().period.minutes(), Some(43_200));
    }

    #[test]
    fn a_form_that_sends_everything_back_changes_what_it_changed() {
        let weekly = Period {
            count: 2,
            unit: PeriodUnit::Weeks,
        };
        let before = draft(
            Change {
                period: Some(weekly),
                ..full()
            },
            None,
        )
        .unwrap();
        let echo = Change {
            period: Some(weekly),
            session_time: Some(weekly.minutes()),
            ..full()
        };
        assert_eq!(draft(echo.clone(), Some(&before)).unwrap().period, weekly);

        let hour = Change {
            session_time: Some(Some(60)),
            ..echo.clone()
        };
        assert_eq!(
            draft(hour, Some(&before)).unwrap().period.minutes(),
            Some(60)
        );

        let monthly = Change {
            session_time: Some(None),
            ..echo
        };
        assert_eq!(draft(monthly, Some(&before)).unwrap().period, Period::MONTH);
        let untouched = draft(Change::default(), Some(&before)).unwrap();
        assert_eq!(untouched, before);
    }

    #[test]
    fn every_wrong_field_is_named() {
        let fields = |change| {
            let wrong = draft(change, None).unwrap_err();
            wrong
                .into_iter()
                .map(|error| error.field)
                .collect::<Vec<_>>()
        };
        assert_eq!(
            fields(Change::default()),
            ["name", "type", "price", "downloadSpeed", "uploadSpeed"]
        );
        assert_eq!(
            fields(Change {
                download_mbps: Some(0),
                data_limit: Some(Some(-1)),
                session_time: Some(Some(-5)),
                ..full()
            }),
            ["downloadSpeed", "sessionTime", "dataLimit"]
        );
    }

    #[test]
    fn upload_comes_first_and_half_a_burst_borrows_the_plain_rate() {
        let change = Change {
            burst_download: Some(Some(20)),
            ..full()
        };
        let rate = draft(change, None).unwrap().rate();
        assert_eq!(rate.to_mikrotik(), "5M/10M 5M/20M 3750k/7500k 16/16");
    }
}
