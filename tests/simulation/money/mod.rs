//! What customers pay, to two providers on one platform: asked for and by themselves, told of once, twice, late,
//! wrongly, by strangers or not at all, while operators recharge, take back, send back with or without the time it had
//! bought, allocate, sell out of a float and let customers go away for a while, and the line to the database is cut at any
//! statement.
//!
//! A seed decides what is tried; what of it wins where several things happen at once, PostgreSQL does. After every
//! step the rows must be what some order of it gives ([`model`]) and no receipt may be credited that M-Pesa does not
//! have on its books, or twice (V1, V2, V4, V5). After the healing every shilling is posted, without a person
//! within the times of V3, or waits in the list of those that a person must decide ([`judge`]).

mod acts;
mod back;
mod choice;
mod eyes;
mod judge;
mod model;
mod more;
mod outside;
mod people;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use easyisp_shared::time::Timestamp;
use easyisp_tests::kept::{AUDITOR, KeptDatabase};
use easyisp_tests::operator::http_client;
use easyisp_tests::scenario::{Errand, Payer};
use easyisp_tests::wiretap::Scissors;
use easyisp_tests::world::{PATIENCE, World};
use futures_util::future::join_all;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use sqlx::pool::PoolConnection;
use sqlx::{PgPool, Postgres};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::Life;
use acts::Deed;
use eyes::Seen;
use people::Isp;

/// One life of two providers' money.
pub struct Money {
    trace: Vec<String>,
    random: SmallRng,
    /// What is sent back.
    back: SmallRng,
    /// What else is done.
    more: SmallRng,
    world: World,
    scissors: Scissors,
    /// The cloud's connections.
    pool: PgPool,
    eyes: PoolConnection<Postgres>,
    http: reqwest::Client,
    /// Somebody whose address is not M-Pesa's.
    stranger: reqwest::Client,
    isps: Vec<Isp>,
    known: Known,
    seen: Seen,
    /// Makes every repeat the same request.
    keys: u64,
    begun: Timestamp,
    /// No cloud that died holds anything any more: what is claimed is being done.
    all_alive: bool,
}

/// What was done, and what follows from it for whose money is whose.
#[derive(Default)]
struct Known {
    /// What a payer meant who sent money by himself.
    meant: BTreeMap<String, Meant>,
    /// True receipts of which a stranger told something else: a person must look.
    blurred: BTreeSet<String>,
    /// To whom a person gave a receipt, the last one last.
    given: BTreeMap<String, BTreeSet<Uuid>>,
    /// Payments typed by hand, and whether they were taken back.
    by_hand: BTreeMap<Uuid, ByHand>,
    /// Codes that were answered with success.
    redeemed: BTreeSet<String>,
    codes_shown: BTreeSet<String>,
    /// What each provider's seller loaded, by the key of the request.
    loaded: BTreeMap<(Uuid, u64), i64>,
    /// Whose time is stopped or goes on again in this step, as an operator may have it.
    paused: BTreeSet<Uuid>,
    resumed: BTreeSet<Uuid>,
    /// Customers and packages whose price or package is being changed in this step: what it may be too.
    also: BTreeMap<Uuid, Vec<model::Plan>>,
}

struct Meant {
    tenant: Uuid,
    /// `None`: nobody can know.
    owner: Option<Uuid>,
}

struct ByHand {
    customer: Uuid,
    amount: i64,
    taken_back: bool,
}

