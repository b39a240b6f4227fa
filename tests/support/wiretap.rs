//! Counts what a client sends to PostgreSQL: the honest measure of round trips.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use anyhow::{Context, Result};
use sqlx::postgres::PgConnectOptions;
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// A socket between a client and the server that counts statements and can cut the line at one of them.
/// It ends when this is dropped.
pub struct Wiretap {
    counters: Arc<Counters>,
    folder: tempfile::TempDir,
    listening: JoinHandle<()>,
}

impl Wiretap {
    /// Listens in front of the server that `options` name.
    pub async fn before(options: &PgConnectOptions) -> Result<Wiretap> {
        Wiretap::start(options, true).await
    }

    /// The same for a long time: it counts and cuts, and remembers nothing of what it hears.
    pub async fn deaf_before(options: &PgConnectOptions) -> Result<Wiretap> {
        Wiretap::start(options, false).await
    }

    async fn start(options: &PgConnectOptions, remembers: bool) -> Result<Wiretap> {
        let server = options.get_socket().context("a server on a unix socket")?;
        let server = server.join(SOCKET);
        let folder = tempfile::Builder::new().prefix("wiretap-").tempdir()?;
        let listener = UnixListener::bind(folder.path().join(SOCKET))?;
        let counters = Arc::new(Counters {
            statements: AtomicU64::new(0),
            last: AtomicU64::new(u64::MAX),
            last_is_answered: AtomicBool::new(true),
            line: Mutex::default(),
            remembers,
            said: Mutex::default(),
            transactions: Mutex::default(),
        });
        let counted = counters.clone();
        let listening = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(pass(client, server.clone(), counted.clone()));
            }
        });
        Ok(Wiretap {
            counters,
            folder,
            listening,
        })
    }

    /// The way through it.
    pub fn options(&self, options: PgConnectOptions) -> PgConnectOptions {
        options.socket(self.folder.path())
    }

    /// How many statements have been executed through it.
    pub fn statements(&self) -> u64 {
        self.counters.statements.load(Ordering::SeqCst)
    }

    /// What was asked through it since this was called last, in order and whatever became of it; that
    /// transactions begin and end is left out.
    pub fn take_said(&self) -> Vec<String> {
        let mut said = self.counters.said.lock().expect("nobody panics here");
        std::mem::take(&mut *said)
    }

    /// The statements of every transaction that was committed through it, from `begin` to `commit`.
    pub fn transactions(&self) -> Vec<Vec<String>> {
        self.counters
            .transactions
            .lock()
            .expect("nobody panics here")
            .clone()
    }

    /// Lets the statement with this number pass, and nothing after it: the server sees the client die.
    pub fn cut_after(&self, statement: u64) {
        self.counters.last.store(statement, Ordering::SeqCst);
    }

    /// What cuts the line from elsewhere, and mends it.
    pub fn scissors(&self) -> Scissors {
        Scissors(self.counters.clone())
    }
}

/// Cuts a line that a [`Wiretap`] listens to, and mends it.
#[derive(Clone)]
pub struct Scissors(Arc<Counters>);

impl Scissors {
    /// Lets so many more statements pass. Then every connection ends at once and none is let through, until the
    /// line is mended. `answered` = whether the last one's answer comes back.
    pub fn cut_in(&self, statements: u64, answered: bool) {
        let last = self.0.statements.load(Ordering::SeqCst) + statements;
        self.0.last_is_answered.store(answered, Ordering::SeqCst);
        self.0.last.store(last, Ordering::SeqCst);
    }

    /// Cuts it now. `false` when it was cut before.
    pub fn cut(&self) -> bool {
        let line = self.0.line();
        let first = !line.is_cancelled();
        line.cancel();
        first
    }

    /// Lets everything pass again.
    pub fn mend(&self) {
        self.0.last.store(u64::MAX, Ordering::SeqCst);
        self.0.last_is_answered.store(true, Ordering::SeqCst);
        *self.0.line.lock().expect("nobody panics here") = CancellationToken::new();
    }
}

