//! Codes on slips of paper: good once, for one device, for as long as they say, with the cloud gone or not (V5).

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use easyisp_shared::net::RateLimit;
use easyisp_shared::time::Timestamp;
use easyisp_tests::operator::Operator;
use rand::RngExt;
use serde_json::json;
use sqlx::Row as _;

use crate::clock::Doubt;
use crate::disk::Disk;
use crate::oracle::Entitled;
use crate::router::{Answer, Dial, Dialled, Service};
use crate::turmoil::{TROUBLE, Turmoil};

/// The slips that were sold.
pub struct Slips {
    slips: Vec<Slip>,
    /// The site version by which the box knows of them.
    pub made_by: u64,
}

struct Slip {
    /// The name its user gives.
    name: String,
    code: String,
    id: uuid::Uuid,
    /// The first use: when, by a clock that was so far off, and on which device.
    used: Option<(Timestamp, Doubt, String)>,
}

impl Slips {
    /// Makes some.
    pub async fn sell(owner: &Operator) -> Result<Slips> {
        let package = json!({"name": "Hour", "type": "HOTSPOT", "price": 20, "downloadSpeed": 4,
            "uploadSpeed": 2, "sessionTime": 60});
        let package = owner.post("/packages", &package).await?;
        let batch = json!({"count": COUNT, "packageId": package["id"], "type": "HOTSPOT"});
        let made = owner.post("/vouchers", &batch).await?;
        let text = |value: &serde_json::Value| value.as_str().map(str::to_owned);
        let mut slips = Vec::new();
        for voucher in made["vouchers"].as_array().context("vouchers")? {
            let code = text(&voucher["code"]).context("a code")?;
            slips.push(Slip {
                name: format!("V-{code}"),
                code,
                id: text(&voucher["id"]).context("an id")?.parse()?,
                used: None,
            });
        }
        Ok(Slips { slips, made_by: 0 })
    }

    /// The names their users give.
    pub fn names(&self) -> impl Iterator<Item = String> {
        self.slips.iter().map(|slip| slip.name.clone())
    }

    /// What stands on them.
    pub fn codes(&self) -> Vec<String> {
        self.slips.iter().map(|slip| slip.code.clone()).collect()
    }

    /// Who may be online by one.
    pub fn entitled(&self) -> impl Iterator<Item = (String, Entitled)> {
        self.slips.iter().filter_map(|slip| {
            let (at, doubt, _) = slip.used.as_ref()?;
            let entitled = Entitled {
                active: true,
                until: at.plus(WORTH),
                devices: 1,
                rate: Some(RateLimit::mbps(2, 4).to_mikrotik()),
                blur: doubt.behind.max(doubt.ahead),
            };
            Some((slip.name.clone(), entitled))
        })
    }
}

impl Turmoil {
    /// Somebody shows a code: who has it, or who saw it.
    pub(super) async fn code_is_shown(&mut self) -> Result<String> {
        if !self.powered {
            return self.box_gets_power().await;
        }
        let at = self.random.random_range(0..COUNT);
        let own = self.random.random_ratio(2, 3);
        let slip = &self.slips.slips[at];
        let mac = match &slip.used {
            Some((_, _, mac)) if own => mac.clone(),
            Some(_) | None => format!("AA:BB:CC:01:{at:02X}:0{}", self.random.random_range(1..4)),
        };
        let (name, code) = (slip.name.clone(), slip.code.clone());
        let dialled = |id: &&String| {
            let session = &self.router.sessions[*id];
            session.user == name && session.mac == mac
        };
        if let Some(id) = self.router.sessions.keys().find(dialled).cloned() {
            let now = self.now();
            self.router.end(&id, now)?;
        }
        let dial = Dial {
            user: &name,
            password: &code,
            mac: &mac,
            service: Service::Hotspot,
        };
        let dialled = self
            .router
            .log_in(&self.agent, &dial, TROUBLE, &mut self.random)?;
        let now = self.now();
        if let Answer::Accepted(id) = &dialled.answer {
            self.oracle.began(id, &name, &mac);
        }
        self.judge_shown(at, &mac, &dialled)?;
        self.tell_reports(TROUBLE)?;
        // The code is another in every run.
        Ok(format!("slip {at} is shown on {mac} at {now}: {dialled:?}"))
    }

    fn judge_shown(&mut self, at: usize, mac: &str, dialled: &Dialled) -> Result<()> {
        let (now, doubt) = (self.now(), self.doubt);
        let knows = self.cursor >= self.slips.made_by;
        let sound = self.agent.disk() == Disk::Sound;
        let slip = &mut self.slips.slips[at];
        ensure!(!dialled.unanswered, "V13: slip {at} on {mac} got no answer");
        let Some((since, then, device)) = &slip.used else {
            if dialled.decided_yes {
                ensure!(sound, "V5: slip {at} is used with nothing written");
                ensure!(knows, "V5: slip {at} is used where nobody knows of it");
                slip.used = Some((now, doubt, mac.to_owned()));
            }
            return Ok(());
        };
        let over = since.plus(WORTH + then.ahead + doubt.behind);
        if dialled.decided_yes {
            ensure!(
                device == mac,
                "V5: slip {at} is {device}'s and lets {mac} in"
            );
            ensure!(
                now < over,
                "V5: slip {at}, used since {since}, lets in at {now}, {doubt:?}"
            );
        }
        let runs = now.plus(then.behind + doubt.ahead) < since.plus(WORTH);
        ensure!(
            !(dialled.answer == Answer::Rejected && runs && knows && device == mac),
            "V9: slip {at}, used since {since} on {mac}, is refused at {now}, {doubt:?}"
        );
        Ok(())
    }

    /// After the healing: each slip that was used is one period in the cloud, from its first use on.
    pub(super) async fn judge_slips(&self) -> Result<()> {
        let mut tx = self.world.db().begin(self.tenant).await?;
        let rows = sqlx::query(
            "select v.id, v.status, v.used_at, v.used_until,
                    (select count(*) from periods p
                      where p.tenant_id = v.tenant_id and p.customer_id = v.id) as periods
               from vouchers v",
        )
        .fetch_all(&mut *tx)
        .await?;
        tx.rollback().await?;
        for slip in &self.slips.slips {
            let row = rows
                .iter()
                .find(|row| row.try_get::<uuid::Uuid, _>("id").ok() == Some(slip.id));
            let row = row.context("a voucher")?;
            let status: String = row.try_get("status")?;
            let (from, until): (Option<Timestamp>, Option<Timestamp>) =
                (row.try_get("used_at")?, row.try_get("used_until")?);
            let periods: i64 = row.try_get("periods")?;
            let Some((at, doubt, mac)) = &slip.used else {
                ensure!(
                    status == "AVAILABLE" && periods == 0,
                    "V5: a slip nobody used is {status}, {from:?} to {until:?}"
                );
                continue;
            };
            let (from, until) = (from.context("used")?, until.context("used")?);
            ensure!(
                status == "USED" && periods == 1 && until.since(from) == WORTH,
                "V5: a slip used at {at} on {mac} is {status} in {periods} periods, {from} to {until}"
            );
            ensure!(
                from >= at.minus(doubt.behind) && from <= at.plus(doubt.ahead),
                "V5: a slip used at {at} on {mac}, {doubt:?}, begins at {from} in the cloud"
            );
        }
        Ok(())
    }
}

/// How many there are.
const COUNT: usize = 4;
/// What each is worth.
const WORTH: Duration = Duration::from_secs(3600);
