//! Counts what a client sends to PostgreSQL: the honest measure of round trips.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use anyhow::{Context, Result};
use sqlx::postgres::PgConnectOptions;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinHandle;

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
        let server = options.get_socket().context("a server on a unix socket")?;
        let server = server.join(SOCKET);
        let folder = tempfile::Builder::new().prefix("wiretap-").tempdir()?;
        let listener = UnixListener::bind(folder.path().join(SOCKET))?;
        let counters = Arc::new(Counters {
            statements: AtomicU64::new(0),
            last: AtomicU64::new(u64::MAX),
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
}

impl Drop for Wiretap {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

struct Counters {
    statements: AtomicU64,
    last: AtomicU64,
    said: Mutex<Vec<String>>,
    transactions: Mutex<Vec<Vec<String>>>,
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

/// Passes one connection through; ends when either side does.
async fn pass(client: UnixStream, server: PathBuf, counters: Arc<Counters>) {
    let Ok(server) = UnixStream::connect(server).await else {
        return;
    };
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let answers = tokio::spawn(async move {
        tokio::io::copy(&mut from_server, &mut to_client).await.ok();
    });
    let mut spoken = Spoken::default();
    let mut started = false;
    loop {
        // The first message has no kind (protocol 3.0 §55.7).
        let kind = match started {
            true => from_client.read_u8().await.ok(),
            false => Some(0),
        };
        let (Some(kind), Ok(length)) = (kind, from_client.read_u32().await) else {
            break;
        };
        let mut body = vec![0; (length as usize).saturating_sub(4)];
        if from_client.read_exact(&mut body).await.is_err() {
            break;
        }
        // Query and Execute.
        if matches!(kind, b'Q' | b'E') {
            let number = counters.statements.fetch_add(1, Ordering::SeqCst) + 1;
            if number > counters.last.load(Ordering::SeqCst) {
                answers.abort();
                break;
            }
        }
        if let Some(transaction) = spoken.hear(kind, &body, &counters) {
            counters
                .transactions
                .lock()
                .expect("nobody panics here")
                .push(transaction);
        }
        let mut message = Vec::with_capacity(body.len() + 5);
        if started {
            message.push(kind);
        }
        message.extend(length.to_be_bytes());
        message.extend(body);
        if to_server.write_all(&message).await.is_err() {
            break;
        }
        started = true;
    }
    to_server.shutdown().await.ok();
    answers.await.ok();
}
