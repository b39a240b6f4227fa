//! The agent's process is killed while routers report; what was answered is kept.

use std::time::{Duration, Instant};

use anyhow::Result;
use easyisp_shared::entropy::Entropy;
use easyisp_shared::time::Clock;
use easyisp_tests::router::session::Usage;
use easyisp_tests::router::subscriber::{Dial, Method, Subscriber};
use easyisp_tests::world::{Provider, Site, World, soon};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::boxes::start_box;
use crate::words::{DAY, comes_to_agree, full};

const SUBSCRIBERS: u64 = 12;

/// E4: killed at any instant under load, the agent serves again within three seconds and has kept all that it acknowledged.
#[tokio::test(flavor = "multi_thread")]
async fn a_killed_agent_has_kept_what_it_acknowledged() -> Result<()> {
    let world = World::start_on(Clock::system()).await?;
    let isp = Provider::sign_up(&world, "powercut").await?;
    let mut site = Site::open(&world, &isp).await?;
    let until = world.clock.now().plus(30 * DAY);
    for number in 0..SUBSCRIBERS {
        let name = name(number);
        isp.add_subscriber(&name, "254712345620", until).await?;
        site.knows(&name, "at all", |_| true).await?;
    }
    site.stop_agent().await;

    let seed = rand::random();
    println!("seed {seed}");
    let chance = Entropy::seeded(seed);
    let load = Load::begin(&site, &chance);
    let rounds = if full() { 1000 } else { 5 };
    let mut serves_after = Vec::new();
    for round in 0..rounds {
        let began = Instant::now();
        let mut child = start_box(&site).await?;
        soon("the first answer", load.answers(1)).await??;
        serves_after.push(began.elapsed());
        let more = 20 + chance.below(200);
        soon(
            &format!("round {round}: accounting is answered"),
            load.answers(more),
        )
        .await??;
        child.kill().await?; // SIGKILL
    }
    site.start_agent().await?;
    soon("accounting is answered again", load.answers(20)).await??;
    let answered = load.end().await?;

    // Half of them: other programs of this machine have work too, and whoever asks does so again after a second or two.
    serves_after.sort_unstable();
    let half = serves_after[rounds / 2];
    println!("half of the starts answer within {half:?}");
    assert!(half <= Duration::from_secs(3), "{serves_after:?}");

    site.caught_up().await?;
    comes_to_agree(&isp, &site).await?;
    let sessions = site.router.ledger().accounts().count();
    println!("{rounds} kills, {sessions} sessions, {answered} records acknowledged");
    site.stop().await;
    world.stop().await
}

/// Subscribers who dial, report and hang up as fast as they are answered.
struct Load {
    answered: watch::Sender<u64>,
    stop: CancellationToken,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

impl Load {
    fn begin(site: &Site, chance: &Entropy) -> Load {
        let answered = watch::Sender::new(0);
        let stop = CancellationToken::new();
        let one = |number| {
            let name = name(number);
            let subscriber = site.router.subscriber(&name, &name, Method::Pap);
            let chance = Entropy::seeded(chance.below(u64::MAX));
            tokio::spawn(keep_busy(
                subscriber,
                chance,
                answered.clone(),
                stop.clone(),
            ))
        };
        let tasks = (0..SUBSCRIBERS).map(one).collect();
        Load {
            answered,
            stop,
            tasks,
        }
    }

    /// Waits until so many more records were answered.
    async fn answers(&self, more: u64) -> Result<()> {
        let mut answered = self.answered.subscribe();
        let target = *answered.borrow() + more;
        answered.wait_for(|count| *count >= target).await?;
        Ok(())
    }

    /// Lets everybody hang up; how many records were answered in all.
    async fn end(self) -> Result<u64> {
        self.stop.cancel();
        for task in self.tasks {
            task.await?;
        }
        let answered = *self.answered.borrow();
        Ok(answered)
    }
}

async fn keep_busy(
    subscriber: Subscriber,
    chance: Entropy,
    answered: watch::Sender<u64>,
    stop: CancellationToken,
) {
    let count = |answer: bool| {
        if answer {
            answered.send_modify(|count| *count += 1);
        }
    };
    while !stop.is_cancelled() {
        let Dial::Online(online) = subscriber.dial().await else {
            continue;
        };
        for _ in 0..chance.below(12) {
            online.transfer(Usage {
                up: chance.below(1 << 20),
                down: chance.below(1 << 34),
            });
            count(online.interim().await);
        }
        count(online.hang_up().await);
    }
}

fn name(number: u64) -> String {
    format!("user{number:02}")
}
