//! Octets of one connection between two nodes, as they travel: sealed pieces, one after the other.

use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::Bytes;
use easyisp_shared::entropy::Entropy;
use easyisp_shared::seal::SealKey;
use easyisp_shared::wire::access::CHUNK;
use http_body_util::BodyExt;
use hyper::body::{Body, Frame};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::sync::mpsc;

use super::rules::{Direction, piece};

/// A connection ended before both sides had said everything, or somebody meddled with it.
#[derive(Debug, thiserror::Error)]
pub enum Torn {
    /// Nothing comes any more.
    #[error("the other node ended the connection")]
    Ended,
    /// What came is no piece of this connection, or not the next one.
    #[error("the other node sent what is no piece of this connection")]
    NotAPiece,
    /// Nobody is there for it at this node any more.
    #[error("{0}")]
    Here(#[from] io::Error),
}

/// What pieces of one connection are sealed with.
pub struct Seals {
    /// The nodes' own.
    pub key: SealKey,
    /// Names the connection.
    pub nonce: [u8; 16],
    /// Randomness.
    pub entropy: Entropy,
    /// Which way this node sends.
    pub sends: Direction,
}

impl Seals {
    fn seal(&self, number: u64, octets: &[u8]) -> Vec<u8> {
        let place = piece(&self.nonce, self.sends, number);
        self.key.seal(&place, octets, &self.entropy)
    }

    fn open(&self, number: u64, sealed: &[u8]) -> Result<Vec<u8>, Torn> {
        let place = piece(&self.nonce, self.sends.other(), number);
        let clear = self.key.open(&place, sealed);
        Ok(clear.map_err(|_| Torn::NotAPiece)?.to_vec())
    }
}

/// Carries between a stream of this node and the other node, until both sides have said everything.
pub async fn carry<B>(
    seals: Seals,
    stream: DuplexStream,
    out: Outgoing,
    mut coming: Pieces<B>,
) -> Result<(), Torn>
where
    B: Body<Data = Bytes> + Unpin,
{
    let (mut read, mut write) = tokio::io::split(stream);
    let telling = async {
        let out = out; // its end is the body's
        let mut buffer = vec![0; CHUNK];
        let mut number = 0;
        loop {
            let octets = read.read(&mut buffer).await?;
            out.send(&seals.seal(number, &buffer[..octets])).await?;
            if octets == 0 {
                return Ok::<(), Torn>(());
            }
            number += 1;
        }
    };
    let hearing = async {
        let mut number = 0;
        loop {
            let sealed = coming.next().await?;
            let octets = seals.open(number, &sealed)?;
            if octets.is_empty() {
                write.shutdown().await?;
                return Ok(());
            }
            write.write_all(&octets).await?;
            number += 1;
        }
    };
    tokio::try_join!(telling, hearing).map(|((), ())| ())
}

/// Where pieces are put into a body, and the body.
pub fn body() -> (Outgoing, Flowing) {
    let (sender, receiver) = mpsc::channel(ON_THE_WAY);
    (Outgoing(sender), Flowing(receiver))
}

/// The near end of a body that flows.
pub struct Outgoing(mpsc::Sender<Bytes>);

impl Outgoing {
    /// Puts one piece into it.
    pub async fn send(&self, sealed: &[u8]) -> Result<(), Torn> {
        let length = u32::try_from(sealed.len()).map_err(|_| Torn::NotAPiece)?;
        let framed = [&length.to_be_bytes(), sealed].concat();
        let sent = self.0.send(framed.into()).await;
        sent.map_err(|_| Torn::Ended)
    }
}

/// A body that flows.
pub struct Flowing(mpsc::Receiver<Bytes>);

impl Body for Flowing {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let next = self.0.poll_recv(cx);
        next.map(|next| next.map(|octets| Ok(Frame::data(octets))))
    }
}

/// The pieces that the other node puts into its body.
///
/// Reads untrusted bytes: every input gives an answer, none panics.
pub struct Pieces<B> {
    body: B,
    read: Vec<u8>,
}