impl Life for Money {
    const TEST: &'static str = "every_seed_books_every_shilling_once";
    const STEPS: usize = 50;
    const SEEDS: u64 = 10;
    // Such a life often waits a millisecond for what is under way.
    const AT_ONCE: usize = 2;
    const FOUND: &'static [u64] = &[
        // A prompt was credited on a query's word, and its confirmation of another amount beside it; and the other
        // way round.
        4, 10,
    ];

    async fn database() -> Result<KeptDatabase> {
        KeptDatabase::open_over_line(6).await
    }

    async fn begin(seed: u64, database: &KeptDatabase) -> Result<Money> {
        let random = SmallRng::seed_from_u64(seed);
        let world = World::start_over_with(database, |config| {
            // Where the pretend M-Pesa's own calls come from.
            config.mpesa.sources = vec!["127.0.0.1/32".parse().expect("a network")];
        });
        let world = world.await?;
        let eyes = database.eyes().acquire().await?;
        let isps = vec![
            Isp::open(&world, "north", "600001", true).await?,
            Isp::open(&world, "south", "600002", false).await?,
        ];
        let stranger = reqwest::Client::builder()
            .local_address(std::net::IpAddr::from([127, 0, 0, 9]))
            .no_proxy()
            .tls_danger_accept_invalid_certs(true)
            .build()?;
        let mut money = Money {
            trace: Vec::new(),
            random,
            back: SmallRng::seed_from_u64(!seed),
            more: SmallRng::seed_from_u64(seed ^ 0x5e11),
            pool: database.pool(),
            scissors: database.scissors().context("a line that can be cut")?,
            eyes,
            http: http_client(),
            stranger,
            isps,
            known: Known::default(),
            seen: Seen::default(),
            keys: 0,
            all_alive: false,
            begun: world.clock.now(),
            world,
        };
        money.seen = eyes::look(&mut money.eyes).await?;
        Ok(money)
    }

    async fn run(&mut self, steps: usize) -> Result<()> {
        for step in 0..steps {
            let what = self.step().await;
            let what = what.with_context(|| format!("step {step}"))?;
            self.trace.push(format!("{step:>3} {what}"));
            let judged = self.settle_and_judge().await;
            judged.with_context(|| format!("after step {step}: {what}"))?;
            let back = self.some_money_goes_back().await;
            let back = back.with_context(|| format!("behind step {step}"))?;
            self.judge_too(step, back).await?;
            let more = self.something_more().await;
            let more = more.with_context(|| format!("behind step {step}"))?;
            self.judge_too(step, more).await?;
        }
        self.heal().await
    }

    fn take_trace(&mut self) -> Vec<String> {
        std::mem::take(&mut self.trace)
    }

    async fn end(self) -> Result<()> {
        drop(self.eyes);
        self.world.stop().await
    }
}

impl Money {
    fn now(&self) -> Timestamp {
        self.world.clock.now()
    }

    /// Judges what was done behind a step, if anything was.
    async fn judge_too(&mut self, step: usize, what: Option<String>) -> Result<()> {
        let Some(what) = what else { return Ok(()) };
        self.trace.push(format!("    {what}"));
        let judged = self.settle_and_judge().await;
        judged.with_context(|| format!("behind step {step}: {what}"))
    }

    async fn step(&mut self) -> Result<String> {
        let what = self.random.random_range(0..100);
        match what {
            0..22 => return Ok(self.time_passes()),
            22..40 => return self.outside_acts().await,
            _ => {}
        }
        let mut deeds = vec![self.some_deed()];
        // Two at once: another one, or the same one once more.
        match self.random.random_range(0..6) {
            0 => deeds.push(self.some_deed()),
            1 => deeds.push(deeds[0].clone()),
            _ => {}
        }
        let words: Vec<String> = deeds.iter().map(Deed::to_string).collect();
        let words = words.join(" and ");
        for deed in &deeds {
            self.expect(deed);
        }
        if self.random.random_ratio(1, 7) {
            let statements = self.random.random_range(0..40);
            let answered = self.random.random();
            self.crash(&deeds, statements, answered).await?;
            return Ok(format!(
                "{words}; the cloud dies {statements} statements later, the last answered: {answered}"
            ));
        }
        let answers = join_all(deeds.iter().map(|deed| self.perform(deed))).await;
        for (deed, answer) in deeds.iter().zip(&answers) {
            let answer = answer
                .as_ref()
                .with_context(|| format!("{deed} is not answered"))?;
            self.heard(deed, answer)?;
        }
        self.hear_who_was_last(&deeds).await?;
        let statuses: Vec<u16> = answers.iter().flatten().map(|answer| answer.0).collect();
        Ok(format!("{words}: {statuses:?}"))
    }

