//! How long it takes to prove the books of a provider with a million payments.

use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use easyisp_cloud::ledger::{Scope, seal_all, verify};
use easyisp_tests::database::SOCKET_DIR;
use easyisp_tests::grown::{self, resident_kib};
use easyisp_tests::world::{Provider, World};

use crate::child::{EVERY_CORE, Server, on_core};
use crate::table::{Row, mebibytes};

const CUSTOMERS: i64 = 100_000;
const PAYMENTS: i64 = 1_000_000;

/// Runs the product in a process of its own, on a PostgreSQL that syncs every commit.
pub fn measure(folder: &Path) -> Result<[Row; 2]> {
    let folder = folder.join("proof");
    let (database, socket_dir) = Server::start_self("postgres", EVERY_CORE, &folder)?;
    let output = on_core(EVERY_CORE, std::env::current_exe()?)
        .args(["part", "proof"])
        .arg(&folder)
        .env(SOCKET_DIR, socket_dir)
        .stderr(Stdio::inherit())
        .output()?;
    database.stop()?;
    let said = String::from_utf8(output.stdout)?;
    ensure!(output.status.success(), "the proof failed:\n{said}");
    print!("{said}");
    let line = said.lines().last().context("it says what it measured")?;
    let figures: Vec<u64> = line
        .split_whitespace()
        .filter_map(|word| word.parse().ok())
        .collect();
    let [took, grown] = figures[..] else {
        anyhow::bail!("not two figures: {line}");
    };
    let took = Duration::from_millis(took);
    Ok([
        Row::bound(
            "verify-ledger over 1,000,000 payments",
            &format!("{:.1} s", took.as_secs_f64()),
            "<= 60 s",
            took <= Duration::from_secs(60),
        ),
        Row::bound(
            "memory that it takes meanwhile",
            &mebibytes(grown),
            "<= 32 MiB",
            grown <= 32 * 1024,
        ),
    ])
}

/// The part that proves. Its last line: milliseconds, and by how many KiB the process grew.
pub fn part() -> Result<()> {
    tokio::runtime::Runtime::new()?.block_on(async {
        let world = World::start().await?;
        let provider = Provider::sign_up(&world, "grown").await?;
        let tenant = provider.tenant().await?;
        let begun = Instant::now();
        grown::write(&world.database, tenant, CUSTOMERS, PAYMENTS).await?;
        let written = begun.elapsed();
        let begun = Instant::now();
        let sealed = seal_all(world.db(), tenant, world.clock.now()).await?;
        println!(
            "  {PAYMENTS} payments written in {:.0} s, {sealed} rows sealed in {:.0} s",
            written.as_secs_f64(),
            begun.elapsed().as_secs_f64()
        );
        let before = resident_kib()?;
        let (mut most, mut told) = (before, 0_u32);
        let begun = Instant::now();
        let report = verify(world.db(), Scope::Tenant(tenant), &mut |_| {
            told += 1;
            most = most.max(resident_kib().unwrap_or(u64::MAX));
        })
        .await?;
        let took = begun.elapsed();
        ensure!(report.is_clean(), "{:?}", report.findings);
        println!("  {} rows proved, told {told} times how far", report.rows);
        println!("{} {}", took.as_millis(), most - before);
        world.stop().await
    })
}
