//! A worn card: the files of a box that is switched off lose pages, or their ends.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use easyisp_shared::wire::DownKind;
use easyisp_tests::router::session::Usage;
use easyisp_tests::router::subscriber::Dial;
use easyisp_tests::world::{Provider, Site, World};

use crate::words::{DAY, MINUTE, comes_to_agree};

const PAGE: usize = 4096;
/// Enough for a file of many pages.
const CUSTOMERS: usize = 60;

/// Both files are broken while the cloud is gone and reports wait for it. The box starts on the last good copy of who may
/// come in, serves from it, and says what happened; once the cloud is there again it has everybody, and every report
/// that was answered is counted there once, to the byte.
#[tokio::test(flavor = "multi_thread")]
async fn a_box_whose_files_broke_serves_and_loses_no_report() -> Result<()> {
    let mut world = World::start().await?;
    let isp = Provider::sign_up(&world, "worncard").await?;
    let mut site = Site::open(&world, &isp).await?;
    let until = world.clock.now().plus(30 * DAY);
    for number in 0..CUSTOMERS {
        let paid = match number {
            1 => world.clock.now().minus(DAY),
            _ => until,
        };
        isp.add_subscriber(&name(number), "254712345611", paid)
            .await?;
    }
    site.knows(&name(CUSTOMERS - 1), "at all", |_| true).await?;
    site.caught_up().await?;
    let folder = site.config().data_dir.clone();
    keep_a_copy(&folder)?;

    for (round, broken) in [Broken::Heads, Broken::Tails].into_iter().enumerate() {
        let stays = site.dial(&name(2)).await.online();
        stays.started().await;
        site.reported().await?;
        world.stop_cloud().await?;
        site.cut_off().await?;
        // These wait for the cloud: a session that goes on, one that ends, and one that is new.
        let ends = site.dial(&name(3)).await.online();
        ends.started().await;
        for _ in 0..4 {
            stays.transfer(Usage {
                up: 1 << 20,
                down: 3 << 30,
            });
            ends.transfer(Usage { up: 5, down: 7 });
            world.clock.advance(MINUTE);
            ensure!(stays.interim().await, "round {round}");
            ensure!(ends.interim().await, "round {round}");
        }
        ensure!(ends.hang_up().await, "the Stop is answered");
        let begins = site.dial(&name(4)).await.online();
        begins.started().await;
        begins.transfer(Usage { up: 11, down: 13 });
        ensure!(begins.interim().await);
        site.stop_agent().await;
        broken.leave(&folder)?;

        site.start_agent().await?;
        let aside = site.agent().overview().moved_aside.clone();
        for file in ["outbox.db", "cache.db"] {
            let kept = folder.join(format!("{file}.damaged-{}", round + 1));
            ensure!(aside.contains(&kept), "{kept:?}: {aside:?}");
            ensure!(kept.exists(), "what broke is kept");
        }
        let page = format!("http://{}", site.agent().status());
        let page = reqwest::get(page).await?.text().await?;
        ensure!(page.contains("A damaged file was moved to"), "{page}");
        // The cloud is still gone.
        let newcomer = site.dial(&name(5)).await.online();
        newcomer.started().await;
        let over = site.dial(&name(1)).await;
        ensure!(matches!(over, Dial::Rejected(_)), "{over:?}");
        stays.transfer(Usage { up: 1, down: 2 });
        ensure!(stays.interim().await);
        ensure!(newcomer.hang_up().await);

        world.start_cloud().await?;
        site.caught_up().await?;
        comes_to_agree(&isp, &site).await?;
        ensure!(stays.hang_up().await && begins.hang_up().await);
        comes_to_agree(&isp, &site).await?;
        for number in 0..CUSTOMERS {
            site.knows(&name(number), "at all", |_| true).await?;
        }
    }
    let shown = isp.sessions_of(&name(3)).await?;
    ensure!(shown.len() == 2, "one of each round: {shown:?}");
    for session in &shown {
        ensure!(
            session["bytesIn"] == 20 && session["bytesOut"] == 28,
            "{session}"
        );
    }
    site.stop().await;
    world.stop().await
}

/// What a card lost.
#[derive(Clone, Copy)]
enum Broken {
    /// The first page of each file, which says where everything else is.
    Heads,
    /// The end of the cache, and of the outbox what is known of sessions and the small facts.
    Tails,
}

impl Broken {
    fn leave(self, folder: &Path) -> Result<()> {
        let (outbox, cache) = (folder.join("outbox.db"), folder.join("cache.db"));
        for path in [&outbox, &cache] {
            // What stood in the log stands in the file from here on.
            let file = rusqlite::Connection::open(path)?;
            file.query_row("pragma wal_checkpoint(truncate)", [], |_| Ok(()))?;
        }
        match self {
            Broken::Heads => {
                for path in [outbox, cache] {
                    garble(&path, &[1])?;
                }
            }
            Broken::Tails => {
                let pages = roots(&outbox, &["sessions", "marks"])?;
                garble(&outbox, &pages)?;
                let length = std::fs::metadata(&cache)?.len();
                ensure!(length > 4 * PAGE as u64, "{length} octets");
                let file = std::fs::File::options().write(true).open(&cache)?;
                file.set_len(length / 2)?;
            }
        }
        Ok(())
    }
}

/// Writes what is no page over pages, which count from one.
fn garble(path: &Path, pages: &[usize]) -> Result<()> {
    let mut octets = std::fs::read(path)?;
    for page in pages {
        let place = (page - 1) * PAGE..page * PAGE;
        let found = octets.get_mut(place).context("so many pages")?;
        found.fill(0xA5);
    }
    Ok(std::fs::write(path, octets)?)
}

/// Where these tables begin.
fn roots(path: &Path, tables: &[&str]) -> Result<Vec<usize>> {
    let file = rusqlite::Connection::open(path)?;
    let root = |table: &&str| {
        let found = "select rootpage from sqlite_schema where type = 'table' and name = ?1";
        file.query_row(found, [table], |row| row.get::<_, usize>(0))
    };
    Ok(tables.iter().map(root).collect::<rusqlite::Result<_>>()?)
}

/// What an agent keeps beside its cache ten minutes after its start.
fn keep_a_copy(folder: &Path) -> Result<()> {
    let copy = folder.join("cache.db.copy");
    let cache = rusqlite::Connection::open(folder.join("cache.db"))?;
    cache.execute("vacuum into ?1", [copy.to_string_lossy()])?;
    let kind = DownKind::Subscriber.code();
    let count = "select count(*) from feed where kind = ?1";
    let held: usize =
        rusqlite::Connection::open(&copy)?.query_row(count, [kind], |row| row.get(0))?;
    ensure!(held == CUSTOMERS, "{held} customers in the copy");
    Ok(())
}

fn name(number: usize) -> String {
    format!("user{number:02}")
}
