//! `with-database COMMAND…`: runs a command with a private PostgreSQL beside it for its tests.

use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail};
use easyisp_tests::database::{SOCKET_DIR, test_cluster};

#[tokio::main]
async fn main() -> Result<ExitCode> {
    let mut words = std::env::args_os().skip(1);
    let Some(program) = words.next() else {
        bail!("usage: with-database COMMAND [ARGUMENT…]");
    };
    let cluster = test_cluster().await?;

    let mut command = Command::new(&program);
    command.args(words).env(SOCKET_DIR, cluster.socket_dir());
    let status = tokio::task::spawn_blocking(move || command.status()).await?;

    cluster.stop().await?;
    let status = status.with_context(|| format!("running {}", program.display()))?;
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    Ok(ExitCode::from(code.unwrap_or(1)))
}