impl<B> Pieces<B>
where
    B: Body<Data = Bytes> + Unpin,
{
    /// Of a body from its beginning.
    pub fn new(body: B) -> Pieces<B> {
        Pieces {
            body,
            read: Vec::new(),
        }
    }

    /// The next one, sealed still. Not safe to cancel only where somebody reads on afterwards.
    pub async fn next(&mut self) -> Result<Vec<u8>, Torn> {
        loop {
            if let Some((length, rest)) = self.read.split_first_chunk::<4>() {
                let length = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
                if length > MOST_OF_A_PIECE {
                    return Err(Torn::NotAPiece);
                }
                if let Some(sealed) = rest.get(..length) {
                    let sealed = sealed.to_vec();
                    self.read.drain(..4 + length);
                    return Ok(sealed);
                }
            }
            let frame = self.body.frame().await.ok_or(Torn::Ended)?;
            if let Ok(octets) = frame.map_err(|_| Torn::Ended)?.into_data() {
                self.read.extend_from_slice(&octets);
            }
        }
    }
}

/// Pieces that wait for the network; it holds up who sends them.
const ON_THE_WAY: usize = 2;
/// With what sealing adds, and a failure's words in place of octets.
const MOST_OF_A_PIECE: usize = CHUNK + 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn seals(key: &SealKey, sends: Direction) -> Seals {
        Seals {
            key: key.clone(),
            nonce: [7; 16],
            entropy: Entropy::seeded(3),
            sends,
        }
    }

    /// What one side says arrives at the other, both ways at once, and the ends with it.
    #[tokio::test]
    async fn octets_arrive_as_they_were_sent() -> anyhow::Result<()> {
        let key = SealKey::generate(&Entropy::seeded(1));
        let ((near, ours), (far, theirs)) = (tokio::io::duplex(512), tokio::io::duplex(512));
        let ((there, body_there), (back, body_back)) = (body(), body());
        let (one, other) = (seals(&key, Direction::There), seals(&key, Direction::Back));
        let carried = async {
            tokio::try_join!(
                carry(one, ours, there, Pieces::new(body_back)),
                carry(other, theirs, back, Pieces::new(body_there)),
            )?;
            anyhow::Ok(())
        };
        let sent: Vec<u8> = (0..100_000u32).map(|n| n.to_be_bytes()[3]).collect();
        let spoken = async |stream: DuplexStream| {
            let (mut read, mut write) = tokio::io::split(stream);
            let mut heard = Vec::new();
            let told = async {
                write.write_all(&sent).await?;
                write.shutdown().await
            };
            tokio::try_join!(told, read.read_to_end(&mut heard))?;
            anyhow::Ok(heard)
        };
        let ((), one, other) = tokio::try_join!(carried, spoken(near), spoken(far))?;
        assert!(one == sent && other == sent);
        Ok(())
    }

    /// A piece that is left out, sent again, sent back or cut short ends the connection.
    #[tokio::test]
    async fn nobody_meddles_with_a_connection() {
        let key = SealKey::generate(&Entropy::seeded(1));
        let (there, back) = (seals(&key, Direction::There), seals(&key, Direction::Back));
        let piece = there.seal(1, b"octets");
        assert_eq!(
            back.open(1, &piece).ok().as_deref(),
            Some(b"octets".as_ref())
        );
        assert!(back.open(0, &piece).is_err(), "one was left out");
        assert!(back.open(2, &piece).is_err(), "it was sent again");
        assert!(there.open(1, &piece).is_err(), "it was sent back");
        let elsewhere = Seals {
            nonce: [8; 16],
            ..seals(&key, Direction::Back)
        };
        assert!(elsewhere.open(1, &piece).is_err(), "another connection");

        let (out, flowing) = body();
        let mut pieces = Pieces::new(flowing);
        out.0.send(Bytes::from_static(&[0, 0, 0, 9, 1])).await.ok();
        drop(out);
        assert!(matches!(pieces.next().await, Err(Torn::Ended)), "cut short");
        let (out, flowing) = body();
        let mut pieces = Pieces::new(flowing);
        out.0.send(Bytes::from_static(&[255; 8])).await.ok();
        assert!(matches!(pieces.next().await, Err(Torn::NotAPiece)));
    }
}
