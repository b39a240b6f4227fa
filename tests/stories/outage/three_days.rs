//! Three days without the cloud: customers come for the first time, use, end and are refused as on any other
//! day; afterwards the cloud knows all of it, once and to the byte.

mod person;
mod town;

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use easyisp_shared::entropy::Entropy;
use easyisp_shared::time::Clock;
use easyisp_tests::router::session::{Cause, Usage};
use easyisp_tests::world::soon;

use self::person::{Person, State, Until, is_over, is_refused};
use self::town::{QUOTA, Town};
use crate::eap::supplicant::Door;
use crate::words::{DAY, MINUTE, all_sessions, comes_to_agree};

const OUTAGE: Duration = Duration::from_secs(72 * 3600);

/// D1, V6 to V9: every way to log in works for who never did before, nobody is let in or stays on past his
/// end, quotas hold over sessions, a box that restarts with a clock of last week keeps all of that; and
/// the cloud then has what was acknowledged, and the router's own sessions.
#[tokio::test(flavor = "multi_thread")]
async fn seventy_two_hours_without_the_cloud_lose_and_give_away_nothing() -> Result<()> {
    let given = std::env::var("EASYISP_TEST_SEED").ok();
    let seed = given.map_or_else(|| Ok(rand::random()), |seed| seed.parse())?;
    println!("seed {seed}; the same people come again with EASYISP_TEST_SEED={seed}");
    let mut town = Town::open(Entropy::seeded(seed)).await?;
    town.world.stop_cloud().await?;
    town.site.cut_off().await?;

    let middle = town.began.plus(OUTAGE / 2);
    let mut restarted = false;
    while let Some(at) = town.instants.pop_first() {
        town.world.clock.advance(at.since(town.now()));
        let counting = at.since(town.began).as_secs() % town.step.as_secs() == 0;
        if counting {
            town.settle().await?;
        }
        town.end_who_must().await?;
        town.try_the_last_minute().await?;
        if counting {
            town.use_lines().await?;
            town.arrive().await?;
            town.tunnel().await?;
        }
        if at >= middle && !restarted {
            restarted = true;
            town.restart_in_the_past().await?;
        }
    }
    town.heal().await
}

impl Town {
    /// Waits until everybody who was online a step ago has been heard once more.
    async fn settle(&mut self) -> Result<()> {
        let before = self.now().minus(self.step);
        for person in &mut self.people {
            let State::Online(online, heard) = &mut person.state else {
                continue;
            };
            if online
                .session()
                .is_none_or(|session| session.started > before)
            {
                continue;
            }
            let held = *heard;
            let more = online.when(|account| {
                (account.interims_acknowledged > held || account.ended.is_some()).then_some(())
            });
            if tokio::time::timeout(UNANSWERED, more).await.is_err() {
                // The router gave its update up on a slow machine; it reports again.
                soon("an update is answered", online.interim()).await?;
            }
            *heard = online.account().interims_acknowledged;
        }
        Ok(())
    }

    /// Who is a minute past his end is off, and stays off; who is not is on.
    async fn end_who_must(&mut self) -> Result<()> {
        let now = self.now();
        for person in &mut self.people {
            let Until::At(end) = person.until else {
                continue;
            };
            let State::Online(online, _) = &person.state else {
                continue;
            };
            if now < end {
                ensure!(
                    online.session().is_some(),
                    "{} was cut",
                    online.account().user
                );
            }
            if end.plus(MINUTE) <= now {
                is_over(online, &[Cause::SessionTimeout, Cause::AdminReset]).await?;
                is_refused(person.equipment()).await?;
                person.state = State::Over;
            }
        }
        Ok(())
    }

    /// Who hangs up and dials again with a minute left gets that minute.
    async fn try_the_last_minute(&mut self) -> Result<()> {
        let now = self.now();
        for person in &mut self.people {
            if let (State::Online(..), Until::At(end)) = (&person.state, person.until)
                && end == now.plus(MINUTE)
                && self.chance.below(2) == 0
            {
                person.redial(now).await?;
            }
        }
        Ok(())
    }

    /// Everybody uses his line; some hang up and dial again.
    async fn use_lines(&mut self) -> Result<()> {
        let now = self.now();
        for person in &mut self.people {
            let State::Online(online, _) = &person.state else {
                continue;
            };
            match &mut person.left {
                Some(left) => {
                    let used = (*left).min(QUOTA / 10);
                    *left -= used;
                    online.transfer(Usage {
                        up: used / 2,
                        down: used - used / 2,
                    });
                    if *left == 0 {
                        is_over(online, &[Cause::NasRequest, Cause::AdminReset]).await?;
                        is_refused(person.equipment()).await?;
                        person.state = State::Over;
                    } else {
                        person.redial(now).await?;
                    }
                }
                None => {
                    online.transfer(Usage {
                        up: self.chance.below(1 << 24),
                        down: self.chance.below(5 << 30),
                    });
                    if person.leaves.is_some_and(|leaves| leaves <= now) {
                        ensure!(soon("a Stop", online.hang_up()).await?, "it is answered");
                        person.state = State::Gone;
                    } else if self.chance.below(60) == 0 {
                        // At his end he may be on for another minute, and does not come in again.
                        let over = matches!(person.until, Until::At(end) if end <= now);
                        if !over && online.session().is_some() {
                            person.redial(now).await?;
                        }
                    }
                }
            }
        }
        Ok(())
    }

