//! One seed decides what happens. In [`turmoil`] to a provider: who logs in, shows a code, pays and leaves, which
//! datagram and which message is lost, doubled or late, when the box, the router and the cloud fall over, what the
//! router makes of orders, who sets the box's clock and when its disk takes nothing. In [`money`] to what customers
//! pay: by which way it comes, who tells of it how often and how wrongly, and where the cloud dies.
//!
//! Cloud, database, agent core, enforcer and link session are the real ones. The agent's RADIUS sockets, its
//! dialling and its housekeeping are left out: one task moves the clocks, carries every datagram and opens every
//! pipe, so that a seed of the turmoil gives the same trace twice, and whatever happens to another provider on the same cloud
//! ([`neighbour`]). After it everything is healed and must agree
//! (`faults.md` §2, §3).
//!
//! `EASYISP_TEST_SEEDS=N` runs N seeds, from seed 0 or `EASYISP_TEST_SEEDS_FROM` on; `EASYISP_TEST_SEED=S`
//! the one that failed.

mod agent;
mod bounds;
mod clock;
mod disk;
mod enforcement;
mod healing;
mod line;
mod money;
mod neighbour;
mod oracle;
mod orders;
mod passing;
mod radio;
mod router;
mod stage;
mod turmoil;
mod vouchers;

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use easyisp_tests::kept::KeptDatabase;

use money::Money;
use neighbour::{Beside, WORLDS};
use stage::Stage;
use turmoil::Turmoil;

/// What a seed decides from beginning to end.
trait Life: Sized + 'static {
    /// The test that lives it.
    const TEST: &'static str;
    /// How much happens before the healing.
    const STEPS: usize;
    /// How many are lived where nobody says.
    const SEEDS: u64;
    /// How many are lived at once on each core.
    const AT_ONCE: usize;
    /// Seeds that found something once.
    const FOUND: &'static [u64];

    /// The database of such lives, without rows.
    async fn database() -> Result<KeptDatabase>;
    /// Its beginning, in a database without rows.
    async fn begin(seed: u64, database: &KeptDatabase) -> Result<Self>;
    /// So many steps, the healing and the judgement.
    async fn run(&mut self, steps: usize) -> Result<()>;
    /// What happened, in words.
    fn take_trace(&mut self) -> Vec<String>;
    /// Switches everything off.
    async fn end(self) -> Result<()>;
}

/// Whether somebody asks for seeds, and not the command that runs all tests.
fn is_asked() -> bool {
    ["EASYISP_TEST_SEEDS", "EASYISP_TEST_SEED"]
        .into_iter()
        .any(|name| std::env::var_os(name).is_some())
}

fn given(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    text.parse().ok()
}

/// So many seeds that fail are enough to look into.
const ENOUGH: usize = 5;

#[test]
fn every_seed_keeps_the_invariants_and_converges() -> Result<()> {
    every_seed::<Turmoil>()
}

#[test]
fn every_seed_books_every_shilling_once() -> Result<()> {
    every_seed::<Money>()
}

fn every_seed<L: Life>() -> Result<()> {
    if let Some(seed) = given("EASYISP_TEST_SEED") {
        let mut trace = Vec::new();
        let lived = alone::<L>(seed, L::STEPS, &mut trace);
        println!("{}", trace.join("\n"));
        return lived;
    }
    let mut stage = None;
    for seed in L::FOUND {
        live::<L>(&mut stage, *seed)?;
    }
    end(stage)?;
    let (first, count) = match given("EASYISP_TEST_SEEDS") {
        Some(count) => (given("EASYISP_TEST_SEEDS_FROM").unwrap_or(0), count),
        // The same every time: such a run tells of what was changed. `--seeds` looks for what nobody has met.
        None => (0, L::SEEDS),
    };
    run::<L>(first, count)
}

#[test]
fn one_seed_gives_one_trace() -> Result<()> {
    let seed = match is_asked() {
        true => given("EASYISP_TEST_SEED").unwrap_or_else(|| rand::random_range(0..1_000_000)),
        false => 1,
    };
    // The second time in a database that was used before.
    let mut stage = None;
    let (once, twice) = (
        live::<Turmoil>(&mut stage, seed)?,
        live::<Turmoil>(&mut stage, seed)?,
    );
    end(stage)?;
    same(&once, &twice).with_context(|| format!("seed {seed}, twice"))
}

/// V10: what a provider's users, agents and routers see, and what the cloud has of him, does not depend on who else is
/// on it, and what happens to him.
#[test]
fn one_seed_is_the_same_beside_any_neighbour() -> Result<()> {
    let seeds = match (given("EASYISP_TEST_SEED"), is_asked()) {
        (Some(seed), _) => vec![seed],
        (None, true) => vec![rand::random_range(0..1_000_000)],
        (None, false) => vec![1, 2],
    };
    let mut stage = None;
    for seed in seeds {
        let alone = live::<Beside>(&mut stage, seed * WORLDS)?;
        for world in 1..WORLDS {
            let beside = live::<Beside>(&mut stage, seed * WORLDS + world)?;
            same(&alone, &beside).with_context(|| {
                format!("V10: seed {seed}, alone and beside a neighbour in his world {world}")
            })?;
        }
    }
    end(stage)
}

