//! The agent's process is killed while it takes everything that the cloud knows of its site.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use easyisp_shared::time::Clock;
use easyisp_tests::world::{Provider, Site, World, soon};
use rusqlite::Connection;

use crate::boxes::{start_box, stop_box};
use crate::imports;
use crate::words::full;

const CUSTOMERS: usize = 1500;
/// More than that are a job of their own.
const AT_ONCE: usize = 500;

/// The snapshot is applied in one transaction: whenever the agent dies, its copy of the feed is none or all of it, and
/// the next start takes the rest as a first start does. (Under load: `crash`.)
#[tokio::test(flavor = "multi_thread")]
async fn an_agent_killed_amid_a_snapshot_holds_all_of_it_or_nothing() -> Result<()> {
    let world = World::start_on(Clock::system()).await?;
    let isp = Provider::sign_up(&world, "torn").await?;
    let mut site = Site::prepare(&world, &isp).await?;
    let numbers: Vec<usize> = (0..CUSTOMERS).collect();
    for some in numbers.chunks(AT_ONCE) {
        let mut file = "username,password,name,phone,type,package,expires\n".to_owned();
        for number in some {
            file.push_str(&format!(
                "user{number:04},user{number:04},User {number},0712345601,pppoe,Home 10,2037-12-01\n"
            ));
        }
        let report = imports::report(&world, &isp.owner, "", file).await?;
        let made = [some.len() as i64, 0, 0, 0];
        assert_eq!(imports::counts(&report), made, "{report}");
    }

    let cache = site.config().data_dir.join("cache.db");
    let (mut held, mut torn) = (Vec::new(), 0);
    let (rounds, most) = if full() { (100, 1000) } else { (3, 60) };
    for round in 0..most {
        if torn == rounds {
            break;
        }
        let mut child = start_box(&site).await?;
        let watched = cache.clone();
        let watch = tokio::task::spawn_blocking(move || watch(&watched));
        soon("rows arrive", watch).await??;
        child.kill().await?; // SIGKILL
        let (staged, feed) = rows(&cache).with_context(|| format!("round {round}"))?;
        torn += usize::from(staged > 0);
        held.push(feed);
        if feed > 0 {
            // It was faster: once more from nothing.
            site.forget_files()?;
        }
    }
    ensure!(torn == rounds, "never killed in between: {held:?}");

    let child = start_box(&site).await?;
    let whole = tokio::task::spawn_blocking(move || {
        loop {
            match rows(&cache) {
                Ok((0, feed)) if feed > 0 => return feed,
                Ok(_) | Err(_) => std::thread::yield_now(),
            }
        }
    });
    let whole = soon("everything is there", whole).await??;
    stop_box(child).await?;
    ensure!(whole > CUSTOMERS, "{whole} rows");
    ensure!(
        held.iter().all(|feed| [0, whole].contains(feed)),
        "{held:?} of {whole}"
    );
    site.start_agent().await?;
    site.caught_up().await?;
    site.knows("user1499", "at all", |_| true).await?;
    site.stop().await;
    world.stop().await
}

/// Returns once rows of a snapshot stand in the file.
fn watch(cache: &Path) {
    // Until it is made there is no file, or no table in it.
    while !rows(cache).is_ok_and(|(staged, feed)| staged + feed > 0) {
        std::thread::yield_now();
    }
}

/// How many wait to be applied, and are applied.
fn rows(cache: &Path) -> Result<(usize, usize)> {
    ensure!(cache.exists(), "no cache");
    let cache = Connection::open(cache)?;
    let both = "select (select count(*) from staged), (select count(*) from feed)";
    let both: (usize, usize) = cache.query_row(both, [], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(both)
}
