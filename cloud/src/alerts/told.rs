//! What people and their programs read of an alert.

use easyisp_shared::entropy::Entropy;
use easyisp_shared::id::{AlertId, RouterId, SiteId, TenantId};
use easyisp_shared::time::Timestamp;
use jiff::tz::TimeZone;
use serde::Serialize;

use super::device::Seen;
use super::rules::Rule;
use super::store::Alert;
use super::words::{Kind, Severity};
use crate::webhooks::{Event, EventKind};

/// One sentence without its end: what is wrong with a device.
pub fn message(device: &str, seen: &Seen, rule: &Rule) -> String {
    let (subject, value) = (&seen.subject, seen.value);
    let limit = |unit: &str| match (value, rule.raise) {
        (Some(value), Some(raise)) => format!("{value:.1}{unit} (limit {raise}{unit})"),
        (Some(value), None) => format!("{value:.1}{unit}"),
        (None, _) => "unknown".to_owned(),
    };
    match seen.kind {
        Kind::SiteDown => format!("Site {device}: no agent is heard; box, power or line are down"),
        Kind::RouterDown => format!("{device} does not answer"),
        Kind::LinkDown => format!("{device}: {subject} is down"),
        Kind::Temperature => format!("{device}: {subject} is at {}", limit(" °C")),
        Kind::Voltage => format!("{device}: {subject} fell to {}", limit(" V")),
        Kind::Cpu => format!("{device}: processor at {}", limit(" %")),
        Kind::Memory => format!("{device}: memory at {}", limit(" %")),
        Kind::Disk => format!("{device}: disk at {}", limit(" %")),
        Kind::Pool => format!("{device}: {subject} addresses used up to {}", limit(" %")),
        Kind::ConfigurationDrift => {
            format!("{device}: {} differ from its set-up", seen.words)
        }
        Kind::PayoutUnknown => {
            format!("{device}: {subject} was sent, and the provider does not say what became of it")
        }
        Kind::RolloutStopped => format!("Rollout {device} stopped by itself: {subject}"),
    }
}

/// The line that somebody reads about it.
pub fn line(alert: &Alert, zone: &TimeZone) -> String {
    let at = |instant: Timestamp| instant.in_zone(zone).strftime("%H:%M").to_string();
    match alert.cleared_at {
        None => {
            let again = match alert.flaps {
                0 => "",
                _ => ". It comes and goes: from now on counted, not told",
            };
            let how = match alert.severity {
                Severity::Critical => "CRITICAL",
                Severity::Warning => "Warning",
                Severity::Info => "Info",
            };
            format!(
                "{how}: {} since {}{again}.",
                alert.message,
                at(alert.raised_at)
            )
        }
        Some(cleared) => {
            let flaps = match alert.flaps {
                0 => String::new(),
                1 => ", it came back once".to_owned(),
                times => format!(", it came back {times} times"),
            };
            format!(
                "OK since {}: {} (from {}{flaps}).",
                at(cleared),
                alert.message,
                at(alert.raised_at)
            )
        }
    }
}

/// What one look found, as one text message: a storm is one message, not a hundred.
pub fn text(business: &str, lines: &[String]) -> String {
    let shown = lines
        .iter()
        .take(MOST_LINES)
        .cloned()
        .collect::<Vec<_>>()
        .join(" ");
    match lines.len().saturating_sub(MOST_LINES) {
        0 => format!("{business}: {shown}"),
        more => format!("{business}: {shown} And {more} more."),
    }
}

/// The same as a letter: what it is about, and all of it.
pub fn letter(business: &str, lines: &[String]) -> (String, String) {
    let first = lines.first().map_or("", String::as_str);
    let subject = match lines.len() {
        0 | 1 => first.trim_end_matches('.').to_owned(),
        many => format!("{business}: {many} alerts"),
    };
    (subject, format!("{}\n\n{business}\n", lines.join("\n")))
}