/// Two traces that must be one.
fn same(once: &[String], twice: &[String]) -> Result<()> {
    let apart = once
        .iter()
        .zip(twice)
        .position(|(once, twice)| once != twice);
    if let Some(at) = apart {
        let before = once[at.saturating_sub(20)..at].join("\n");
        bail!(
            "two runs part after\n{before}\nat\n{}\nand\n{}",
            once[at],
            twice[at]
        );
    }
    ensure!(once.len() == twice.len(), "one run is longer");
    Ok(())
}

/// Lives through seeds, on every core, and tells each failure when it is found.
fn run<L: Life>(first: u64, count: u64) -> Result<()> {
    let begun = Instant::now();
    let next = AtomicU64::new(0);
    let lived = AtomicU64::new(0);
    let failed = Mutex::new(Vec::new());
    let failures = || failed.lock().expect("pushing does not panic").len();
    let work = || -> Result<()> {
        let mut stage: Option<Stage<L>> = None;
        while failures() < ENOUGH {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= count {
                break;
            }
            let seed = first + number;
            if let Err(failure) = live(&mut stage, seed) {
                eprintln!("{failure:?}");
                failed.lock().expect("pushing does not panic").push(seed);
            }
            let lived = lived.fetch_add(1, Ordering::Relaxed) + 1;
            if lived.is_multiple_of(L::SEEDS) {
                let (secs, failures) = (begun.elapsed().as_secs_f64(), failures());
                let a_minute = lived as f64 / secs * 60.0;
                eprintln!("{lived} of {count} seeds, {a_minute:.0} a minute, {failures} failed");
            }
        }
        end(stage)
    };
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let workers = cores * L::AT_ONCE;
    std::thread::scope(|scope| {
        let running: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
        for worker in running {
            let ended = worker.join();
            ended.map_err(|_| anyhow::anyhow!("a worker panicked; see above"))??;
        }
        anyhow::Ok(())
    })?;
    let failed = failed.into_inner()?;
    if !failed.is_empty() {
        bail!(
            "seeds {failed:?} of {first}..{} fail; see above",
            first + count
        );
    }
    Ok(())
}

/// Lives through a seed. A failure names it and the shortest beginning of it that fails too.
fn live<L: Life>(stage: &mut Option<Stage<L>>, seed: u64) -> Result<Vec<String>> {
    let mut trace = Vec::new();
    let Err(failure) = attempt(stage, seed, L::STEPS, &mut trace) else {
        return Ok(trace);
    };
    // From here on nothing was before it, as in a replay.
    let mut again = Vec::new();
    let mut shortest = match alone::<L>(seed, L::STEPS, &mut again) {
        Err(failure) => (L::STEPS, failure, again),
        // A race, of the stage or of ours. It is told, and counts where seeds are asked for.
        Ok(()) if !is_asked() => {
            eprintln!("seed {seed} failed, and passes the second time: {failure:?}");
            return Ok(again);
        }
        Ok(()) => {
            return Err(failure).with_context(|| {
                let trace = trace.join("\n");
                format!("seed {seed} failed, and passes the second time:\n{trace}")
            });
        }
    };
    let mut fewer = L::STEPS / 2;
    while fewer > 0 && fewer < shortest.0 {
        let mut trace = Vec::new();
        match alone::<L>(seed, fewer, &mut trace) {
            Err(failure) => {
                shortest = (fewer, failure, trace);
                fewer /= 2;
            }
            Ok(()) => fewer += (shortest.0 - fewer).div_ceil(2).max(1),
        }
    }
    let (steps, failure, trace) = shortest;
    let last = trace.len().saturating_sub(60);
    Err(failure).with_context(|| {
        format!(
            "seed {seed} fails after {steps} steps:\n{}\nreplay: EASYISP_TEST_SEED={seed} \
             tests/run, or alone: EASYISP_TEST_SEED={seed} cargo test -p easyisp-tests --test simulation {}",
            trace[last..].join("\n"),
            L::TEST
        )
    })
}

/// On a stage of its own.
fn alone<L: Life>(seed: u64, steps: usize, trace: &mut Vec<String>) -> Result<()> {
    let mut stage: Option<Stage<L>> = None;
    attempt(&mut stage, seed, steps, trace)?;
    end(stage)
}

/// On a stage that is set where there is none. One on which something failed is not used again: what is left
/// on it nobody knows.
fn attempt<L: Life>(
    stage: &mut Option<Stage<L>>,
    seed: u64,
    steps: usize,
    trace: &mut Vec<String>,
) -> Result<()> {
    let mut here = match stage.take() {
        Some(stage) => stage,
        None => Stage::set()?,
    };
    if let Err(failure) = here.attempt(seed, steps, trace) {
        here.abandon();
        return Err(failure);
    }
    if here.is_worn() {
        return here.end();
    }
    *stage = Some(here);
    Ok(())
}

fn end<L: Life>(stage: Option<Stage<L>>) -> Result<()> {
    stage.map_or(Ok(()), Stage::end)
}