    /// Of two changes of one thing at once either may be the last; which, the rows say.
    async fn hear_who_was_last(&mut self, deeds: &[Deed]) -> Result<()> {
        match deeds {
            [
                Deed::Package {
                    isp,
                    person,
                    package,
                },
                Deed::Package {
                    isp: same_isp,
                    person: same_person,
                    package: other,
                },
            ] if (isp, person) == (same_isp, same_person) => {
                let isp = &mut self.isps[*isp];
                let person = &mut isp.people[*person];
                let last: Uuid =
                    sqlx::query_scalar("select package_id from customers where id = $1")
                        .bind(person.id)
                        .fetch_one(&mut *self.eyes)
                        .await?;
                let mut either = [*package, *other].into_iter();
                let last = either.find(|nth| isp.packages[*nth].id == last);
                person.package = last.context("neither package is his")?;
            }
            [
                Deed::Price {
                    isp,
                    package,
                    shillings,
                },
                Deed::Price {
                    isp: same_isp,
                    package: same_package,
                    shillings: other,
                },
            ] if (isp, package) == (same_isp, same_package) => {
                let package = &mut self.isps[*isp].packages[*package];
                let price: i64 = sqlx::query_scalar("select price from packages where id = $1")
                    .bind(package.id)
                    .fetch_one(&mut *self.eyes)
                    .await?;
                ensure!(
                    [shillings * 100, other * 100].contains(&price),
                    "neither price is its"
                );
                package.plan.price = price;
            }
            _ => {} // one after the other
        }
        Ok(())
    }

    /// The line is cut while this is done. What was not answered is asked for again once the cloud is back.
    async fn crash(&mut self, deeds: &[Deed], statements: u64, answered: bool) -> Result<()> {
        self.scissors.cut_in(statements, answered);
        join_all(deeds.iter().map(|deed| self.perform(deed))).await;
        self.scissors.cut();
        let stopping = tokio::time::timeout(PATIENCE, self.world.stop_cloud()).await;
        stopping.context("the cloud does not stop")??;
        // Nothing of it is left but what was committed.
        while let Some(dead) = self.pool.try_acquire() {
            drop(dead.detach());
        }
        self.rolled_back().await?;
        self.scissors.mend();
        self.world.start_cloud().await?;
        for deed in deeds {
            // A second tap would wait for the first one's push, whose answer nobody heard.
            if matches!(deed, Deed::Push { .. }) {
                continue;
            }
            let mut answer = None;
            for _ in 0..5 {
                answer = self.perform(deed).await.filter(|answer| answer.0 < 500);
                if answer.is_some() {
                    break;
                }
            }
            let answer =
                answer.with_context(|| format!("{deed} is not answered after a restart"))?;
            self.heard(deed, &answer)?;
        }
        Ok(())
    }

