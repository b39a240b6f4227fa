//! `/system scheduler`: what a router runs by itself, by the time since it started.
//!
//! `MikroTik`, Scheduler: an entry with `start-time=startup` and an interval counts from three seconds after the start,
//! and does not run at the start itself.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use easyisp_shared::time::Timestamp;

use super::Router;

/// An entry that is switched on.
struct Entry {
    id: String,
    interval: Duration,
    event: String,
    policy: String,
}

/// Runs what is due until the router stops.
pub(super) async fn keep(router: Router) {
    let clock = router.shared.clock.clone();
    let mut changed = router.shared.changed.subscribe();
    // When each entry ran last, or was first seen.
    let mut ran: HashMap<String, Timestamp> = HashMap::new();
    loop {
        let now = clock.now();
        let entries = router.entries();
        ran.retain(|id, _| entries.iter().any(|entry| entry.id == *id));
        let mut next: Option<Timestamp> = None;
        for entry in entries {
            let last = *ran.entry(entry.id.clone()).or_insert(now);
            let due = router.due(&entry, last);
            if due <= now && !router.is_away() {
                ran.insert(entry.id.clone(), now);
                router.runs(&entry, now);
                next = Some(now);
            } else if due > now {
                next = Some(next.map_or(due, |next| next.min(due)));
            }
        }
        match next {
            Some(next) => tokio::select! {
                () = clock.sleep_until(next) => {}
                told = changed.changed() => if told.is_err() { return },
            },
            None => {
                if changed.changed().await.is_err() {
                    return;
                }
            }
        }
    }
}

impl Router {
    fn entries(&self) -> Vec<Entry> {
        let rows = self.state().machine.told("/system/scheduler");
        let entry = |(id, fields): (String, Vec<(&'static str, String)>)| {
            let of = |name: &str| {
                let held = fields.iter().find(|(held, _)| *held == name);
                held.map(|(_, value)| value.clone())
            };
            let is_on = of("disabled").is_none_or(|it| it != "true");
            Some(Entry {
                id,
                interval: easyisp_shared::setup::duration(&of("interval")?)?,
                event: of("on-event")?,
                policy: of("policy").unwrap_or_default(),
            })
            .filter(|entry| is_on && !entry.interval.is_zero())
        };
        rows.unwrap_or_default()
            .into_iter()
            .filter_map(entry)
            .collect()
    }

    /// When an entry that ran last at `last` runs next.
    fn due(&self, entry: &Entry, last: Timestamp) -> Timestamp {
        let begin = self.state().booted.plus(AFTER_START);
        let turns = last.since(begin).as_secs() / entry.interval.as_secs().max(1) + 1;
        let turns = u32::try_from(turns).unwrap_or(u32::MAX);
        match last < begin {
            true => begin.plus(entry.interval),
            false => begin.plus(entry.interval * turns),
        }
    }

    fn runs(&self, entry: &Entry, now: Timestamp) {
        let uptime = now.since(self.state().booted);
        let posted = self.configure(|machine| {
            machine.counts(&entry.id);
            machine.scheduled((&entry.event, &entry.policy), uptime)
        });
        for (url, header, words) in posted {
            self.spawn(post(self.clone(), url, header, words));
        }
    }
}

/// Goes out for real, from the router's own address.
async fn post(router: Router, url: String, header: String, words: String) {
    let client = reqwest::Client::builder()
        .local_address(IpAddr::V4(router.shared.settings.source))
        .no_proxy()
        .build();
    let Ok(client) = client else { return };
    let mut request = client.post(url).body(words);
    if let Some((name, value)) = header.split_once(": ") {
        request = request.header(name, value);
    }
    let taken = request
        .send()
        .await
        .is_ok_and(|answer| answer.status().is_success());
    router.change(|state| match taken {
        true => state.counters.posts_taken += 1,
        false => state.counters.posts_refused += 1,
    });
}

/// How long after a start the scheduler begins to count.
const AFTER_START: Duration = Duration::from_secs(3);
