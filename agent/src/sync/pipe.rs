//! Ordered pipes of messages over whatever carries octets.

use futures_util::future::BoxFuture;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use easyisp_shared::wire::{FRAME_HEADER, Message, WireError};

/// A connection to a cloud: opens and accepts pipes until it ends.
///
/// QUIC maps a pipe to a stream of its own; over TCP the pipes share one TLS connection.
pub trait Carrier: Send + Sync + 'static {
    /// Opens a pipe. The cloud learns of it with the first message.
    fn open(&self) -> BoxFuture<'_, Result<Pipe, PipeError>>;

    /// Waits for the cloud to open a pipe.
    fn accept(&self) -> BoxFuture<'_, Result<Pipe, PipeError>>;

    /// Waits for the end; says why.
    fn closed(&self) -> BoxFuture<'_, PipeError>;

    /// Ends every pipe at once.
    fn close(&self);

    /// What it moved so far.
    fn traffic(&self) -> Traffic;
}

/// Octets a carrier moved, its own headers and repetitions included.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Away from here.
    pub sent: u64,
    /// To here.
    pub received: u64,
}

/// Messages in order, both ways.
pub struct Pipe {
    /// Towards the cloud.
    pub sink: Sink,
    /// From the cloud.
    pub source: Source,
}

/// The sending end of a pipe.
pub struct Sink(End);

enum End {
    /// A stream of QUIC, which can give way to others of its connection.
    Quic(quinn::SendStream),
    Other(Box<dyn AsyncWrite + Send + Sync + Unpin>),
}

impl End {
    fn octets(&mut self) -> &mut (dyn AsyncWrite + Send + Sync + Unpin) {
        match self {
            End::Quic(stream) => stream,
            End::Other(other) => other,
        }
    }
}

/// The receiving end of a pipe.
pub struct Source(Box<dyn AsyncRead + Send + Sync + Unpin>);

/// Why a pipe or its carrier is of no more use.
#[derive(Debug, thiserror::Error)]
pub enum PipeError {
    /// The carrier ended.
    #[error("{0}")]
    Lost(String),
    /// The cloud ended the pipe where a message was due.
    #[error("the cloud ended the conversation")]
    Ended,
    /// What arrived is not a message.
    #[error("the cloud sent something that is no message: {0}")]
    Wire(#[from] WireError),
    /// A message that is not due here.
    #[error("the cloud sent a message that is not due here")]
    Unexpected,
}

impl Pipe {
    /// A pipe over two ends of a stream.
    pub fn new(
        sink: impl AsyncWrite + Send + Sync + Unpin + 'static,
        source: impl AsyncRead + Send + Sync + Unpin + 'static,
    ) -> Pipe {
        Pipe {
            sink: Sink(End::Other(Box::new(sink))),
            source: Source(Box::new(source)),
        }
    }

    /// A stream of QUIC.
    pub(super) fn quic(sink: quinn::SendStream, source: quinn::RecvStream) -> Pipe {
        Pipe {
            sink: Sink(End::Quic(sink)),
            source: Source(Box::new(source)),
        }
    }
}

impl Sink {
    /// Sends one message.
    pub async fn send(&mut self, message: &Message) -> Result<(), PipeError> {
        let frame = message.frame()?;
        let octets = self.0.octets();
        octets.write_all(&frame).await.map_err(lost)?;
        octets.flush().await.map_err(lost)
    }

    /// Says that nothing more is coming.
    pub async fn finish(&mut self) -> Result<(), PipeError> {
        self.0.octets().shutdown().await.map_err(lost)
    }

    /// From here on every other pipe of the connection goes first, where the carrier can tell them apart.
    pub fn give_way(&self) {
        if let End::Quic(stream) = &self.0 {
            let _ended_already = stream.set_priority(LAST);
        }
    }
}

impl Source {
    /// The next message this build knows; `None` when the cloud says that nothing more is coming.
    ///
    /// Not safe to cancel: a half-read message is lost.
    pub async fn receive(&mut self) -> Result<Option<Message>, PipeError> {
        loop {
            let Some(frame) = self.frame().await? else {
                return Ok(None);
            };
            match Message::read(&frame) {
                Err(WireError::UnknownMessage(tag)) => {
                    tracing::debug!(tag, "Skipped a message of a later release");
                }
                read => return Ok(Some(read?)),
            }
        }
    }

    async fn frame(&mut self) -> Result<Option<Vec<u8>>, PipeError> {
        let mut header = [0; FRAME_HEADER];
        let mut filled = 0;
        while filled < FRAME_HEADER {
            match self.0.read(&mut header[filled..]).await.map_err(lost)? {
                0 if filled == 0 => return Ok(None),
                0 => return Err(PipeError::Ended),
                some => filled += some,
            }
        }
        let length = Message::length(header)?;
        // Memory follows what arrives, not what is announced.
        let mut frame = Vec::with_capacity(length.min(FIRST_READ));
        let mut body = (&mut self.0).take(length as u64);
        body.read_to_end(&mut frame).await.map_err(lost)?;
        if frame.len() < length {
            return Err(PipeError::Ended);
        }
        Ok(Some(frame))
    }
}

/// Every other stream has 0.
const LAST: i32 = -1;
const FIRST_READ: usize = 16 * 1024;

/// The innermost cause says most: "connection lost" alone helps nobody.
fn lost(error: std::io::Error) -> PipeError {
    let mut cause: &dyn std::error::Error = &error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    PipeError::Lost(cause.to_string())
}

#[cfg(test)]
mod tests {
    use easyisp_shared::wire::hello::FeedAck;

    use super::*;

    /// What a later release says beside what this one understands is passed over, wherever it stands.
    #[tokio::test]
    async fn messages_of_a_later_release_are_skipped() -> Result<(), PipeError> {
        let known = Message::FeedAck(FeedAck::V1 { cursor: 300 });
        let frame = known.frame()?;
        let mut later = frame.clone();
        later[FRAME_HEADER] = 200;
        let octets = [&later, &frame, &later, &later, &frame].map(Vec::as_slice);
        let octets = std::io::Cursor::new(octets.concat());
        let mut pipe = Pipe::new(tokio::io::sink(), octets);
        for _ in 0..2 {
            assert_eq!(pipe.source.receive().await?.as_ref(), Some(&known));
        }
        assert_eq!(pipe.source.receive().await?, None);
        Ok(())
    }
}