/// `alert.raised` and `alert.cleared`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Told<'a> {
    alert_id: AlertId,
    rule: Kind,
    severity: Severity,
    /// Null for what is at no site.
    site_id: Option<SiteId>,
    router_id: Option<RouterId>,
    device: &'a str,
    subject: &'a str,
    value: Option<f64>,
    message: &'a str,
    raised_at: Timestamp,
    cleared_at: Option<Timestamp>,
    flaps: i32,
}

/// What webhooks are told.
pub fn event(tenant: TenantId, alert: &Alert, now: Timestamp, entropy: &Entropy) -> Event {
    let data = Told {
        alert_id: alert.id,
        rule: alert.rule,
        severity: alert.severity,
        site_id: alert.site_id,
        router_id: alert.router_id,
        device: &alert.device,
        subject: &alert.subject,
        value: alert.value,
        message: &alert.message,
        raised_at: alert.raised_at,
        cleared_at: alert.cleared_at,
        flaps: alert.flaps,
    };
    let kind = match alert.cleared_at {
        None => EventKind::AlertRaised,
        Some(_) => EventKind::AlertCleared,
    };
    Event::new(tenant, kind, &data, now, entropy)
}

/// What fits into two text messages.
const MOST_LINES: usize = 3;

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::super::rules::Reading;
    use super::*;

    fn said(kind: Kind, subject: &str, value: Option<f64>, words: &str) -> String {
        let seen = Seen {
            kind,
            subject: subject.to_owned(),
            reading: Reading::Well,
            value,
            words: words.to_owned(),
        };
        message("Tower", &seen, &kind.usual())
    }

    fn alert(cleared: Option<i64>, flaps: i32) -> Alert {
        let at = |secs| Timestamp::from_secs(1_800_000_000 + secs);
        Alert {
            id: AlertId(Uuid::nil()),
            rule: Kind::RouterDown,
            severity: Severity::Critical,
            site_id: Some(SiteId(Uuid::nil())),
            router_id: None,
            device: "Tower".into(),
            subject: String::new(),
            value: None,
            message: said(Kind::RouterDown, "", None, ""),
            raised_at: at(0),
            cleared_at: cleared.map(at),
            flaps,
            acknowledged_at: None,
            acknowledged_by: None,
            note: None,
        }
    }

    #[test]
    fn a_line_says_what_since_when_and_that_it_is_over() {
        let zone = TimeZone::UTC;
        assert_eq!(
            line(&alert(None, 0), &zone),
            "CRITICAL: Tower does not answer since 08:00."
        );
        assert_eq!(
            line(&alert(None, 1), &zone),
            "CRITICAL: Tower does not answer since 08:00. It comes and goes: from now on counted, not told."
        );
        assert_eq!(
            line(&alert(Some(720), 3), &zone),
            "OK since 08:12: Tower does not answer (from 08:00, it came back 3 times)."
        );
        assert_eq!(
            said(Kind::Temperature, "cpu", Some(80.52), ""),
            "Tower: cpu is at 80.5 °C (limit 75 °C)"
        );
        let drift = "2 settings (/ppp aaa use-radius, /snmp enabled)";
        assert_eq!(
            said(Kind::ConfigurationDrift, "", Some(2.0), drift),
            format!("Tower: {drift} differ from its set-up")
        );
    }

    #[test]
    fn a_storm_is_one_message() {
        let lines: Vec<String> = (1..=40).map(|n| format!("Line {n}.")).collect();
        assert_eq!(
            text("Acme", &lines),
            "Acme: Line 1. Line 2. Line 3. And 37 more."
        );
        assert_eq!(text("Acme", &lines[..1]), "Acme: Line 1.");
        let (subject, body) = letter("Acme", &lines);
        assert_eq!(subject, "Acme: 40 alerts");
        assert!(body.contains("Line 40."));
        assert_eq!(letter("Acme", &lines[..1]).0, "Line 1");
    }
}
