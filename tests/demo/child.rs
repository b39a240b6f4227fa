//! The demo's own child processes: `demo cloud` and `demo agent`, which end when their parent does.

use std::fs::File;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::{Child, ChildStdin, Command};

/// A running part of the demo.
pub struct Part {
    name: &'static str,
    child: Child,
    /// Closing it tells the part to stop; the death of this process closes it too.
    stop: Option<ChildStdin>,
}

impl Part {
    /// Starts this program again as `name`, and waits for its line `ready {…}`; its log goes to
    /// `NAME.log` in `data`.
    pub async fn start(name: &'static str, data: &Path, args: &[String]) -> Result<(Part, Value)> {
        let log = data.join(format!("{name}.log"));
        let mut child = Command::new(std::env::current_exe()?)
            .arg(name)
            .arg("--data")
            .arg(data.join(name))
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(File::create(&log).with_context(|| format!("cannot write {}", log.display()))?)
            .process_group(0)
            .spawn()?;
        let stop = child.stdin.take();
        let stdout = child.stdout.take().context("standard output is piped")?;
        let mut lines = BufReader::new(stdout).lines();
        let ready = async {
            while let Some(line) = lines.next_line().await? {
                if let Some(report) = line.strip_prefix("ready ") {
                    return Ok(serde_json::from_str(report)?);
                }
            }
            bail!("the {name} ended before it was ready")
        };
        match tokio::time::timeout(PATIENCE, ready).await {
            Ok(Ok(report)) => Ok((Part { name, child, stop }, report)),
            Ok(Err(error)) => Err(error).context(tail(&log)),
            Err(_) => bail!(
                "the {name} was not ready after {PATIENCE:?}\n{}",
                tail(&log)
            ),
        }
    }

    /// Waits until the part ends by itself, which it should not.
    pub async fn ended(&mut self) -> anyhow::Error {
        match self.child.wait().await {
            Ok(status) => anyhow::anyhow!("the {} ended by itself: {status}", self.name),
            Err(error) => error.into(),
        }
    }

    /// Stops it in order; kills it when that takes too long.
    pub async fn stop(mut self) {
        drop(self.stop.take());
        if tokio::time::timeout(Duration::from_secs(20), self.child.wait())
            .await
            .is_err()
        {
            let _ = self.child.kill().await; // it is gone already, or goes now
        }
    }
}

/// In a part: returns when the parent asks to stop, or has died.
pub async fn asked_to_stop() {
    let mut rest = Vec::new();
    // Whatever ends the pipe, there is no parent left to serve.
    let _ = tokio::io::stdin().read_to_end(&mut rest).await;
}

/// In a part: writes the log where the parent wants it, one line an event.
pub fn log_to_stderr() {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .with_env_filter("info")
        .init();
}

/// In a part: tells the parent.
pub fn say_ready(report: &Value) {
    println!("ready {report}");
}

/// The first start makes a database cluster; on a small board that takes its time.
const PATIENCE: Duration = Duration::from_secs(180);

fn tail(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    let last = lines[lines.len().saturating_sub(15)..].join("\n");
    format!("last lines of {}:\n{last}", log.display())
}
