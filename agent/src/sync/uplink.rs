//! One lane of the outbox on its way up: batches in order, a few in flight, each acknowledged by mark.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use easyisp_shared::wire::hello::UpAck;
use easyisp_shared::wire::{Lane, Message, UpBatch};
use tokio::sync::watch;
use uuid::Uuid;

use super::link::Ended;
use super::pipe::{Carrier, Pipe, PipeError};
use super::{Local, Unavailable};

/// Sends what `lane` holds after `mark`, and what is added, until the link ends.
///
/// A batch names what it follows, so the cloud never jumps over one that got lost; whatever is
/// unacknowledged when a pipe ends is sent again on the next and skipped there by its mark.
pub(super) async fn run<L: Local>(
    carrier: Arc<dyn Carrier>,
    local: Arc<L>,
    outbox: Uuid,
    lane: Lane,
    mark: u64,
) -> Ended {
    let mut uplink = Uplink {
        commits: local.commits(),
        carrier,
        local,
        outbox,
        lane,
        acknowledged: mark,
    };
    // Its answer to the last batches may have been lost with the link, or with this box's power.
    if mark > 0 {
        uplink.local.acknowledged(lane, mark).await;
    }
    loop {
        match uplink.one_pipe().await {
            Ok(Next::AfterAWhile(wait)) => tokio::time::sleep(wait).await,
            Ok(Next::AtOnce) => {}
            Err(ended) => return ended,
        }
    }
}

struct Uplink<L> {
    carrier: Arc<dyn Carrier>,
    local: Arc<L>,
    commits: watch::Receiver<u64>,
    outbox: Uuid,
    lane: Lane,
    acknowledged: u64,
}

/// When to open the next pipe.
enum Next {
    AtOnce,
    AfterAWhile(Duration),
}

impl<L: Local> Uplink<L> {
    async fn one_pipe(&mut self) -> Result<Next, Ended> {
        let mut sent = self.acknowledged;
        let mut in_flight = VecDeque::with_capacity(WINDOW);
        let mut batch = self.wait_for_records(sent).await?;
        let mut pipe = self.carrier.open().await?;
        loop {
            while let Some(next) = batch.take() {
                sent = next.mark();
                in_flight.push_back(sent);
                pipe.sink.send(&Message::Up(next)).await?;
                if in_flight.len() < WINDOW {
                    batch = self.batch(sent).await?;
                }
            }
            let Some(due) = in_flight.pop_front() else {
                batch = self.wait_for_records(sent).await?;
                continue;
            };
            match self.acknowledgement(&mut pipe).await? {
                UpAck::V1 { mark, .. } => {
                    self.acknowledged = mark;
                    self.local.acknowledged(self.lane, mark).await;
                    if mark < due {
                        return Ok(Next::AtOnce);
                    }
                }
                UpAck::Later {
                    retry_after_millis, ..
                } => {
                    let wait = Duration::from_millis(u64::from(retry_after_millis));
                    return Ok(Next::AfterAWhile(wait.min(LONGEST_WAIT)));
                }
            }
            batch = self.batch(sent).await?;
        }
    }

    /// The batch after `sent`, once there is one: at once where somebody misses it, else when a few more
    /// may have come. A record that travels alone pays for a packet each way.
    async fn wait_for_records(&mut self, sent: u64) -> Result<Option<UpBatch>, Ended> {
        let mut since: Option<Instant> = None;
        loop {
            self.commits.borrow_and_update();
            let (batch, can_wait) = self.next(sent).await?;
            let due = since.is_some_and(|since| since.elapsed() >= COMPANY);
            if batch.is_some() && (due || !can_wait) {
                return Ok(batch);
            }
            let changed = self.commits.changed();
            let changed = match batch {
                None => changed.await,
                Some(_) => {
                    let first = *since.get_or_insert_with(Instant::now);
                    let rest = COMPANY.saturating_sub(first.elapsed());
                    tokio::time::timeout(rest, changed).await.unwrap_or(Ok(()))
                }
            };
            if changed.is_err() {
                return Err(Ended::Failed("the outbox was closed".into()));
            }
        }
    }

    /// The batch after `after` that need not wait.
    async fn batch(&self, after: u64) -> Result<Option<UpBatch>, Unavailable> {
        let (batch, can_wait) = self.next(after).await?;
        Ok(batch.filter(|_| !can_wait))
    }

    async fn next(&self, after: u64) -> Result<(Option<UpBatch>, bool), Unavailable> {
        let found = self
            .local
            .next_batch(self.lane, after, BATCH_RECORDS, BATCH_BYTES)
            .await?;
        let records = found.list;
        let batch = (!records.is_empty()).then_some(UpBatch {
            outbox: self.outbox,
            lane: self.lane,
            after,
            records,
        });
        Ok((batch, found.can_wait))
    }

    async fn acknowledgement(&self, pipe: &mut Pipe) -> Result<UpAck, PipeError> {
        match pipe.source.receive().await? {
            Some(Message::UpAck(ack)) if lane_of(&ack) == self.lane.code() => Ok(ack),
            Some(_) => Err(PipeError::Unexpected),
            None => Err(PipeError::Ended),
        }
    }
}

fn lane_of(ack: &UpAck) -> u8 {
    match ack {
        UpAck::V1 { lane, .. } | UpAck::Later { lane, .. } => *lane,
    }
}

/// A long line (300 ms) is kept busy; more would only be sent again when it breaks.
const WINDOW: usize = 4;
/// One commit in the cloud: 200 rows a commit already cost little, more make the next lane wait.
const BATCH_RECORDS: usize = 500;
const BATCH_BYTES: usize = 128 * 1024;
/// Long enough for a handful of interims at a site of 500.
const COMPANY: Duration = Duration::from_secs(5);
const LONGEST_WAIT: Duration = Duration::from_secs(60);
