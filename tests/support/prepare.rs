//! Installs what the product needs from the system, where it may.

use std::process::Command;

use anyhow::{Context, Result, ensure};

/// Makes sure that PostgreSQL's programs are installed, before the demo starts anything.
///
/// As root on Debian they are installed, without a cluster or a service of their own. Otherwise
/// the command that installs them has been printed, and this is an error.
pub fn prepare_demo() -> Result<()> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/prepare");
    let status = Command::new(script)
        .arg("demo")
        .status()
        .with_context(|| format!("running {script}"))?;
    ensure!(status.success(), "the demo needs PostgreSQL (see above)");
    Ok(())
}