    /// Waits until the server has noticed that its clients are dead.
    async fn rolled_back(&mut self) -> Result<()> {
        for _ in 0..2_000 {
            let left: i64 = sqlx::query_scalar(
                "select count(*) from pg_stat_activity
                  where datname = current_database() and usename = 'easyisp_app'
                    and application_name <> $1",
            )
            .bind(AUDITOR)
            .fetch_one(&mut *self.eyes)
            .await?;
            if left == 0 {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        anyhow::bail!("the server holds connections of a dead client")
    }

    fn time_passes(&mut self) -> String {
        let passed = self.now().since(self.begun);
        let secs = match self.random.random_range(0..10) {
            0..4 => self.random.random_range(1..30),
            4..8 => self.random.random_range(30..700),
            // What nobody tells of within two days is nothing that a pull could find.
            _ if passed > Duration::from_secs(20 * 3_600) => 30,
            _ => self.random.random_range(700..9_000),
        };
        self.world.clock.advance(Duration::from_secs(secs));
        format!("{secs} s pass")
    }

    /// Lets everything happen that is due now, and judges what is seen then.
    async fn settle_and_judge(&mut self) -> Result<()> {
        self.settle().await?;
        let seen = eyes::look(&mut self.eyes).await?;
        let judged = self.judge(&seen);
        self.seen = seen;
        self.known.also.clear();
        self.known.paused.clear();
        self.known.resumed.clear();
        judged?;
        let findings = self.world.book_findings().await?;
        ensure!(findings.is_empty(), "verify: {findings:?}");
        Ok(())
    }

    /// Waits until no word is on its way, every report is worked on and no job is due. What a dead cloud has
    /// claimed is due when its lease ends.
    async fn settle(&mut self) -> Result<()> {
        let mut quiet = 0;
        let rounds = if self.all_alive { 10_000 } else { 400 };
        for round in 0..rounds {
            for _ in 0..20 {
                tokio::task::yield_now().await;
            }
            let (reports, due, claimed): (i64, i64, i64) = sqlx::query_as(
                "select (select count(*) from payment_inbox where processed_at is null),
                        (select count(*) from directory.jobs
                          where due_at <= $1 and (lease_until is null or lease_until <= $1)
                            and (kind like 'payments.%' or kind like 'renewals.%' or kind like 'customers.%'
                                 or kind like 'packages.%')),
                        (select count(*) from directory.jobs where due_at <= $1 and lease_until > $1
                            and (kind like 'payments.%' or kind like 'renewals.%'))",
            )
            .bind(self.now())
            .fetch_one(&mut *self.eyes)
            .await?;
            if due > 0 {
                self.second_node().await?;
            }
            // A report that its node died over is taken up again five seconds later, by the clock.
            let waits = round < 25 && reports + claimed > 0 || self.all_alive && claimed > 0;
            match due == 0 && !waits && self.world.outside.mpesa.is_quiet() {
                true => quiet += 1,
                false => quiet = 0,
            }
            if quiet == 2 {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        anyhow::bail!("it does not come to rest")
    }

    /// Another node of the cloud does what is due at once: one that runs looks up once a second.
    async fn second_node(&mut self) -> Result<()> {
        let app = &self.world.cloud().app;
        let stop = CancellationToken::new();
        let node = easyisp_cloud::jobs(app).run(app.db.clone(), app.clock.clone(), stop.clone());
        let node = tokio::spawn(node);
        for _ in 0..500 {
            tokio::time::sleep(Duration::from_millis(1)).await;
            let due: i64 = sqlx::query_scalar(
                "select count(*) from directory.jobs
                  where due_at <= $1 and (lease_until is null or lease_until <= $1)
                    and (kind like 'payments.%' or kind like 'renewals.%' or kind like 'customers.%'
                         or kind like 'packages.%')",
            )
            .bind(self.now())
            .fetch_one(&mut *self.eyes)
            .await?;
            if due == 0 {
                break;
            }
        }
        stop.cancel();
        Ok(node.await?)
    }

    /// Everything works again and everything that waited arrives. V3: what can be asked after is posted within five
    /// minutes or its next question, what M-Pesa lists within its next pull; a statement tells the rest.
    async fn heal(&mut self) -> Result<()> {
        let mpesa = self.world.outside.mpesa.clone();
        mpesa.outage(easyisp_tests::scenario::Outage::None);
        mpesa.script_everybody(Payer::prompt());
        mpesa.script_errands(Errand::default());
        for phone in people::PHONES {
            mpesa.script(phone, Payer::prompt());
        }
        let books = mpesa.books();
        for prompt in books.transactions() {
            mpesa.release(&prompt.checkout_request_id);
        }
        for direct in books.direct() {
            mpesa.release(&direct.receipt);
        }
        for errand in books.errands() {
            let name = errand.about.as_deref().or(errand.phone.as_deref());
            mpesa.release(name.unwrap_or_default());
        }
        let healed = self.now();
        self.pass("healing", 12, 30).await?;
        self.asked_after(healed, Duration::from_secs(110 * 60))?;
        self.pass("an hour later", 7, 600).await?;
        self.asked_after(healed, Duration::from_secs(22 * 3_600))?;
        for isp in 0..self.isps.len() {
            if self.isps[isp].pulls {
                self.all_listed(isp)?;
            } else {
                let deed = Deed::Statement { isp };
                self.expect(&deed);
                let answer = self
                    .perform(&deed)
                    .await
                    .context("a statement is compared")?;
                self.heard(&deed, &answer)?;
                self.settle_and_judge().await?;
                self.all_listed(isp)?;
            }
        }
        // Every lease of before ends with the first five hours.
        self.pass("hours later", 1, 5 * 3_600).await?;
        self.all_alive = true;
        self.pass("a day later", 4, 5 * 3_600).await?;
        for isp in 0..self.isps.len() {
            self.all_listed(isp)?;
        }
        self.decided()?;
        self.at_rest().await
    }

    async fn pass(&mut self, what: &str, times: u32, secs: u64) -> Result<()> {
        for nth in 0..times {
            self.world.clock.advance(Duration::from_secs(secs));
            let judged = self.settle_and_judge().await;
            judged.with_context(|| format!("{what}, {nth} times {secs} s"))?;
        }
        self.trace.push(format!("    {what}"));
        Ok(())
    }
}