impl Drop for Wiretap {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

struct Counters {
    statements: AtomicU64,
    last: AtomicU64,
    last_is_answered: AtomicBool,
    /// Cancelled while the line is cut.
    line: Mutex<CancellationToken>,
    remembers: bool,
    said: Mutex<Vec<String>>,
    transactions: Mutex<Vec<Vec<String>>>,
}

impl Counters {
    fn line(&self) -> CancellationToken {
        self.line.lock().expect("nobody panics here").clone()
    }
}

/// What one connection has prepared, bound and sent since its transaction began.
#[derive(Default)]
struct Spoken {
    prepared: HashMap<String, String>,
    bound: String,
    transaction: Vec<String>,
}

impl Spoken {
    /// Follows one message (protocol 3.0 §55.7); the whole transaction when this statement commits it.
    fn hear(&mut self, kind: u8, body: &[u8], counters: &Counters) -> Option<Vec<String>> {
        let mut texts = body.split(|byte| *byte == 0);
        let mut text = || String::from_utf8_lossy(texts.next().unwrap_or_default()).into_owned();
        let statement = match kind {
            b'P' => {
                let name = text();
                self.prepared.insert(name, text());
                return None;
            }
            b'B' => {
                text();
                self.bound = self.prepared.get(&text()).cloned().unwrap_or_default();
                return None;
            }
            b'Q' => text(),
            b'E' => self.bound.clone(),
            _ => return None,
        };
        let said = statement.to_lowercase();
        if said.starts_with("begin") {
            self.transaction.clear();
        }
        if !["begin", "commit", "rollback"]
            .iter()
            .any(|word| said.starts_with(word))
        {
            let mut said = counters.said.lock().expect("nobody panics here");
            said.push(statement.clone());
        }
        self.transaction.push(statement);
        said.starts_with("commit")
            .then(|| std::mem::take(&mut self.transaction))
    }
}

const SOCKET: &str = ".s.PGSQL.5432";

/// Passes one connection through; ends when either side does, or the line is cut.
async fn pass(client: UnixStream, server: PathBuf, counters: Arc<Counters>) {
    let line = counters.line();
    if line.is_cancelled() {
        return;
    }
    let Ok(server) = UnixStream::connect(server).await else {
        return;
    };
    let (from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let answers = tokio::spawn(async move {
        tokio::io::copy(&mut from_server, &mut to_client).await.ok();
    });
    let deafen = answers.abort_handle();
    let passing = pass_on(from_client, &mut to_server, &counters, &line, || {
        deafen.abort();
    });
    line.run_until_cancelled(passing).await;
    if line.is_cancelled() {
        deafen.abort();
    }
    to_server.shutdown().await.ok();
    answers.await.ok();
}

/// Passes on what the client says. What it said in one breath the server hears in one: message by message it
/// would wake up for each.
async fn pass_on(
    from_client: OwnedReadHalf,
    to_server: &mut OwnedWriteHalf,
    counters: &Counters,
    line: &CancellationToken,
    deafen: impl Fn(),
) {
    let mut from_client = BufReader::new(from_client);
    let mut spoken = Spoken::default();
    let mut started = false;
    let mut breath = Vec::new();
    loop {
        let Some((kind, body)) = hear(&mut from_client, started).await else {
            to_server.write_all(&breath).await.ok();
            return;
        };
        let mut is_last = false;
        // Query and Execute.
        if matches!(kind, b'Q' | b'E') {
            let number = counters.statements.fetch_add(1, Ordering::SeqCst) + 1;
            let last = counters.last.load(Ordering::SeqCst);
            if number > last {
                // What was said before it arrives still.
                to_server.write_all(&breath).await.ok();
                line.cancel();
                return;
            }
            is_last = number == last && !counters.last_is_answered.load(Ordering::SeqCst);
        }
        if counters.remembers
            && let Some(transaction) = spoken.hear(kind, &body, counters)
        {
            counters
                .transactions
                .lock()
                .expect("nobody panics here")
                .push(transaction);
        }
        if started {
            breath.push(kind);
        }
        breath.extend((body.len() as u32 + 4).to_be_bytes());
        breath.extend(body);
        started = true;
        // The rest of a message that begins here is on its way.
        if !is_last && !from_client.buffer().is_empty() {
            continue;
        }
        if is_last {
            deafen();
        }
        if to_server.write_all(&breath).await.is_err() {
            return;
        }
        if is_last {
            line.cancel();
            return;
        }
        breath.clear();
    }
}

/// The next message, whole. The first one has no kind (protocol 3.0 §55.7).
async fn hear(client: &mut BufReader<OwnedReadHalf>, started: bool) -> Option<(u8, Vec<u8>)> {
    let kind = match started {
        true => client.read_u8().await.ok()?,
        false => 0,
    };
    let length = client.read_u32().await.ok()?;
    let mut body = vec![0; (length as usize).saturating_sub(4)];
    client.read_exact(&mut body).await.ok()?;
    Some((kind, body))
}
