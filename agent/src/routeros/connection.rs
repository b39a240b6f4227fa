//! One connection to a router: dialled, logged in, many commands under way at once.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::pki_types::ServerName;
use secrecy::{ExposeSecret, SecretString};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::net::TcpStream;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;

use super::calls::{Answer, Calls, Ended, Refusal};
use super::codec::{CodecError, Decoder};
use super::login;
use super::sentence::{self, Command, Trap};
use super::tls::{Fingerprint, Pinned};

/// Where a router's API is and how to enter.
#[derive(Clone, Debug)]
pub struct Access {
    /// Address and port.
    pub address: SocketAddr,
    /// Whether the port speaks TLS.
    pub tls: bool,
    /// User.
    pub user: String,
    /// Password.
    pub password: SecretString,
}

/// Why a router's API did not do what was asked. Sentences for a person.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ApiError {
    /// No API is set up for this router.
    #[error("no API user is entered for this router")]
    NotSetUp,
    /// Outside `[site] ranges`: never dialled.
    #[error("the router's address is outside the networks this agent may dial ([site] ranges)")]
    OutOfRange,
    /// Nothing takes the connection.
    #[error("the router's API port does not answer: {0}")]
    Unreachable(String),
    /// Its address is there, and turns the connection away.
    #[error("nothing listens on the router's API port: is /ip service api switched on?")]
    Shut,
    /// No answer in time.
    #[error("the router's API did not answer in time")]
    TimedOut,
    /// Another certificate than before.
    #[error(
        "the router shows another certificate than before: if it was reset or exchanged on purpose, take a new command \
         of the wizard and paste it there; where its login is one of your own, change its password there and here"
    )]
    OtherCertificate,
    /// TLS does not come about.
    #[error(
        "TLS with the router's API fails: {0} (api-ssl needs a certificate on the router; RouterOS 6 may have no cipher \
         that is safe enough: enter apiPort 8728 for it, which its script opens to the agents alone, and its password \
         then goes in the clear between them)"
    )]
    Tls(String),
    /// It speaks something else.
    #[error("the router's API is not understood: {0}")]
    Protocol(#[from] CodecError),
    /// User or password are wrong, or the user may not come from here.
    #[error("the router refuses the API user: {0}")]
    LoginRefused(String),
    /// It refused a command.
    #[error("the router refused: {}", .0.message)]
    Refused(Trap),
    /// More rows than are read.
    #[error("the router's answer is too long")]
    TooMuch,
    /// The connection ended.
    #[error("the router closed the API connection{}", .0.as_deref().map(|why| format!(": {why}")).unwrap_or_default())]
    Closed(Option<String>),
    /// Too many commands wait already.
    #[error("too many API commands wait for this router")]
    Busy,
}

/// A connection that is logged in. Dropping it hangs up.
pub struct Connection {
    commands: mpsc::Sender<Asked>,
    /// Woken where somebody stops waiting.
    left: Arc<Notify>,
    task: JoinHandle<()>,
}

struct Asked {
    command: Command,
    answer: oneshot::Sender<Result<Answer, ApiError>>,
}

/// Who waits for an answer; gone before it came, the command is called back.
struct Waiting {
    answered: oneshot::Receiver<Result<Answer, ApiError>>,
    left: Arc<Notify>,
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.answered.close();
        self.left.notify_one();
    }
}

impl Connection {
    /// Dials and logs in, within [`PATIENCE`]; gives the certificate that was met, if any.
    pub async fn open(
        access: &Access,
        pinned: Option<Fingerprint>,
    ) -> Result<(Connection, Option<Fingerprint>), ApiError> {
        let late = |_| ApiError::TimedOut;
        let opened = tokio::time::timeout(PATIENCE, Connection::dial(access, pinned)).await;
        let (connection, met) = opened.map_err(late)??;
        let entered = tokio::time::timeout(PATIENCE, connection.log_in(access)).await;
        entered.map_err(late)??;
        Ok((connection, met))
    }

    async fn dial(
        access: &Access,
        pinned: Option<Fingerprint>,
    ) -> Result<(Connection, Option<Fingerprint>), ApiError> {
        let stream = TcpStream::connect(access.address).await;
        let stream = stream.map_err(|cause| match cause.kind() {
            io::ErrorKind::ConnectionRefused => ApiError::Shut,
            _ => ApiError::Unreachable(cause.to_string()),
        })?;
        // Commands are small and each is waited for.
        let _slower_without = stream.set_nodelay(true);
        if !access.tls {
            return Ok((Connection::on(stream), None));
        }
        let pinned = Pinned::new(pinned);
        let connector = TlsConnector::from(Arc::new(pinned.client()));
        let name = ServerName::from(access.address.ip());
        let stream = connector.connect(name, stream).await.map_err(tls_error)?;
        Ok((Connection::on(stream), pinned.met()))
    }

