//! The healing after it all, and what must agree then.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Result, bail, ensure};
use easyisp_shared::net::RateLimit;
use easyisp_tests::world::eventually;
use sqlx::Row as _;

use crate::agent::Row;
use crate::disk::Disk;
use crate::oracle::{Entitled, InCloud};
use crate::orders::Mood;
use crate::turmoil::Turmoil;

impl Turmoil {
    /// Tells the oracle what the cloud knows now; returns the site's head.
    pub(super) async fn look(&mut self) -> Result<u64> {
        let mut tx = self.world.db().begin(self.tenant).await?;
        let head: i64 = sqlx::query_scalar("select head from site_counters")
            .fetch_one(&mut *tx)
            .await?;
        let rows = sqlx::query(
            "select c.username, c.standing, c.paid_until, c.devices, p.devices as of_package,
                    p.upload_mbps, p.download_mbps
               from customers c
               left join packages p on p.tenant_id = c.tenant_id and p.id = c.package_id
              where c.deleted_at is null",
        )
        .fetch_all(&mut *tx)
        .await?;
        tx.rollback().await?;
        let mut people = BTreeMap::new();
        for row in rows {
            let own: Option<i32> = row.try_get("devices")?;
            let of_package: Option<i32> = row.try_get("of_package")?;
            let mbps: (Option<i32>, Option<i32>) =
                (row.try_get("upload_mbps")?, row.try_get("download_mbps")?);
            let rate = match mbps {
                (Some(up), Some(down)) => Some(RateLimit::mbps(up.try_into()?, down.try_into()?)),
                (_, _) => None,
            };
            let entitled = Entitled {
                active: row.try_get::<String, _>("standing")? == "ACTIVE",
                until: row.try_get("paid_until")?,
                devices: usize::try_from(own.or(of_package).unwrap_or(1))?,
                rate: rate.map(|rate| rate.to_mikrotik()),
                blur: Duration::ZERO,
            };
            people.insert(row.try_get("username")?, entitled);
        }
        let head = u64::try_from(head)?;
        self.oracle.states(head, people);
        Ok(head)
    }

    /// Everything works again: three exchanges later all agree (V6, V7, V8, V12, V1).
    pub(super) async fn heal(&mut self) -> Result<()> {
        self.router.orders.mood = Mood::Obeys;
        self.agent.set_disk(Disk::Sound)?;
        if !self.powered {
            self.box_gets_power().await?;
            // What it orders by an older copy of its cache is judged by that.
            self.enforce(0).await?;
        }
        while self.router.is_waiting() {
            self.tell_reports(0)?;
        }
        self.talk(u64::MAX).await?;
        // Who is online goes on telling so; who is not was given up after a day.
        self.pass(Duration::from_secs(25 * 3600), 0).await?;
        // Whom another box may have let in meanwhile is looked at once more when all is heard (V9).
        self.talk(u64::MAX).await?;
        self.pass(Duration::from_secs(60), 0).await?;
        let online: Vec<String> = self.router.sessions.keys().cloned().collect();
        for id in &online {
            let now = self.now();
            self.router.interim(id, now)?;
        }
        self.tell_reports(0)?;
        // On a busy machine the cloud is still at what came due with the time that passed.
        self.nothing_is_due().await?;
        for _ in 0..3 {
            self.talk(u64::MAX).await?;
            self.enforce(0).await?;
        }
        let head = self.look().await?;
        let cursor = self.agent.cursor();
        if cursor != head {
            let rows = self.rows().await?.into_iter();
            let missing: Vec<(u16, u64)> = rows
                .map(|(kind, _, version, _)| (kind, version))
                .filter(|(_, version)| *version > cursor)
                .collect();
            bail!("V12: the box holds {cursor} of {head}: not the kinds and versions {missing:?}");
        }
        ensure!(
            self.agent.rows()? == self.rows().await?,
            "V12: box and cloud hold different rows"
        );
        let told = self.told();
        for (id, session) in &self.router.sessions {
            self.enforcement
                .judge_healed(id, session, &told, self.doubt)?;
        }
        self.judge_slips().await?;
        let sessions = self.sessions().await?;
        self.oracle.compare(&sessions, &online)?;
        let findings = self.world.book_findings().await?;
        ensure!(findings.is_empty(), "V1: {findings:?}");
        self.money().await
    }

