//! What several stories say: spans of time, and the router's ledger against the cloud's.

use std::sync::Mutex;
use std::time::Duration;

use anyhow::{Context, Result};
use easyisp_tests::router::ledger::Account;
use easyisp_tests::world::{Provider, Site, eventually};
use serde_json::Value;

pub const MINUTE: Duration = Duration::from_secs(60);
pub const HOUR: Duration = Duration::from_secs(3600);
pub const DAY: Duration = Duration::from_secs(86_400);

/// Everything that was acknowledged to the router is at the API, once, and to the byte.
pub async fn agrees(provider: &Provider, site: &Site) -> Result<()> {
    let ledger = site.router.ledger();
    let shown = all_sessions(provider).await?;
    for account in ledger
        .accounts()
        .filter(|account| was_acknowledged(account))
    {
        let mut rows = shown
            .iter()
            .filter(|row| row["sessionId"] == account.id.as_str());
        let row = rows.next();
        let row = row.with_context(|| format!("acknowledged and lost: {account:?}"))?;
        anyhow::ensure!(rows.next().is_none(), "doubled: {account:?}");
        same(account, row)?;
    }
    let known = |row: &&Value| {
        row["sessionId"]
            .as_str()
            .is_some_and(|id| ledger.find(id).is_some())
    };
    let invented: Vec<&Value> = shown.iter().filter(|row| !known(row)).collect();
    anyhow::ensure!(
        invented.is_empty(),
        "nobody had these sessions: {invented:?}"
    );
    Ok(())
}

/// The same, once the agent has told everything and the cloud has taken it.
pub async fn comes_to_agree(provider: &Provider, site: &Site) -> Result<()> {
    site.reported().await?;
    let last = Mutex::new(None);
    let agreed = eventually("router and cloud agree", async || {
        let disagreement = agrees(provider, site).await.err();
        let agreed = disagreement.is_none().then_some(());
        *last.lock().expect("nobody panics here") = disagreement;
        Ok(agreed)
    })
    .await;
    agreed.map_err(|late| {
        let last = last.into_inner().expect("nobody panics here");
        last.map_or(late, |why| why.context("router and cloud disagree"))
    })
}

/// Whether any record of it was answered.
fn was_acknowledged(account: &Account) -> bool {
    account.start_acknowledged || account.interims_acknowledged > 0 || account.stop_acknowledged
}

fn same(account: &Account, row: &Value) -> Result<()> {
    let bytes = |field: &str| row[field].as_u64().context("octets are numbers");
    let (up, down) = (bytes("bytesIn")?, bytes("bytesOut")?);
    let acknowledged = account.acknowledged;
    if account.stop_acknowledged {
        anyhow::ensure!(
            (up, down) == (acknowledged.up, acknowledged.down) && row["status"] == "completed",
            "{account:?} is {row}"
        );
    }
    // A record that was written and whose answer got lost may be ahead of what the router knows.
    anyhow::ensure!(
        up >= acknowledged.up && down >= acknowledged.down,
        "{account:?} is {row}"
    );
    Ok(())
}

/// All sessions at the API, of whatever age.
pub async fn all_sessions(provider: &Provider) -> Result<Vec<Value>> {
    let mut all = Vec::new();
    for page in 1.. {
        let path = format!("/sessions?page={page}&pageSize=200");
        let answer = provider.owner.get(&path).await?;
        let rows = answer["sessions"].as_array().context("sessions")?;
        if rows.is_empty() {
            break;
        }
        all.extend(rows.iter().cloned());
    }
    Ok(all)
}

/// Whether `tests/run --full` asked for the catalogue's counts.
pub fn full() -> bool {
    std::env::var_os("EASYISP_TEST_FULL").is_some()
}