    /// Who comes now comes for the first time.
    async fn arrive(&mut self) -> Result<()> {
        let now = self.now();
        let mut ends = Vec::new();
        for person in &mut self.people {
            if !matches!(person.state, State::NotYet) || now < person.arrives {
                continue;
            }
            let voucher = match person.until {
                Until::At(_) => false,
                Until::AfterFirstUse(time) => {
                    person.until = Until::At(now.plus(time));
                    ends.push(now.plus(time));
                    true
                }
            };
            person.dial(now).await?;
            if voucher {
                is_refused(&person.line.clone().mac("02:00:00:00:03:01")).await?;
            }
            if person.later.is_some() {
                person.redial(now).await?;
            }
        }
        for end in ends {
            self.watch(end);
        }
        Ok(())
    }

    async fn tunnel(&mut self) -> Result<()> {
        let now = self.now();
        let folder = self.site.config().data_dir.clone();
        let door = Door {
            auth: self.site.asked(),
            secret: self.site.secret(),
            authority: folder.join("eap-ca.pem"),
            folder,
        };
        for switch in self.switches.iter().filter(|switch| switch.at == now) {
            let login = door.log_in(switch.tunnel, switch.name, switch.name).await?;
            ensure!(
                login.answer == switch.expected,
                "{}: {}",
                switch.name,
                login.transcript
            );
        }
        Ok(())
    }

    /// F1: the box loses power and comes back with the clock of last week, and then with a good one.
    async fn restart_in_the_past(&mut self) -> Result<()> {
        self.site.stop_agent().await;
        let past = Clock::test(self.began.minus(7 * DAY));
        self.site.start_agent_on(past).await?;
        let over = |person: &&Person| matches!(person.state, State::Over);
        for person in self.people.iter().filter(over) {
            is_refused(person.equipment()).await?;
        }
        let guest = self.line(0, "paid0007").mac("02:00:00:00:03:02");
        let online = guest.dial().await.online();
        let timeout = online.session().context("online")?.grants.session_timeout;
        ensure!(
            timeout.is_some_and(|secs| secs <= 86_400),
            "a clock nobody vouches for gave {timeout:?}"
        );
        ensure!(online.hang_up().await, "his Stop is answered");
        self.site.stop_agent().await;
        self.site.start_agent().await
    }

    /// The cloud returns.
    async fn heal(mut self) -> Result<()> {
        let online = self.site.router.sessions().len();
        self.world.start_cloud().await?;
        self.site.caught_up().await?;
        for person in &mut self.people {
            if let State::Online(online, _) = &person.state {
                soon("a last update", online.interim()).await?;
            }
        }
        comes_to_agree(&self.isp, &self.site).await?;
        self.totals_are_the_routers().await?;

        let used = self
            .isp
            .owner
            .get("/vouchers?status=USED&pageSize=200")
            .await?;
        let used = used["vouchers"].as_array().context("vouchers")?.len();
        ensure!(
            used == self.vouchers,
            "{used} of {} vouchers are used",
            self.vouchers
        );
        ensure!(self.world.book_findings().await?.is_empty());
        ensure!(
            self.site.router.sessions().len() == online,
            "the return of the cloud cut somebody"
        );
        let counters = self.site.router.counters();
        let sessions = self.site.router.ledger().accounts().count();
        println!(
            "{} people, {sessions} sessions, {online} online at the end, {} requests",
            self.people.len(),
            counters.requests
        );
        self.site.stop().await;
        self.world.stop().await
    }

    /// V7 and V8: bytes to the byte, and open is what the router has open.
    async fn totals_are_the_routers(&self) -> Result<()> {
        let rows = all_sessions(&self.isp).await?;
        let sum = |field: &str| -> u64 { rows.iter().filter_map(|row| row[field].as_u64()).sum() };
        let ledger = self.site.router.ledger();
        let (mut up, mut down) = (0, 0);
        for account in ledger.accounts() {
            up += account.acknowledged.up;
            down += account.acknowledged.down;
        }
        ensure!(
            (sum("bytesIn"), sum("bytesOut")) == (up, down),
            "the cloud has {} and {}, the router {up} and {down}",
            sum("bytesIn"),
            sum("bytesOut")
        );
        let open = rows.iter().filter(|row| row["status"] == "active");
        let open: BTreeSet<&str> = open.filter_map(|row| row["sessionId"].as_str()).collect();
        let sessions = self.site.router.sessions();
        let listed: BTreeSet<&str> = sessions.iter().map(|session| session.id.as_str()).collect();
        ensure!(
            open == listed,
            "open at the API {open:?}, at the router {listed:?}"
        );
        Ok(())
    }
}

/// Past all of a router's resends.
const UNANSWERED: Duration = Duration::from_secs(3);
