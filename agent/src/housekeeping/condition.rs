//! What a person should look at here: found every quarter of a minute, told to the cloud when it changes.

use std::sync::Arc;
use std::time::Duration;

use easyisp_shared::time::Timestamp;
use easyisp_shared::wire::condition::ConditionV1;
use easyisp_shared::wire::question::{AgentQuestion, AskFailure};
use tokio_util::sync::CancellationToken;

use super::news;
use crate::status::Overview;
use crate::store::used_percent;
use crate::sync::Asker;

/// Tells until cancelled. What could not be told is told with the next look, or once the link is up.
pub(crate) async fn run(overview: Arc<Overview>, cloud: Asker, cancel: CancellationToken) {
    let mut since = Since::new(overview.clock.now());
    let mut told: Option<ConditionV1> = None;
    let mut link = overview.link.clone();
    loop {
        let dir = overview.data_dir.clone();
        let used = tokio::task::spawn_blocking(move || used_percent(&dir)).await;
        let condition = since.look(&overview, used.ok().flatten());
        if told.as_ref().is_none_or(|told| is_news(told, &condition)) {
            let question = AgentQuestion::Condition(condition.clone());
            let asking = cloud.ask(question, PATIENCE);
            match cancel.run_until_cancelled(asking).await {
                None => return,
                // A cloud of before cannot show it; it is asked again after an hour.
                Some(Ok(_) | Err(AskFailure::NotUnderstood)) => told = Some(condition),
                Some(Err(_)) => {}
            }
        }
        tokio::select! {
            () = cancel.cancelled() => return,
            () = overview.clock.sleep(LOOK) => {}
            () = news(&mut link) => {}
        }
    }
}

/// Since when things are as they should not be.
struct Since {
    started: Timestamp,
    disk: Option<Timestamp>,
    clock: Option<Timestamp>,
    refusing: Option<Timestamp>,
}

impl Since {
    fn new(started: Timestamp) -> Since {
        Since {
            started,
            disk: None,
            clock: None,
            refusing: None,
        }
    }

    fn look(&mut self, overview: &Overview, disk_used_percent: Option<u8>) -> ConditionV1 {
        let now = overview.clock.now();
        keep(&mut self.disk, disk_used_percent >= Some(FILLING), now);
        keep(&mut self.clock, !overview.clock.trusted(), now);
        keep(&mut self.refusing, overview.outbox.stats().failing, now);
        let names = overview.moved_aside.iter();
        let routers = overview.site.routers().into_iter();
        ConditionV1 {
            at: now,
            hosted: overview.hosted,
            disk_used_percent,
            disk_since: self.disk,
            moved_aside: names
                .filter_map(|path| Some(path.file_name()?.to_string_lossy().into_owned()))
                .collect(),
            started: self.started,
            // Every clock is doubtful until the link is up for the first time.
            clock_untrusted_since: self.clock.filter(|since| now.since(*since) >= DOUBTFUL),
            refusing_since: self.refusing,
            routers: routers
                .filter_map(|router| router.condition(now))
                .take(MOST_ROUTERS)
                .collect(),
            upstream: overview.upstream.state(),
        }
    }
}

fn keep(since: &mut Option<Timestamp>, is_so: bool, now: Timestamp) {
    *since = is_so.then(|| since.unwrap_or(now));
}

/// Whether a person would see another picture: everything but the time of the look, the disk in steps.
fn is_news(told: &ConditionV1, now: &ConditionV1) -> bool {
    let step = |of: &ConditionV1| of.disk_used_percent.map(|percent| percent / 5);
    let rest = |of: &ConditionV1| ConditionV1 {
        at: told.at,
        disk_used_percent: None,
        ..of.clone()
    };
    now.at.since(told.at) >= ANEW || step(told) != step(now) || rest(told) != rest(now)
}

/// Somebody who looks at a page that is a minute old sees it (A5).
const LOOK: Duration = Duration::from_secs(15);
/// A cloud that was restored from a backup hears it again.
const ANEW: Duration = Duration::from_secs(3600);
const PATIENCE: Duration = Duration::from_secs(10);
const DOUBTFUL: Duration = Duration::from_secs(60);
/// Percent of the disk from which on a person is warned (E1).
const FILLING: u8 = 80;
const MOST_ROUTERS: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_look_without_news_is_not_told_for_an_hour() {
        let at = Timestamp::from_secs;
        let quiet = ConditionV1 {
            at: at(0),
            hosted: false,
            disk_used_percent: Some(80),
            disk_since: Some(at(0)),
            moved_aside: Vec::new(),
            started: at(0),
            clock_untrusted_since: None,
            refusing_since: None,
            routers: Vec::new(),
            upstream: None,
        };
        let later = |secs| ConditionV1 {
            at: at(secs),
            ..quiet.clone()
        };
        assert!(!is_news(&quiet, &later(3599)));
        assert!(is_news(&quiet, &later(3600)));
        let disk = |percent| ConditionV1 {
            disk_used_percent: Some(percent),
            ..later(15)
        };
        assert!(!is_news(&quiet, &disk(84)));
        assert!(is_news(&quiet, &disk(90)) && is_news(&quiet, &disk(79)));
        let refusing = ConditionV1 {
            refusing_since: Some(at(10)),
            ..later(15)
        };
        assert!(is_news(&quiet, &refusing));
        assert!(is_news(&refusing, &quiet));
    }

    #[test]
    fn a_trouble_has_one_beginning() {
        let mut since = None;
        for (secs, is_so, expected) in [
            (1, true, Some(1)),
            (2, true, Some(1)),
            (3, false, None),
            (4, true, Some(4)),
        ] {
            keep(&mut since, is_so, Timestamp::from_secs(secs));
            assert_eq!(since, expected.map(Timestamp::from_secs));
        }
    }
}