    fn on(stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) -> Connection {
        let (commands, inbox) = mpsc::channel(MOST_COMMANDS);
        let left = Arc::new(Notify::new());
        let leaving = left.clone();
        let (source, sink) = tokio::io::split(stream);
        let task = tokio::spawn(async move {
            let mut line = Line {
                sink,
                decoder: Decoder::default(),
                calls: Calls::default(),
                waiting: HashMap::new(),
                cancels: HashMap::new(),
            };
            let why = line.run(source, inbox, &leaving).await;
            for (_, answer) in line.waiting.drain() {
                // Who asked may have gone.
                let _gone = answer.send(Err(why.clone()));
            }
        });
        Connection {
            commands,
            left,
            task,
        }
    }

    /// Whether it is still of use.
    pub fn is_open(&self) -> bool {
        !self.commands.is_closed()
    }

    /// Asks one command and waits for the end of its answer. Who stops waiting has the router stop too (`/cancel`).
    pub async fn ask(&self, command: Command) -> Result<Answer, ApiError> {
        let (answer, answered) = oneshot::channel();
        let asked = Asked { command, answer };
        let mut waiting = Waiting {
            answered,
            left: self.left.clone(),
        };
        self.commands.try_send(asked).map_err(|full| match full {
            mpsc::error::TrySendError::Full(_) => ApiError::Busy,
            mpsc::error::TrySendError::Closed(_) => ApiError::Closed(None),
        })?;
        let answer = (&mut waiting.answered).await;
        answer.map_err(|_| ApiError::Closed(None))?
    }

    async fn log_in(&self, access: &Access) -> Result<(), ApiError> {
        let (user, password) = (&access.user, access.password.expose_secret());
        let first = self.ask(login::with_password(user, password)).await;
        let first = first.map_err(login_error)?;
        let Some(challenge) = first.done.text("ret") else {
            return Ok(());
        };
        let response = login::with_challenge(user, password, challenge)
            .ok_or(ApiError::Protocol(CodecError::NoReply))?;
        let second = self.ask(response).await;
        second.map(|_| ()).map_err(login_error)
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A command that a router refuses before it knows us is the login.
fn login_error(cause: ApiError) -> ApiError {
    match cause {
        ApiError::Refused(trap) => ApiError::LoginRefused(trap.message),
        ApiError::Closed(Some(why)) => ApiError::LoginRefused(why),
        other => other, // what befell the line is said as it is
    }
}

fn tls_error(cause: io::Error) -> ApiError {
    let inner = cause.get_ref().and_then(|inner| inner.downcast_ref());
    match inner {
        Some(rustls::Error::InvalidCertificate(
            rustls::CertificateError::ApplicationVerificationFailure,
        )) => ApiError::OtherCertificate,
        Some(_) | None => ApiError::Tls(cause.to_string()),
    }
}

/// The task's own side of a connection.
struct Line<S> {
    sink: WriteHalf<S>,
    decoder: Decoder,
    calls: Calls,
    waiting: HashMap<u32, oneshot::Sender<Result<Answer, ApiError>>>,
    /// By tag: until when a `/cancel`, and what it stops, is to end.
    cancels: HashMap<u32, Instant>,
}

impl<S: AsyncRead + AsyncWrite> Line<S> {
    /// Carries commands and answers until the line ends; why it did.
    async fn run(
        &mut self,
        mut source: ReadHalf<S>,
        mut inbox: mpsc::Receiver<Asked>,
        leaving: &Notify,
    ) -> ApiError {
        let mut chunk = vec![0; 16 * 1024];
        loop {
            let late = self.cancels.values().min().copied();
            let may_begin = self.calls.count() < MOST_COMMANDS;
            let step = tokio::select! {
                read = source.read(&mut chunk) => match read {
                    Ok(0) => Err(ApiError::Closed(None)),
                    Ok(length) => self.take(chunk.get(..length).unwrap_or_default()),
                    Err(cause) => Err(ApiError::Closed(Some(cause.to_string()))),
                },
                asked = inbox.recv(), if may_begin => match asked {
                    Some(asked) => self.begin(asked).await,
                    None => Err(ApiError::Closed(None)),
                },
                () = leaving.notified() => self.call_back().await,
                () = overdue(late) => Err(ApiError::Closed(Some("it does not answer".to_owned()))),
            };
            if let Err(why) = step {
                return why;
            }
        }
    }

    async fn begin(&mut self, asked: Asked) -> Result<(), ApiError> {
        if asked.answer.is_closed() {
            return Ok(()); // nobody waits any more
        }
        let tag = self.calls.begin();
        self.waiting.insert(tag, asked.answer);
        self.send(&asked.command, tag).await
    }

    /// Has the router stop what nobody waits for; the line lives on. A router that does not do that is gone.
    async fn call_back(&mut self) -> Result<(), ApiError> {
        let unawaited = self.waiting.iter().filter(|(_, asker)| asker.is_closed());
        let tags: Vec<u32> = unawaited.map(|(tag, _)| *tag).collect();
        for tag in tags {
            self.waiting.remove(&tag);
            let cancel = self.calls.begin();
            let until = Instant::now() + CANCELLED;
            self.cancels.extend([(tag, until), (cancel, until)]);
            let command = Command::new("/cancel").with("tag", tag.to_string());
            self.send(&command, cancel).await?;
        }
        Ok(())
    }

    async fn send(&mut self, command: &Command, tag: u32) -> Result<(), ApiError> {
        let mut bytes = Vec::new();
        command.encode(tag, &mut bytes);
        let sent = tokio::time::timeout(PATIENCE, async {
            self.sink.write_all(&bytes).await?;
            self.sink.flush().await
        });
        match sent.await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(cause)) => Err(ApiError::Closed(Some(cause.to_string()))),
            Err(_) => Err(ApiError::TimedOut),
        }
    }

