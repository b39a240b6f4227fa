//! Sealed frames between two agents: who sealed one holds the site's key, it was meant for this connection,
//! and it is the next one.

use std::io;

use easyisp_shared::entropy::Entropy;
use easyisp_shared::id::AgentId;
use easyisp_shared::seal::SealKey;
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufWriter};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use uuid::Uuid;

/// Who of the two dialled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Dialler,
    Listener,
}

/// Sends sealed frames.
pub(super) struct Sink {
    stream: BufWriter<OwnedWriteHalf>,
    seal: Seal,
    entropy: Entropy,
}

/// Receives sealed frames.
pub(super) struct Source {
    stream: OwnedReadHalf,
    seal: Seal,
}

/// The key and the place of the next frame of one direction.
struct Seal {
    key: SealKey,
    place: Vec<u8>,
    count: u64,
}

impl Seal {
    fn next(&mut self) -> Vec<u8> {
        let mut place = self.place.clone();
        place.extend_from_slice(&self.count.to_be_bytes());
        self.count += 1;
        place
    }
}

/// Greets, and proves to hold the key to who proves it too. Returns who it is, as it says; that it is an
/// agent of the site is proved.
pub(super) async fn greet(
    mut stream: TcpStream,
    side: Side,
    me: AgentId,
    key: &SealKey,
    entropy: &Entropy,
    is_known: impl Fn(AgentId) -> bool,
) -> io::Result<(AgentId, Sink, Source)> {
    stream.set_nodelay(true)?;
    let own: [u8; NONCE] = entropy.bytes();
    let mut hello = MAGIC.to_vec();
    hello.extend_from_slice(me.0.as_bytes());
    hello.extend_from_slice(&own);
    if side == Side::Dialler {
        stream.write_all(&hello).await?;
    }
    let mut theirs = [0; HELLO];
    stream.read_exact(&mut theirs).await?;
    let (magic, rest) = theirs.split_at(MAGIC.len());
    let (id, nonce) = rest.split_first_chunk::<16>().expect("a hello has room");
    let other = AgentId(Uuid::from_bytes(*id));
    if magic != MAGIC || other == me || !is_known(other) {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    if side == Side::Listener {
        stream.write_all(&hello).await?;
    }
    let (dialler, listener) = match side {
        Side::Dialler => (&own[..], nonce),
        Side::Listener => (nonce, &own[..]),
    };
    let place = |sender: Side| {
        let direction = match sender {
            Side::Dialler => b'd',
            Side::Listener => b'l',
        };
        [b"easyisp peer", dialler, listener, &[direction]].concat()
    };
    let seal = |sender| Seal {
        key: key.clone(),
        place: place(sender),
        count: 0,
    };
    let (from, to) = match side {
        Side::Dialler => (Side::Dialler, Side::Listener),
        Side::Listener => (Side::Listener, Side::Dialler),
    };
    let (reader, writer) = stream.into_split();
    let mut sink = Sink {
        stream: BufWriter::new(writer),
        seal: seal(from),
        entropy: entropy.clone(),
    };
    let mut source = Source {
        stream: reader,
        seal: seal(to),
    };
    sink.send(me.0.as_bytes()).await?;
    sink.flush().await?;
    match source.receive().await? {
        proof if proof == other.0.as_bytes() => Ok((other, sink, source)),
        _ => Err(io::ErrorKind::PermissionDenied.into()),
    }
}

impl Sink {
    /// Writes a frame; it leaves with the next [`Sink::flush`] at the latest.
    pub(super) async fn send(&mut self, body: &[u8]) -> io::Result<()> {
        let place = self.seal.next();
        let sealed = self.seal.key.seal(&place, body, &self.entropy);
        let length = u32::try_from(sealed.len()).unwrap_or(u32::MAX);
        self.stream.write_all(&length.to_be_bytes()).await?;
        self.stream.write_all(&sealed).await
    }

    pub(super) async fn flush(&mut self) -> io::Result<()> {
        self.stream.flush().await
    }
}

impl Source {
    /// The next frame. Reads untrusted bytes: one that does not open ends the connection.
    pub(super) async fn receive(&mut self) -> io::Result<Vec<u8>> {
        let length = usize::try_from(self.stream.read_u32().await?).unwrap_or(usize::MAX);
        if length > LARGEST {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let mut sealed = vec![0; length];
        self.stream.read_exact(&mut sealed).await?;
        let place = self.seal.next();
        let opened = self.seal.key.open(&place, &sealed);
        opened
            .map(|opened| opened.to_vec())
            .map_err(|_| io::ErrorKind::PermissionDenied.into())
    }
}

const MAGIC: &[u8] = b"easyisp/peer/1";
const NONCE: usize = 16;
const HELLO: usize = MAGIC.len() + 16 + NONCE;
/// A name of 253 octets, twice, and the rest.
const LARGEST: usize = 4096;
