//! One connection to a router: dialled, logged in, many commands under way at once.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use secrecy::{ExposeSecret, SecretString};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};
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
        "the router shows another certificate than before: if it was reset on purpose, enter its \
         API password again"
    )]
    OtherCertificate,
    /// TLS does not come about.
    #[error("TLS with the router's API fails: {0} (api-ssl needs a certificate on the router)")]
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
    task: JoinHandle<()>,
}

struct Asked {
    command: Command,
    answer: oneshot::Sender<Result<Answer, ApiError>>,
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
        let (source, sink) = tokio::io::split(stream);
        let task = tokio::spawn(async move {
            let mut line = Line {
                sink,
                decoder: Decoder::default(),
                calls: Calls::default(),
                waiting: HashMap::new(),
            };
            let why = line.run(source, inbox).await;
            for (_, answer) in line.waiting.drain() {
                // Who asked may have gone.
                let _gone = answer.send(Err(why.clone()));
            }
        });
        Connection { commands, task }
    }

    /// Whether it is still of use.
    pub fn is_open(&self) -> bool {
        !self.commands.is_closed()
    }

    /// Asks one command and waits for the end of its answer.
    pub async fn ask(&self, command: Command) -> Result<Answer, ApiError> {
        let (answer, answered) = oneshot::channel();
        let asked = Asked { command, answer };
        self.commands.try_send(asked).map_err(|full| match full {
            mpsc::error::TrySendError::Full(_) => ApiError::Busy,
            mpsc::error::TrySendError::Closed(_) => ApiError::Closed(None),
        })?;
        answered.await.map_err(|_| ApiError::Closed(None))?
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
}

impl<S: AsyncRead + AsyncWrite> Line<S> {
    /// Carries commands and answers until the line ends; why it did.
    async fn run(&mut self, mut source: ReadHalf<S>, mut inbox: mpsc::Receiver<Asked>) -> ApiError {
        let mut chunk = vec![0; 16 * 1024];
        loop {
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
            };
            if let Err(why) = step {
                return why;
            }
        }
    }

    async fn begin(&mut self, asked: Asked) -> Result<(), ApiError> {
        let tag = self.calls.begin();
        let mut bytes = Vec::new();
        asked.command.encode(tag, &mut bytes);
        self.waiting.insert(tag, asked.answer);
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

/// How long dialling, and then logging in, may take.
const PATIENCE: Duration = Duration::from_secs(5);
const MOST_COMMANDS: usize = 16;
