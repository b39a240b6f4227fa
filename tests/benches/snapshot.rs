//! How long a login waits while the site's whole state is replaced beside it (A8).

use std::io::BufRead;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use easyisp_agent::Agent;
use easyisp_agent::radius::Secret;
use easyisp_agent::store::CachePosition;
use easyisp_shared::wire::{DownRecord, FeedBatch, FeedMode};
use tokio::sync::oneshot;

use crate::child::{SERVER_CORE, Server};
use crate::load::packets::{Proof, Requests};
use crate::load::users::User;
use crate::load::{self, Pace};
use crate::ours::{self, Filled};
use crate::peers::SECRET;
use crate::radius::Effort;
use crate::table::{Row, millis};

/// Logins of 10,000 subscribers while snapshots of 50,000 are applied one after the other.
pub fn measure(folder: &Path, effort: Effort) -> Result<[Row; 2]> {
    let secret = Secret::new(SECRET.as_bytes());
    let folder = folder.join("snapshot");
    std::fs::create_dir_all(&folder)?;
    let (mut server, auth) = Server::start_self("snapshot", SERVER_CORE, &folder)?;
    let auth = auth.parse()?;
    load::check(auth, &secret, Duration::from_secs(10))?;

    let length = effort.window * effort.rounds;
    let count = PER_SECOND as usize * length.as_secs() as usize;
    let requests = Requests::logins(count, Proof::Pap, USERS, &secret)?;
    server.tell("begin")?;
    let pace = Pace::PerSecond(PER_SECOND);
    let tally = load::run(auth, &requests, &secret, pace, length)?;
    server.tell("end")?;
    let applied: u32 = server.hear()?.parse()?;
    server.stop()?;
    ensure!(applied > 0, "no snapshot was applied within {length:?}");
    ensure!(
        tally.lost == 0 && tally.rejected == 0 && tally.wrong == 0,
        "beside snapshots: {tally:?}"
    );
    println!("  {applied} snapshots of {ROWS} rows in {length:?}");

    let (p99, most) = (tally.percentile(0.99), tally.percentile(1.0));
    let row = |what: &str, took: Duration, goal_millis: u64| {
        let goal = Duration::from_millis(goal_millis);
        let words = format!("<= {goal_millis} ms");
        Row::bound(what, &millis(took), &words, took <= goal)
    };
    Ok([
        row(
            "login beside a snapshot of 50,000 rows, 2,000/s, p99",
            p99,
            3,
        ),
        row("the longest of them", most, 50),
    ])
}

/// The part that is the agent: applies snapshots from the first word to the second.
pub fn part(folder: &Path) -> Result<()> {
    let Filled {
        key,
        package,
        mut rows,
    } = ours::fill(folder, USERS)?;
    rows.extend((0..ROWS).map(|user| ours::subscriber(User(user), package, &key)));
    let (runtime, agent) = ours::start(folder)?;
    println!("{}", agent.radius_auth());

    let mut words = std::io::stdin().lock().lines();
    words.next().context("a word to begin")??;
    // The next one is read elsewhere.
    drop(words);
    let (end, ended) = oneshot::channel();
    let (agent, applied) = runtime.block_on(async move {
        let applying = tokio::spawn(apply(agent, rows, ended));
        tokio::task::spawn_blocking(move || {
            let _word = std::io::stdin().lines().next();
            let _ended = end.send(());
        });
        applying.await?
    })?;
    println!("{applied}");
    runtime.block_on(agent.stop());
    Ok(())
}

/// Sends snapshots as the link does until told to end; returns how many were whole.
async fn apply(
    agent: Agent,
    rows: Vec<DownRecord>,
    mut ended: oneshot::Receiver<()>,
) -> Result<(Agent, u32)> {
    let CachePosition { epoch, cursor } = agent.feed().position();
    let mut applied = 0;
    loop {
        let version = cursor + u64::from(applied) + 1;
        let pages = rows.chunks(PAGE);
        let last = pages.len() - 1;
        for (number, page) in pages.enumerate() {
            if ended.try_recv().is_ok() {
                return Ok((agent, applied));
            }
            let mode = match number {
                0 => FeedMode::SnapshotBegin,
                _ if number == last => FeedMode::SnapshotEnd,
                _ => FeedMode::SnapshotMore,
            };
            let mut records = page.to_vec();
            records.iter_mut().for_each(|row| row.version = version);
            let batch = FeedBatch {
                from: 0,
                to: version,
                mode,
                last: false,
                digests: Vec::new(),
                records,
            };
            agent.feed().apply(batch, epoch).await?;
        }
        applied += 1;
    }
}

const USERS: u32 = 10_000;
const ROWS: u32 = 50_000;
const PER_SECOND: u32 = 2_000;
/// As many rows as the cloud sends at once.
const PAGE: usize = 500;
