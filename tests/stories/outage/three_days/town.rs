//! A provider's site and everybody around it.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::{Context, Result};
use easyisp_shared::entropy::Entropy;
use easyisp_shared::time::{Clock, Timestamp};
use easyisp_tests::router::subscriber::{Method, Subscriber};
use easyisp_tests::world::{Provider, Site, World, eventually};
use serde_json::{Value, json};

use super::OUTAGE;
use super::person::{Person, State, Until};
use crate::eap::supplicant::{Answer, Method as Tunnel};
use crate::eap::{PEAP, PLAIN, TTLS_MSCHAPV2, TTLS_PAP};
use crate::words::{DAY, HOUR, MINUTE, full};

/// Service after the paid end; a voucher has none.
const GRACE: Duration = Duration::from_secs(1800);
pub(super) const QUOTA: u64 = 100_000_000;
const PHONE: &str = "254712345611";

/// A provider's site and everybody around it.
pub(super) struct Town {
    pub(super) world: World,
    pub(super) isp: Provider,
    pub(super) site: Site,
    pub(super) chance: Entropy,
    pub(super) began: Timestamp,
    /// How often routers are watched.
    pub(super) step: Duration,
    /// When something is to be looked at.
    pub(super) instants: BTreeSet<Timestamp>,
    pub(super) people: Vec<Person>,
    pub(super) switches: Vec<Switch>,
    pub(super) quota_customer: String,
    pub(super) vouchers: usize,
}

/// A customer at a port that asks for EAP.
pub(super) struct Switch {
    pub(super) at: Timestamp,
    pub(super) name: &'static str,
    pub(super) tunnel: &'static Tunnel,
    pub(super) expected: Answer,
}

impl Town {
    pub(super) async fn open(chance: Entropy) -> Result<Town> {
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

    pub(super) fn now(&self) -> Timestamp {
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
    pub(super) fn watch(&mut self, end: Timestamp) {
        if end.plus(MINUTE) <= self.began.plus(OUTAGE) {
            self.instants.extend([end.minus(MINUTE), end.plus(MINUTE)]);
        }
    }

    pub(super) fn line(&self, number: u64, name: &str) -> Subscriber {
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
}

fn id(answer: &Value) -> Result<String> {
    Ok(answer["id"].as_str().context("an id")?.to_owned())
}
