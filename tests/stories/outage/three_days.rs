//! Three days without the cloud: customers come for the first time, use, end and are refused as on any other
//! day; afterwards the cloud knows all of it, once and to the byte.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use easyisp_shared::entropy::Entropy;
use easyisp_shared::time::{Clock, Timestamp};
use easyisp_tests::router::online::Online;
use easyisp_tests::router::session::{Cause, Usage};
use easyisp_tests::router::subscriber::{Dial, Method, Subscriber};
use easyisp_tests::world::{Provider, Site, World, eventually, soon};
use serde_json::{Value, json};

use crate::eap::supplicant::{Answer, Door, Method as Tunnel};
use crate::eap::{PEAP, PLAIN, TTLS_MSCHAPV2, TTLS_PAP};
use crate::words::{DAY, HOUR, MINUTE, all_sessions, comes_to_agree, full};

const OUTAGE: Duration = Duration::from_secs(72 * 3600);
/// Service after the paid end; a voucher has none.
const GRACE: Duration = Duration::from_secs(1800);
const QUOTA: u64 = 100_000_000;
const PHONE: &str = "254712345611";

/// D1, V6 to V9: every way to log in works for who never did before, nobody is let in or stays on past his
/// end, quotas hold over sessions, a box that restarts with a clock of last week keeps all of that; and
/// the cloud then has what was acknowledged, and the router's own sessions.
#[tokio::test(flavor = "multi_thread")]
async fn seventy_two_hours_without_the_cloud_lose_and_give_away_nothing() -> Result<()> {
    let seed = rand::random();
    println!("seed {seed}");
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

/// A provider's site and everybody around it.
struct Town {
    world: World,
    isp: Provider,
    site: Site,
    chance: Entropy,
    began: Timestamp,
    /// How often routers are watched.
    step: Duration,
    /// When something is to be looked at.
    instants: BTreeSet<Timestamp>,
    people: Vec<Person>,
    switches: Vec<Switch>,
    quota_customer: String,
    vouchers: usize,
}

/// Somebody with a line, a device or a slip of paper.
struct Person {
    /// What his equipment shows the first time.
    line: Subscriber,
    /// What it shows from then on, where that is something else.
    later: Option<Subscriber>,
    arrives: Timestamp,
    until: Until,
    /// When he has had enough, before that.
    leaves: Option<Timestamp>,
    /// Bytes left of a quota.
    left: Option<u64>,
    state: State,
}

/// When service ends, with all grace.
#[derive(Clone, Copy)]
enum Until {
    At(Timestamp),
    AfterFirstUse(Duration),
}

enum State {
    NotYet,
    /// Interim updates that had been answered when it was last looked at.
    Online(Online, u32),
    /// Hung up with time left.
    Gone,
    /// Ended, and is refused.
    Over,
}

/// A customer at a port that asks for EAP.
struct Switch {
    at: Timestamp,
    name: &'static str,
    tunnel: &'static Tunnel,
    expected: Answer,
}

impl Town {
    async fn open(chance: Entropy) -> Result<Town> {
        // eapol_test looks at the system's clock.
        let began = Timestamp::from_secs(Clock::system().now().secs());
        let world = World::start_on(Clock::test(began)).await?;
        let isp = Provider::sign_up(&world, "threedays").await?;
        let site = Site::open(&world, &isp).await?;
        let grace = json!({"graceMinutes": GRACE.as_secs() / 60});
        isp.owner.put("/tenant/enforcement", &grace).await?;
        let devices = json!({"macLogin": true, "rememberedMacs": 1});
        isp.owner.put("/tenant/settings", &devices).await?;
        let minutes = if full() { 5 } else { 15 };
        let mut town = Town {
            world,
            isp,
            site,
            chance,
            began,
            step: minutes * MINUTE,
            instants: BTreeSet::new(),
            people: Vec::new(),
            switches: Vec::new(),
            quota_customer: String::new(),
            vouchers: 0,
        };
        let steps = OUTAGE.as_secs() / town.step.as_secs();
        let grid = (1..=u32::try_from(steps)?).map(|number| town.began.plus(town.step * number));
        town.instants = grid.collect();
        town.populate().await?;
        town.arrive().await?;
        Ok(town)
    }

    async fn populate(&mut self) -> Result<()> {
        let many = if full() { 1000 } else { 200 };
        for number in 0..many {
            match number % 20 {
                0 => self.add_quota(number).await?,
                1..7 => self.add_ending(number).await?,
                _ => self.add_paid(number).await?,
            }
        }
        let hour = json!({"name": "Hour", "type": "HOTSPOT", "price": 20, "downloadSpeed": 4,
            "uploadSpeed": 2, "sessionTime": 60});
        let hour = id(&self.isp.owner.post("/packages", &hour).await?)?;
        self.add_devices(&hour).await?;
        self.add_vouchers(&hour, many / 20).await?;
        self.add_switches().await?;
        let (vouchers, site) = (self.vouchers, &self.site.agent().overview().site);
        eventually("the site has its vouchers and policy", async || {
            let policy = site.policy();
            let told = policy.row.as_ref().is_some_and(|row| row.mac_login)
                && policy.entitlement.grace == GRACE;
            Ok((told && site.vouchers_held() == vouchers).then_some(()))
        })
        .await
    }

    fn now(&self) -> Timestamp {
        self.world.clock.now()
    }

    /// An instant of the grid before `end`; the first people were there before the cloud went.
    fn arrival(&self, number: u64, end: Timestamp) -> Timestamp {
        let steps = end.since(self.began).as_secs() / self.step.as_secs();
        let step = if number.is_multiple_of(4) {
            0
        } else {
            self.chance.below(steps.saturating_sub(1).max(1))
        };
        self.began
            .plus(Duration::from_secs(step * self.step.as_secs()))
    }

    fn move_in(&mut self, line: Subscriber, arrives: Timestamp, until: Until) {
        self.people.push(Person {
            line,
            later: None,
            arrives,
            until,
            leaves: None,
            left: None,
            state: State::NotYet,
        });
        if let Until::At(end) = until {
            self.watch(end);
        }
    }

    /// A minute before and a minute after an end somebody looks.
    fn watch(&mut self, end: Timestamp) {
        if end.plus(MINUTE) <= self.began.plus(OUTAGE) {
            self.instants.extend([end.minus(MINUTE), end.plus(MINUTE)]);
        }
    }

    fn line(&self, number: u64, name: &str) -> Subscriber {
        let methods = [Method::Pap, Method::Chap, Method::MsChapV2];
        let method = methods[usize::try_from(number % 3).expect("below three")];
        self.site.router.subscriber(name, name, method)
    }

    async fn add_paid(&mut self, number: u64) -> Result<()> {
        let name = format!("paid{number:04}");
        let end = self.began.plus(30 * DAY);
        self.isp
            .add_subscriber(&name, PHONE, end.minus(GRACE))
            .await?;
        let arrives = self.arrival(number, self.began.plus(OUTAGE));
        self.move_in(self.line(number, &name), arrives, Until::At(end));
        if !number.is_multiple_of(5) {
            let hours = self.chance.below(12) * 3600;
            let leaves = arrives.plus(HOUR + Duration::from_secs(hours));
            self.people.last_mut().context("he moved in")?.leaves = Some(leaves);
        }
        Ok(())
    }

    async fn add_ending(&mut self, number: u64) -> Result<()> {
        let name = format!("ends{number:04}");
        let hour = self.chance.below(OUTAGE.as_secs() - 2 * 3600);
        let end = self.began.plus(HOUR + Duration::from_secs(hour));
        self.isp
            .add_subscriber(&name, PHONE, end.minus(GRACE))
            .await?;
        let arrives = self.arrival(number, end);
        self.move_in(self.line(number, &name), arrives, Until::At(end));
        Ok(())
    }

    async fn add_quota(&mut self, number: u64) -> Result<()> {
        if self.quota_customer.is_empty() {
            let package = json!({"name": "Quota", "type": "PPPOE", "price": 500, "downloadSpeed": 10,
                "uploadSpeed": 10, "dataLimit": QUOTA, "devices": 2});
            self.quota_customer = id(&self.isp.owner.post("/packages", &package).await?)?;
        }
        let (package, name) = (self.quota_customer.clone(), format!("gets{number:04}"));
        let end = self.began.plus(30 * DAY);
        let until = end.minus(GRACE).to_string();
        self.isp
            .owner
            .add_customer(&name, &package, PHONE, &until)
            .await?;
        // He arrives early enough to use all of it.
        let arrives = self.arrival(number, self.began.plus(OUTAGE / 2));
        self.move_in(self.line(number, &name), arrives, Until::At(end));
        self.people.last_mut().context("he moved in")?.left = Some(QUOTA);
        Ok(())
    }

    /// A guest types his name once; from then on the device is known by its address.
    async fn add_devices(&mut self, package: &str) -> Result<()> {
        for number in 0u8..3 {
            let name = format!("guest{number}");
            let end = self.began.plus(30 * DAY);
            let guest = json!({"username": name, "password": name, "name": "Guest",
                "connectionType": "HOTSPOT", "packageId": package,
                "expiresAt": end.minus(GRACE).to_string()});
            self.isp.owner.post("/customers", &guest).await?;
            let hour = self.chance.below(60) * 3600;
            let arrives = self.began.plus(HOUR + Duration::from_secs(hour));
            let mac = format!("02:00:00:00:01:{number:02X}");
            let typed = self.phone(&name, &name, &mac);
            let known = self.phone(&mac, "", &mac);
            self.move_in(typed, arrives, Until::At(end));
            self.people.last_mut().context("he moved in")?.later = Some(known);
        }
        Ok(())
    }

    async fn add_vouchers(&mut self, package: &str, many: u64) -> Result<()> {
        let order = json!({"count": many, "packageId": package, "type": "HOTSPOT"});
        let made = self.isp.owner.post("/vouchers", &order).await?;
        let made = made["vouchers"].as_array().context("vouchers")?.clone();
        for (number, voucher) in (0u64..).zip(&made) {
            let code = voucher["code"].as_str().context("a code")?;
            let (name, password) = match number % 4 {
                0 => (code.to_owned(), code.to_owned()),
                1 => (format!("V-{code}"), code.to_owned()),
                2 => (
                    format!("{}-{}", &code[..5], &code[5..]).to_lowercase(),
                    String::new(),
                ),
                _ => (format!("v-{}", code.to_lowercase()), code.to_owned()),
            };
            let mac = format!("02:00:00:00:02:{number:02X}");
            let arrives = self.arrival(number + 1, self.began.plus(OUTAGE));
            let phone = self.phone(&name, &password, &mac);
            self.move_in(phone, arrives, Until::AfterFirstUse(HOUR));
        }
        self.vouchers = made.len();
        Ok(())
    }

    /// One customer for each of EAP's methods, and one whose time is over when he comes.
    async fn add_switches(&mut self) -> Result<()> {
        let plans: [(_, _, &'static Tunnel, _); 5] = [
            (2, "ikev", &PLAIN, Answer::Accepted),
            (20, "wired", &PEAP, Answer::Accepted),
            (40, "phone", &TTLS_PAP, Answer::Accepted),
            (60, "laptop", &TTLS_MSCHAPV2, Answer::Accepted),
            (61, "late", &PEAP, Answer::Refused),
        ];
        for (hour, name, tunnel, expected) in plans {
            let at = self.began.plus(HOUR * hour);
            let end = match expected {
                Answer::Accepted => at.plus(HOUR),
                Answer::Refused | Answer::Broken => at.minus(MINUTE),
            };
            self.isp
                .add_subscriber(name, PHONE, end.minus(GRACE))
                .await?;
            self.site.knows(name, "at all", |_| true).await?;
            self.switches.push(Switch {
                at,
                name,
                tunnel,
                expected,
            });
        }
        Ok(())
    }

    fn phone(&self, name: &str, password: &str, mac: &str) -> Subscriber {
        let last = mac
            .bytes()
            .fold(0u8, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte));
        self.site
            .router
            .subscriber(name, password, Method::Pap)
            .hotspot(Ipv4Addr::new(10, 5, 50, last.max(1)))
            .mac(mac)
    }

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
                    } else if online.session().is_some() && self.chance.below(60) == 0 {
                        person.redial(now).await?;
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

impl Person {
    /// What logs in from now on.
    fn equipment(&self) -> &Subscriber {
        match (&self.state, &self.later) {
            (State::NotYet, _) | (_, None) => &self.line,
            (State::Online(..) | State::Gone | State::Over, Some(later)) => later,
        }
    }

    /// Dials and gets exactly what is left.
    async fn dial(&mut self, now: Timestamp) -> Result<()> {
        let dial = self.equipment().dial().await;
        let Dial::Online(online) = dial else {
            anyhow::bail!("{dial:?} for who has time left");
        };
        soon("the Start is answered", online.started()).await?;
        let grants = online.session().context("online")?.grants;
        if let Until::At(end) = self.until {
            let left = u32::try_from(end.since(now).as_secs())?;
            ensure!(
                grants.session_timeout == Some(left),
                "{:?} where {left} s are left",
                grants.session_timeout
            );
        }
        ensure!(
            grants.total_limit == self.left,
            "{:?} where {:?} bytes are left",
            grants.total_limit,
            self.left
        );
        self.state = State::Online(online, 0);
        Ok(())
    }

    async fn redial(&mut self, now: Timestamp) -> Result<()> {
        if let State::Online(online, _) = &self.state {
            ensure!(
                soon("a Stop", online.hang_up()).await?,
                "his Stop is answered"
            );
        }
        self.dial(now).await
    }
}

/// Waits until a session is off the router and its Stop was answered.
async fn is_over(online: &Online, causes: &[Cause]) -> Result<()> {
    let user = online.account().user;
    let ended = soon(&format!("{user} is cut off"), online.ended()).await;
    let (cause, _) = ended?;
    ensure!(causes.contains(&cause), "{user} ended by {cause:?}");
    let settled = online.when(|account| account.settled.then_some(account.stop_acknowledged));
    ensure!(
        soon("a Stop", settled).await?,
        "the Stop of {user} is answered"
    );
    Ok(())
}

async fn is_refused(equipment: &Subscriber) -> Result<()> {
    let dial = equipment.dial().await;
    ensure!(
        matches!(dial, Dial::Rejected(_)),
        "{dial:?} for who is past his end"
    );
    Ok(())
}

fn id(answer: &Value) -> Result<String> {
    Ok(answer["id"].as_str().context("an id")?.to_owned())
}

/// Past all of a router's resends.
const UNANSWERED: Duration = Duration::from_secs(3);
