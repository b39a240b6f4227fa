//! The running server: started under a small supervisor, awaited, logged, stopped.

use std::fs;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use sqlx::{Connection, PgConnection};
use tokio::sync::watch;
use tokio::time::{Instant, sleep};
use tracing::{info, warn};

use super::binaries::Installation;
use super::home::{Home, SocketDir};
use super::log::Log;
use super::run_as::{PATH, RunAs};
use super::{ClusterError, Durability, Lifetime, Options, Role, connect_options};

/// Recovery after a power cut replays at most the log kept by `max_wal_size`; a slow card needs
/// minutes for it.
const START_LIMIT: Duration = Duration::from_secs(600);
/// How long a server left by a killed process may take to end.
const LEFTOVER_LIMIT: Duration = Duration::from_secs(120);
/// Between two looks at something that has no event to await.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// Stands between us and the server, because a server must not outlive the process that started
/// it, and a killed process stops nothing. Its input is a pipe from us that nobody writes to: it
/// ends when we close it or die, by whatever signal, and then the server is told to shut down.
/// (A parent-death signal would come with the end of the *thread* that started the server.)
/// Ignores the signals a terminal or service manager sends to the whole group: the order of
/// shutdown is ours.
const SUPERVISOR: &str = r#"
trap '' INT TERM HUP
signal=$1 sockets=$2 rubbish=$3
shift 3
exec 3<&0 </dev/null
"$@" 3<&- &
server=$!
(
  while read -r _; do :; done <&3
  while kill -s "$signal" "$server"; do sleep 1; done
) >/dev/null 2>&1 &
watcher=$!
exec 3<&-
wait "$server"
code=$?
kill -s KILL "$watcher" 2>/dev/null
rm -rf -- "$sockets" ${rubbish:+"$rubbish"}
exit "$code"
"#;

/// A server and its supervisor; dropping it begins a shutdown.
#[derive(Debug)]
pub(super) struct Postmaster {
    supervisor: Child,
    lifeline: ChildStdin,
    log: JoinHandle<String>,
    /// Its sender goes with the log's thread, which ends when the server has.
    running: watch::Receiver<()>,
}

impl Postmaster {
    /// Starts the server and returns when it accepts connections.
    pub(super) async fn start(
        home: &Home,
        run_as: &RunAs,
        installation: &Installation,
        sockets: &SocketDir,
        options: Options,
    ) -> Result<Postmaster, ClusterError> {
        let mut postmaster = spawn(home, run_as, installation, sockets, options)?;
        let admin = connect_options(sockets.path(), Role::Admin, "postgres");
        let give_up = Instant::now() + START_LIMIT;
        loop {
            let refused = match PgConnection::connect_with(&admin).await {
                Ok(connection) => {
                    connection.close().await?;
                    return Ok(postmaster);
                }
                Err(refused) => refused,
            };
            let ended = postmaster.supervisor.try_wait().ok().flatten();
            let reason = match ended {
                Some(status) => format!("it ended, {status}"),
                None if Instant::now() > give_up || !may_pass(&refused) => refused.to_string(),
                None => {
                    sleep(LOOK_AGAIN).await;
                    continue;
                }
            };
            return Err(ClusterError::DidNotStart {
                reason,
                log: home.log(),
                tail: postmaster.stop().await?,
            });
        }
    }

    /// Resolves when the server has ended.
    pub(super) fn ended(&self) -> impl Future<Output = ()> + use<> {
        let mut running = self.running.clone();
        async move { while running.changed().await.is_ok() {} }
    }

    /// Asks for a shutdown, waits until the server has ended, and returns the end of its log.
    pub(super) async fn stop(self) -> Result<String, ClusterError> {
        let Postmaster {
            mut supervisor,
            lifeline,
            log,
            running: _,
        } = self;
        drop(lifeline);
        let ended = tokio::task::spawn_blocking(move || {
            let ended = supervisor.wait();
            ended.map(|_status| log.join().unwrap_or_default())
        });
        match ended.await {
            Ok(Ok(tail)) => Ok(tail),
            Ok(Err(error)) => Err(ClusterError::program("the supervisor", error)),
            Err(error) => Err(ClusterError::program("the supervisor", error)),
        }
    }
}

/// Whether a refusal is one of a server that is still starting or recovering.
fn may_pass(refused: &sqlx::Error) -> bool {
    const STARTING: &str = "57P03";
    match refused.as_database_error() {
        Some(error) => error.code().is_some_and(|code| code == STARTING),
        None => true,
    }
}

