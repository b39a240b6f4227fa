//! A site's agent in a process of its own, alone or under a tracer.

use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use easyisp_tests::world::{Site, soon};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

/// Starts it; returns once it answers.
pub async fn start_box(site: &Site) -> Result<Child> {
    start(Command::new(env!("CARGO_BIN_EXE_box")), site).await
}

/// The same under `tracer`, which is given the program as its last words.
pub async fn start_traced_box(mut tracer: Command, site: &Site) -> Result<Child> {
    tracer.arg(env!("CARGO_BIN_EXE_box"));
    start(tracer, site).await
}

/// Ends it in order.
pub async fn stop_box(mut child: Child) -> Result<()> {
    drop(child.stdin.take());
    let status = soon("the box stops", child.wait()).await??;
    ensure!(status.success(), "the box ended with {status}");
    Ok(())
}

async fn start(mut command: Command, site: &Site) -> Result<Child> {
    let mut child = command
        .arg(site.write_config()?)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .context("starting the box")?;
    let stdout = child.stdout.take().context("standard output is piped")?;
    let mut lines = BufReader::new(stdout).lines();
    let line = soon("the box is ready", lines.next_line()).await??;
    ensure!(line.as_deref() == Some("ready"), "the box said {line:?}");
    Ok(child)
}
