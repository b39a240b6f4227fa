//! Subscribers who come, stay for hours, and come back.

use std::time::Duration;

use anyhow::{Result, ensure};
use easyisp_shared::entropy::Entropy;
use easyisp_shared::time::{Clock, Timestamp};
use easyisp_tests::router::online::{Online, Traffic};
use easyisp_tests::router::subscriber::{Dial, Method, Subscriber};
use easyisp_tests::world::{Provider, Site, soon};
use futures_util::{StreamExt, TryStreamExt, stream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

const DAY: Duration = Duration::from_secs(86_400);

/// Everybody with a line.
pub struct Town {
    stop: CancellationToken,
    tasks: TaskTracker,
}

/// Signs customers up who have paid for a year.
pub async fn sign_up(isp: &Provider, many: u64, now: Timestamp) -> Result<()> {
    let until = now.plus(365 * DAY);
    let all = stream::iter(0..many)
        .map(async |number| {
            isp.add_subscriber(&name(number), "254712345699", until)
                .await
        })
        .buffered(8);
    all.try_for_each(async |_| Ok(())).await
}

impl Town {
    /// Brings so many online; they come and go until [`Town::go_home`].
    pub async fn come_online(site: &Site, clock: &Clock, many: u64) -> Result<Town> {
        let town = Town {
            stop: CancellationToken::new(),
            tasks: TaskTracker::new(),
        };
        let first = stream::iter(0..many)
            .map(async |number| {
                let methods = [Method::Pap, Method::Chap, Method::MsChapV2];
                let method = methods[usize::try_from(number % 3)?];
                let line = site.router.subscriber(&name(number), &name(number), method);
                let dial = line.dial().await;
                let Dial::Online(online) = dial else {
                    anyhow::bail!("{dial:?}");
                };
                soon("the Start is answered", online.started()).await?;
                Ok((line, online))
            })
            .buffered(64);
        let first: Vec<(Subscriber, Online)> = first.try_collect().await?;
        for (line, online) in first {
            let (clock, stop) = (clock.clone(), town.stop.clone());
            town.tasks.spawn(live(line, online, clock, stop));
        }
        Ok(town)
    }

    /// Everybody hangs up, and the router has settled all of it.
    pub async fn go_home(self) -> Result<()> {
        self.stop.cancel();
        self.tasks.close();
        let all = tokio::time::timeout(GOING_HOME, self.tasks.wait()).await;
        ensure!(all.is_ok(), "somebody does not come off the line");
        Ok(())
    }
}

/// Online for up to a day, off for up to an hour, and again.
async fn live(line: Subscriber, mut online: Online, clock: Clock, stop: CancellationToken) {
    let chance = Entropy::system();
    let up_to = |time: Duration| Duration::from_secs(1 + chance.below(time.as_secs()));
    loop {
        online.flow(Traffic {
            up_bits_per_second: chance.below(1_000_000),
            down_bits_per_second: chance.below(10_000_000),
        });
        let stay = clock.sleep(up_to(DAY));
        let ended = stop.run_until_cancelled(stay).await.is_none();
        online.hang_up().await;
        if ended {
            return;
        }
        online = loop {
            let pause = clock.sleep(up_to(DAY / 24));
            if stop.run_until_cancelled(pause).await.is_none() {
                return;
            }
            if let Dial::Online(online) = line.dial().await {
                break online;
            }
        };
    }
}

fn name(number: u64) -> String {
    format!("user{number:05}")
}

const GOING_HOME: Duration = Duration::from_secs(120);
