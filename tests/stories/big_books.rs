//! The books of a provider who has grown: proved from the first row to the last, and one cent that somebody changed
//! is found among all of them.

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use easyisp_cloud::ledger::{Scope, seal_all, verify};
use easyisp_shared::id::TenantId;
use easyisp_tests::database::FreshDatabase;
use easyisp_tests::grown::{self, entry_of_payment};
use tempfile::TempDir;

use crate::commands::Program;
use crate::money::{given_books, noon};
use crate::words::full;

/// 100,000 customers and 1,000,000 payments are proved, and somebody who waits is told how far it is: within a minute, and in
/// no more memory than a small provider's. The bench `proof` says how long that takes in a release build.
#[tokio::test]
async fn a_million_payments_are_proved_and_one_cent_is_found() -> Result<()> {
    let (customers, payments) = match full() {
        true => (100_000, 1_000_000),
        false => (1_000, 10_000),
    };
    let books = given_books().await?;
    let tenant = books.given_tenant().await?;
    let begun = Instant::now();
    grown::write(&books.fresh, tenant, customers, payments).await?;
    let written = begun.elapsed();
    let rows = usize::try_from(payments + customers / 2)?;
    let begun = Instant::now();
    assert_eq!(seal_all(&books.db, tenant, noon()).await?, rows);
    let sealed = begun.elapsed();

    let mut told = 0;
    let begun = Instant::now();
    let report = verify(&books.db, Scope::Tenant(tenant), &mut |_| told += 1).await?;
    let took = begun.elapsed();
    println!(
        "{rows} entries: written in {written:.0?}, sealed in {sealed:.0?}, proved in {took:.1?}, told {told} times"
    );
    assert!(report.is_clean(), "{:?}", report.findings);
    assert_eq!(report.rows, rows as u64);
    assert!(told >= rows / 500, "told {told} times how far it is");
    // A minute and the memory are of a million, in a program of its own: beside this one other stories run.
    let folder = TempDir::new()?;
    let program = Program::over(
        &books.fresh,
        folder.path(),
        &folder.path().join("master.key"),
    )?;
    let small = books.given_tenant().await?;
    let (few, of_few) = program.measured(&proving(small)).await?;
    ensure!(few.status.success(), "{few:?}");
    let begun = Instant::now();
    let (all, of_all) = program.measured(&proving(tenant)).await?;
    let took = begun.elapsed();
    ensure!(all.status.success(), "{all:?}");
    println!("verify-ledger: {took:.1?}, {of_few} KiB for nobody and {of_all} KiB for all");
    if full() {
        ensure!(
            took < MOST_TIME || !program.is_shipped(),
            "it took {took:.1?}"
        );
        ensure!(
            of_all < of_few + MOST_KIB,
            "it grew from {of_few} to {of_all} KiB"
        );
        let said = String::from_utf8_lossy(&all.stderr);
        ensure!(
            took < Duration::from_secs(11) || said.contains("tenant 1 of 1"),
            "{said}"
        );
    }

    // Somebody with the database's own password.
    let changed = entry_of_payment(payments / 2);
    let cent = format!("update transfers set amount = amount + 1 where entry_id = '{changed}'");
    psql(&books.fresh, &cent)?;
    let report = verify(&books.db, Scope::Tenant(tenant), &mut |_| {}).await?;
    let named = |what: &str| what.contains(&changed.to_string()) && what.contains("was changed");
    let found: Vec<String> = report
        .findings
        .iter()
        .map(|found| found.what.clone())
        .collect();
    assert!(found.iter().any(|what| named(what)), "{found:?}");
    // The row, the wallet, the day's two totals, the payment: and nothing of anybody else.
    assert!(found.len() <= 6, "{found:?}");
    Ok(())
}

/// For how long and how much more than with next to nothing the program may prove a million payments.
const MOST_TIME: Duration = Duration::from_secs(60);
const MOST_KIB: u64 = 32 * 1024;

fn proving(tenant: TenantId) -> [String; 3] {
    ["verify-ledger", "--tenant", &tenant.to_string()].map(str::to_owned)
}

/// Says something to the database as its administrator, at a prompt.
pub(crate) fn psql(database: &FreshDatabase, statement: &str) -> Result<()> {
    let database = database.anybody();
    let socket = database.get_socket().context("a socket")?;
    let output = Command::new("psql")
        .arg("--no-psqlrc")
        .args(["--set", "ON_ERROR_STOP=1"])
        .args(["--username", database.get_username()])
        .args(["--dbname", database.get_database().context("a name")?])
        .arg("--host")
        .arg(socket)
        .args(["--command", statement])
        .output()?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(
        output.status.success() && said.contains("UPDATE 1"),
        "psql: {said} {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}
