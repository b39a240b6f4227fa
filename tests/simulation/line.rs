//! The line between box and cloud: messages in memory, cut where the seed says.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Result, bail};
use easyisp_agent::sync::{Pipe as AgentPipe, Terms};
use easyisp_cloud::Cloud;
use easyisp_cloud::sync::{Carrier, Pipe, PipeError, Traffic};
use easyisp_shared::wire::Message;
use futures_util::future::BoxFuture;
use tokio::sync::{Mutex, mpsc};
use tokio_util::sync::CancellationToken;

/// A connection that is up until it is dropped, with so many messages left to carry.
pub struct Line {
    opened: mpsc::UnboundedSender<Pipe>,
    cut: CancellationToken,
    left: Arc<AtomicU64>,
}

/// The cloud's end.
struct CloudEnd {
    certificate: Vec<u8>,
    accepted: Mutex<mpsc::UnboundedReceiver<Pipe>>,
    cut: CancellationToken,
}

/// One pipe, from the box's end.
pub struct Ends {
    pipe: AgentPipe,
    left: Arc<AtomicU64>,
}

impl Line {
    /// Dials. After `messages` messages the line is cut.
    pub fn dial(cloud: &Cloud, certificate: &[u8], messages: u64) -> Line {
        let (opened, accepted) = mpsc::unbounded_channel();
        let cut = CancellationToken::new();
        cloud.connect(Arc::new(CloudEnd {
            certificate: certificate.to_vec(),
            accepted: Mutex::new(accepted),
            cut: cut.clone(),
        }));
        let left = Arc::new(AtomicU64::new(messages));
        Line { opened, cut, left }
    }

    /// Opens a pipe.
    pub fn open(&self) -> Result<Ends> {
        let (to_cloud, from_box) = tokio::io::duplex(ROOM);
        let (to_box, from_cloud) = tokio::io::duplex(ROOM);
        if self.opened.send(Pipe::new(to_box, from_box)).is_err() {
            bail!("the cloud hung up");
        }
        Ok(Ends {
            pipe: AgentPipe::new(to_cloud, from_cloud),
            left: self.left.clone(),
        })
    }

    /// Whether the cloud has hung up, or the seed has cut it.
    pub fn is_cut(&self) -> bool {
        self.cut.is_cancelled() || self.left.load(Ordering::Relaxed) == 0
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.cut.cancel();
    }
}

impl Ends {
    /// Sends; `false` when the line is cut before it arrives.
    pub async fn send(&mut self, message: &Message) -> bool {
        self.carries() && self.pipe.sink.send(message).await.is_ok()
    }

    /// Receives; `None` when the line is cut before it arrives.
    pub async fn receive(&mut self) -> Option<Message> {
        let message = self.pipe.source.receive().await.ok().flatten()?;
        self.carries().then_some(message)
    }

    fn carries(&self) -> bool {
        let less = |left: u64| left.checked_sub(1);
        self.left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, less)
            .is_ok()
    }
}

impl Carrier for CloudEnd {
    fn open(&self) -> BoxFuture<'_, Result<Pipe, PipeError>> {
        Box::pin(async { Err(PipeError::Lost("nobody listens here".into())) })
    }

    fn accept(&self) -> BoxFuture<'_, Result<Pipe, PipeError>> {
        Box::pin(async {
            let mut accepted = self.accepted.lock().await;
            tokio::select! {
                () = self.cut.cancelled() => Err(PipeError::Ended),
                pipe = accepted.recv() => pipe.ok_or(PipeError::Ended),
            }
        })
    }

    fn closed(&self) -> BoxFuture<'_, PipeError> {
        Box::pin(async {
            self.cut.cancelled().await;
            PipeError::Ended
        })
    }

    fn close(&self) {
        self.cut.cancel();
    }

    fn peer_certificate(&self) -> Option<Vec<u8>> {
        Some(self.certificate.clone())
    }

    fn traffic(&self) -> Traffic {
        Traffic::default()
    }
}

/// A welcome's terms as a link without delay knows them.
pub fn terms(welcome: &easyisp_shared::wire::hello::WelcomeV1) -> Terms {
    Terms {
        epoch: welcome.epoch,
        generation: welcome.generation,
        now: welcome.now,
        round_trip: std::time::Duration::ZERO,
        packed_metrics: true,
        pools: true,
        prefixes: true,
    }
}

const ROOM: usize = 4 << 20;