fn spawn(
    home: &Home,
    run_as: &RunAs,
    installation: &Installation,
    sockets: &SocketDir,
    options: Options,
) -> Result<Postmaster, ClusterError> {
    // Data that is kept is shut down in order; data that is thrown away needs no last checkpoint.
    let (signal, rubbish) = match options.lifetime {
        Lifetime::Kept => ("INT", Path::new("")),
        Lifetime::Temporary => ("QUIT", home.data_dir()),
    };
    let mut command = Command::new("sh");
    command.args(["-c", SUPERVISOR, "easyisp-postgres", signal]);
    command.arg(sockets.path()).arg(rubbish);
    command.args(run_as.command_line(&installation.program("postgres")));
    command.arg("-D").arg(home.pg());
    for setting in settings(options.durability) {
        command.arg("-c").arg(setting);
    }
    command.arg("-c");
    command.arg(format!(
        "unix_socket_directories={}",
        sockets.path().display()
    ));
    command.env_clear().env("PATH", PATH).env("LC_ALL", "C");
    command.current_dir("/").process_group(0);
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());

    let log = Log::open(home.log()).map_err(ClusterError::io("open", &home.log()))?;
    let mut supervisor = command
        .spawn()
        .map_err(ClusterError::io("run", Path::new("sh")))?;
    let lifeline = supervisor.stdin.take().expect("the input was piped");
    let mut said = supervisor
        .stderr
        .take()
        .expect("the error output was piped");
    let (is_running, running) = watch::channel(());
    let log = thread::Builder::new()
        .name("postgres-log".to_owned())
        .spawn(move || {
            let _until_it_ends = is_running;
            log.follow(&mut said)
        })
        .map_err(ClusterError::io("follow", &home.log()))?;
    Ok(Postmaster {
        supervisor,
        lifeline,
        log,
        running,
    })
}

/// Sized for a small box that does other work too. Given on the command line, so that a release of
/// ours that changes one changes it in every cluster.
fn settings(durability: Durability) -> Vec<&'static str> {
    let mut settings = vec![
        "listen_addresses=",
        "unix_socket_permissions=0700",
        "max_connections=100",
        "shared_buffers=128MB",
        "work_mem=8MB",
        "maintenance_work_mem=64MB",
        "max_wal_size=512MB",
        "wal_compression=on",
        "checkpoint_completion_target=0.9",
        "random_page_cost=1.1",
        "jit=off",
        "timezone=UTC",
        "log_timezone=UTC",
        // Values of rows and statements stay out of the log: they are phone numbers and digests.
        "logging_collector=off",
        "log_destination=stderr",
        "log_statement=none",
        "log_min_error_statement=panic",
        "log_min_duration_statement=-1",
        "log_error_verbosity=terse",
        "log_checkpoints=off",
    ];
    settings.extend(match durability {
        Durability::Synced => ["fsync=on", "synchronous_commit=on", "full_page_writes=on"],
        Durability::Unsynced => [
            "fsync=off",
            "synchronous_commit=off",
            "full_page_writes=off",
        ],
    });
    if durability == Durability::Unsynced {
        settings.extend([
            // Tests of a many-core machine connect all at once.
            "max_connections=500",
            // A database is made for most of them: none of its pages need to be in the log.
            "wal_level=minimal",
            "max_wal_senders=0",
            "wal_compression=off",
        ]);
    }
    settings
}

/// Ends a server that a killed process left, so that the data has one user again.
///
/// Its supervisor is usually shutting it down already. What is asked is the process table, not the
/// number in `postmaster.pid`: after a reboot that number may be anybody's.
pub(super) async fn end_leftover(
    home: &Home,
    run_as: &RunAs,
    installed: &[Installation],
) -> Result<(), ClusterError> {
    let pg = home.pg();
    if let Some(pid) = servers_in(&pg).first() {
        info!("Waiting for the PostgreSQL server {pid} of a killed run to end");
        if let Some(installation) = installed.first() {
            let mut pg_ctl = run_as.command(&installation.program("pg_ctl"));
            pg_ctl.args(["stop", "--mode=fast", "--no-wait", "--silent", "--pgdata"]);
            // It fails when the server is gone already, which the loop below sees.
            let _ = pg_ctl.arg(&pg).current_dir("/").output().await;
        }
    }
    let give_up = Instant::now() + LEFTOVER_LIMIT;
    while let Some(pid) = servers_in(&pg).first() {
        if Instant::now() > give_up {
            let problem = format!("server {pid} of an earlier run does not end: kill it");
            return Err(ClusterError::program("pg_ctl stop", problem));
        }
        sleep(LOOK_AGAIN).await;
    }

    let pid_file = pg.join("postmaster.pid");
    match fs::remove_file(&pid_file) {
        Ok(()) => warn!("PostgreSQL was not shut down in order; it recovers from its log"),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(ClusterError::io("remove", &pid_file)(error)),
    }
    Ok(())
}

/// Server processes that work in `pg`: PostgreSQL enters its data folder and stays there.
fn servers_in(pg: &Path) -> Vec<u32> {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let server = |process: fs::DirEntry| {
        let pid = process.file_name().to_str()?.parse().ok()?;
        let here = fs::read_link(process.path().join("cwd")).ok()? == pg;
        let name = fs::read_to_string(process.path().join("comm")).ok()?;
        (here && name.trim() == "postgres").then_some(pid)
    };
    processes.filter_map(server).collect()
}