    fn take(&mut self, bytes: &[u8]) -> Result<(), ApiError> {
        self.decoder.push(bytes);
        while let Some(words) = self.decoder.sentence()? {
            let (tag, reply) = sentence::read(&words)?;
            match self.calls.on_reply(tag, reply) {
                Ended::Nothing => {}
                Ended::Connection(why) => return Err(ApiError::Closed(Some(why))),
                Ended::Call(tag, outcome) => {
                    self.cancels.remove(&tag);
                    if let Some(answer) = self.waiting.remove(&tag) {
                        // Who asked may have gone.
                        let _gone = answer.send(outcome.map_err(ApiError::from));
                    }
                }
            }
        }
        Ok(())
    }
}

impl From<Refusal> for ApiError {
    fn from(refusal: Refusal) -> ApiError {
        match refusal {
            Refusal::Trap(trap) => ApiError::Refused(trap),
            Refusal::TooMuch => ApiError::TooMuch,
        }
    }
}

/// Ends when it is late; never where nothing is awaited.
async fn overdue(late: Option<Instant>) {
    match late {
        Some(late) => tokio::time::sleep_until(late.into()).await,
        None => std::future::pending().await,
    }
}

/// How long a router may take to stop a command: it does nothing for it but to answer.
const CANCELLED: Duration = Duration::from_secs(3);
/// How long dialling, and then logging in, may take.
const PATIENCE: Duration = Duration::from_secs(5);
const MOST_COMMANDS: usize = 16;

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use tokio::io::DuplexStream;

    use super::super::codec::write_sentence;
    use super::*;

    /// The router's end.
    struct Router {
        stream: DuplexStream,
        decoder: Decoder,
    }

    impl Router {
        async fn hears(&mut self) -> Vec<String> {
            loop {
                if let Some(words) = self.decoder.sentence().unwrap() {
                    let text = |word: &Vec<u8>| String::from_utf8_lossy(word).into_owned();
                    return words.iter().map(text).collect();
                }
                let mut chunk = [0; 256];
                let length = self.stream.read(&mut chunk).await.unwrap();
                self.decoder.push(&chunk[..length]);
            }
        }

        async fn says(&mut self, sentences: &[&[&str]]) {
            let mut bytes = Vec::new();
            for words in sentences {
                write_sentence(&mut bytes, words.iter().map(|word| word.as_bytes()));
            }
            self.stream.write_all(&bytes).await.unwrap();
        }
    }

    #[tokio::test]
    async fn what_nobody_waits_for_is_cancelled_and_the_line_lives_on() {
        let (ours, theirs) = tokio::io::duplex(4096);
        let connection = Connection::on(ours);
        let mut router = Router {
            stream: theirs,
            decoder: Decoder::default(),
        };
        tokio::select! {
            _ = connection.ask(Command::new("/ping")) => panic!("nobody answered"),
            heard = router.hears() => assert_eq!(heard, ["/ping", ".tag=1"]),
        }
        assert_eq!(router.hears().await, ["/cancel", "=tag=1", ".tag=2"]);
        let interrupted: &[&str] = &["!trap", "=category=2", "=message=interrupted", ".tag=1"];
        router
            .says(&[interrupted, &["!done", ".tag=1"], &["!done", ".tag=2"]])
            .await;

        let (answer, ()) = tokio::join!(
            connection.ask(Command::new("/system/identity/print")),
            async {
                let heard = router.hears().await;
                assert_eq!(heard, ["/system/identity/print", ".tag=3"]);
                let row: &[&str] = &["!re", "=name=tower", ".tag=3"];
                router.says(&[row, &["!done", ".tag=3"]]).await;
            }
        );
        assert_eq!(answer.unwrap().rows[0].text("name"), Some("tower"));
        assert!(connection.is_open());
    }

    /// One that does not even stop is hung up, and who waits hears so.
    #[tokio::test]
    async fn a_router_that_cancels_nothing_is_hung_up() {
        let (ours, theirs) = tokio::io::duplex(4096);
        let connection = Connection::on(ours);
        let mut router = Router {
            stream: theirs,
            decoder: Decoder::default(),
        };
        tokio::select! {
            _ = connection.ask(Command::new("/ping")) => panic!("nobody answered"),
            heard = router.hears() => assert_eq!(heard.len(), 2),
        }
        let next = connection.ask(Command::new("/system/identity/print")).await;
        assert!(matches!(next, Err(ApiError::Closed(Some(_)))), "{next:?}");
        assert!(!connection.is_open());
    }
}
