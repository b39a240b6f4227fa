//! The loop: claim, hand out, hold on to what is under way, wait for the next.

use std::time::Duration;

use easyisp_shared::id::TenantId;
use easyisp_shared::time::{Clock, Timestamp};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::db::Database;

use super::rules::{AT_ONCE, LEASE, is_to_renew, rest};
use super::{Job, Jobs, Outcome, store};

/// How long work that another node put in may lie unnoticed.
const LOOK: Duration = Duration::from_secs(1);

pub(super) async fn run(jobs: Jobs, db: Database, clock: Clock, stop: CancellationToken) {
    let owner = Uuid::from_bytes(db.entropy().bytes());
    let kinds: Vec<&'static str> = jobs.handlers.keys().copied().collect();
    let at_once = jobs.at_once.unwrap_or(AT_ONCE);
    let mut under_way = JoinSet::new();
    let mut held = Held::default();
    let mut ended = Vec::new();
    while !stop.is_cancelled() {
        while let Some(end) = under_way.try_join_next() {
            ended.extend(held.let_go(end.ok()));
        }
        // While these are taken out, others end: the next ones go together.
        finish(&db, &mut ended).await;
        // By a wrong clock everything is due, or nothing.
        if db.drift().is_off() {
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(LOOK) => {}
            }
            continue;
        }
        held.renew(&db, clock.now()).await;
        let (room, now) = (at_once - under_way.len(), clock.now());
        let claimed = match store::claim(&db, &kinds, owner, room, now).await {
            Ok(claimed) => claimed,
            Err(cause) => {
                tracing::warn!(%cause, "Cannot look for due work; trying again");
                Vec::new()
            }
        };
        let was_idle = claimed.is_empty();
        for job in claimed {
            held.take(job, now);
            under_way.spawn(work(jobs.clone(), db.clone(), clock.clone(), job));
        }
        if was_idle || under_way.len() == at_once {
            tokio::select! {
                () = stop.cancelled() => {}
                () = until_due(&db, &kinds, &clock), if under_way.len() < at_once => {}
                () = tokio::time::sleep(LOOK) => {}
                Some(end) = under_way.join_next() => ended.extend(held.let_go(end.ok())),
            }
        }
    }
    while !under_way.is_empty() {
        held.renew(&db, clock.now()).await;
        tokio::select! {
            Some(end) = under_way.join_next() => ended.extend(held.let_go(end.ok())),
            () = tokio::time::sleep(LOOK) => {}
        }
    }
    finish(&db, &mut ended).await;
}

/// The claims that this node lives by: each is held on to while its work goes on, so that nobody does long work twice.
#[derive(Default)]
struct Held {
    claims: Vec<Claim>,
}

struct Claim {
    job: Job,
    since: Timestamp,
    until: Timestamp,
}

impl Held {
    fn take(&mut self, job: Job, now: Timestamp) {
        let until = now.plus(LEASE);
        self.claims.push(Claim {
            job,
            since: now,
            until,
        });
    }

    /// What is to be taken out.
    fn let_go(&mut self, end: Option<Ended>) -> Option<Job> {
        let Ended { job, is_done } = end?; // a handler's panic is no end without a job: `work` catches it
        self.claims.retain(|claim| claim.job != job);
        is_done.then_some(job)
    }

    async fn renew(&mut self, db: &Database, now: Timestamp) {
        let claims = self.claims.iter_mut();
        let mut due: Vec<&mut Claim> = claims
            .filter(|claim| is_to_renew(claim.since, claim.until, now))
            .collect();
        if due.is_empty() {
            return;
        }
        let (jobs, until): (Vec<Job>, _) = (due.iter().map(|c| c.job).collect(), now.plus(LEASE));
        match store::renew(db, &jobs, until, now).await {
            Ok(renewed) => {
                let is_renewed = |job: &Job| {
                    let of = |(tenant, kind, subject): &(TenantId, String, Uuid)| {
                        (*tenant, kind.as_str(), *subject) == (job.tenant, job.kind, job.subject)
                    };
                    renewed.iter().any(of)
                };
                let due = due.iter_mut().filter(|claim| is_renewed(&claim.job));
                due.for_each(|claim| claim.until = until);
            }
            Err(cause) => {
                tracing::warn!(%cause, "Cannot hold on to {} jobs; trying again", due.len())
            }
        }
    }
}

/// A job whose handler ended.
struct Ended {
    job: Job,
    /// There is nothing more to do.
    is_done: bool,
}

/// Takes out what is done. What could not be taken out runs again when its lease ends.
async fn finish(db: &Database, ended: &mut Vec<Job>) {
    let done = std::mem::take(ended);
    if done.is_empty() {
        return;
    }
    if let Err(cause) = store::finish(db, &done).await {
        tracing::warn!(%cause, "Cannot conclude {} jobs; they run again when their leases end", done.len());
    }
}

/// Waits until something that is known now becomes due.
async fn until_due(db: &Database, kinds: &[&'static str], clock: &Clock) {
    match store::next_due(db, kinds).await {
        Ok(Some(due)) => clock.sleep_until(due).await,
        Ok(None) | Err(_) => std::future::pending().await, // the next look comes in a second
    }
}

/// Does a job, and puts it back where there is more to do.
async fn work(jobs: Jobs, db: Database, clock: Clock, job: Job) -> Ended {
    let ended = |is_done| Ended { job, is_done };
    let Some(handler) = jobs.handlers.get(job.kind) else {
        return ended(false); // only registered kinds are claimed
    };
    // A panic is a failed attempt like any other; the job must not vanish with its lease.
    let outcome = match tokio::spawn(handler(job, clock.now())).await {
        Ok(outcome) => outcome,
        Err(panic) => Err(panic.into()),
    };
    let put_back = match outcome {
        Ok(Outcome::Done) => return ended(true),
        Ok(Outcome::Again(due)) => store::put_back(&db, &job, due, None).await,
        Err(error) => {
            let rest = rest(job.attempts + 1);
            tracing::warn!(
                kind = job.kind, subject = %job.subject, tenant.id = %job.tenant, attempts = job.attempts + 1,
                "A job failed and rests for {rest:?}: {error:#}"
            );
            let error = format!("{error:#}");
            store::put_back(&db, &job, clock.now().plus(rest), Some(&error)).await
        }
    };
    if let Err(cause) = put_back {
        tracing::warn!(%cause, kind = job.kind, "Cannot conclude a job; it runs again when its lease ends");
    }
    ended(false)
}