    /// Waits until the cloud has done by itself what is due now.
    pub(crate) async fn nothing_is_due(&self) -> Result<()> {
        let now = self.world.clock.now();
        eventually("the cloud does what is due", async || {
            let mut tx = self.world.db().directory().await?;
            let due: i64 =
                sqlx::query_scalar("select count(*) from directory.jobs where due_at <= $1")
                    .bind(now)
                    .fetch_one(&mut *tx)
                    .await?;
            Ok((due == 0).then_some(()))
        })
        .await
    }

    /// The feed as the cloud has it.
    async fn rows(&self) -> Result<Vec<Row>> {
        let mut tx = self.world.db().begin(self.tenant).await?;
        let rows = sqlx::query(
            "select kind, uuid_send(id) as id, version, body from feed where body is not null
              order by kind, id",
        )
        .fetch_all(&mut *tx)
        .await?;
        let read = |row: sqlx::postgres::PgRow| {
            let kind: i16 = row.try_get("kind")?;
            let version: i64 = row.try_get("version")?;
            anyhow::Ok((
                u16::try_from(kind)?,
                row.try_get("id")?,
                u64::try_from(version)?,
                row.try_get("body")?,
            ))
        };
        rows.into_iter().map(read).collect()
    }

    async fn sessions(&self) -> Result<Vec<InCloud>> {
        let mut tx = self.world.db().begin(self.tenant).await?;
        let rows = sqlx::query(
            "select acct_session_id, bytes_in, bytes_out, status,
                    concat_ws(' ', username, started_at, last_seen_at, stopped_at, terminate_cause) as told
               from sessions",
        )
        .fetch_all(&mut *tx)
        .await?;
        let read = |row: sqlx::postgres::PgRow| {
            let (up, down): (i64, i64) = (row.try_get("bytes_in")?, row.try_get("bytes_out")?);
            anyhow::Ok(InCloud {
                id: row.try_get("acct_session_id")?,
                octets: [u64::try_from(up)?, u64::try_from(down)?],
                open: row.try_get::<String, _>("status")? != "COMPLETED",
                told: row.try_get("told")?,
            })
        };
        rows.into_iter().map(read).collect()
    }

    /// Every payment is in the books once, and is a period or in the wallet (V2, V4).
    async fn money(&self) -> Result<()> {
        let mut tx = self.world.db().begin(self.tenant).await?;
        let paid: i64 = sqlx::query_scalar("select coalesce(sum(amount), 0)::bigint from payments")
            .fetch_one(&mut *tx)
            .await?;
        let kept: i64 = sqlx::query_scalar(
            "select ((select coalesce(sum(balance), 0) from wallets)
                   + (select coalesce(sum(price), 0) from periods
                       where customer_id not in (select id from vouchers)))::bigint",
        )
        .fetch_one(&mut *tx)
        .await?;
        let expected = i64::from(self.paid) * 500 * 100;
        if paid != expected || kept != expected {
            bail!(
                "V2, V4: {expected} was paid, {paid} is recorded, {kept} is in wallets and periods"
            );
        }
        let quarantined = eventually("the quarantine is read", async || {
            let mut tx = self.world.db().begin(self.tenant).await?;
            let count = sqlx::query_scalar("select count(*) from quarantine");
            Ok(Some(count.fetch_one(&mut *tx).await?))
        });
        let quarantined: i64 = quarantined.await?;
        ensure!(quarantined == 0, "{quarantined} reports were set aside");
        Ok(())
    }
}
