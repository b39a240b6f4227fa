//! A cloud's door on a database of its own, with one tenant and what its sites should know.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use easyisp_agent::sync::{Identity, enroll};
use easyisp_cloud::db::{Database, Kind, Projection, Projectors};
use easyisp_cloud::nodes::Nodes;
use easyisp_cloud::secrets::{SITE_KEY, Secrets};
use easyisp_cloud::sites::agents::{self, Standing, rotation};
use easyisp_cloud::sites::edge;
use easyisp_cloud::sites::reports::{Applier, Appliers};
use easyisp_cloud::sync::{Agents, Door, DoorConfig, PATIENCE as DOOR_PATIENCE, care};
use easyisp_shared::entropy::Entropy;
use easyisp_shared::id::{SiteId, TenantId};
use easyisp_shared::seal::SealKey;
use easyisp_shared::time::{Clock, Timestamp};
use easyisp_shared::wire::{JoinToken, Up, UpKind};
use easyisp_tests::database::{FreshDatabase, fresh_database};
use easyisp_tests::ports;
use sqlx::{Connection, PgConnection};
use tempfile::TempDir;
use uuid::Uuid;

type Things = Arc<Mutex<BTreeMap<Uuid, (SiteId, Vec<u8>)>>>;

pub struct World {
    pub db: Database,
    pub clock: Clock,
    pub standing: Standing,
    pub tenant: TenantId,
    pub site: SiteId,
    secrets: Secrets,
    things: Things,
    door: Option<Door>,
    folder: TempDir,
    boxes: Mutex<u32>,
    fresh: FreshDatabase,
}

/// What a database held.
pub struct Backup {
    logins: Vec<Uuid>,
    marks: Vec<(i16, i64)>,
}

impl World {
    /// A cloud with one tenant, one site and an open door.
    pub async fn start() -> Result<World> {
        let fresh = fresh_database().await?;
        let entropy = Entropy::seeded(1);
        let things = Things::default();
        let db = Database::connect(fresh.app(), 10, entropy.clone(), projectors(&things)).await?;
        let clock = Clock::test(START);
        db.ensure_partitions(START).await?;
        let secrets = Secrets::new(SealKey::generate(&entropy), entropy);
        let standing = agents::standing(&db, &secrets, START).await?;
        let mut world = World {
            db,
            clock,
            standing,
            tenant: TenantId(Uuid::nil()),
            site: SiteId(Uuid::nil()),
            secrets,
            things,
            door: None,
            folder: TempDir::new()?,
            boxes: Mutex::new(0),
            fresh,
        };
        (world.tenant, world.site) = world.given_tenant(1).await?;
        world.open_door(ports::free_here()?).await?;
        Ok(world)
    }

    /// Another tenant with a site of its own.
    pub async fn given_tenant(&self, number: u128) -> Result<(TenantId, SiteId)> {
        let tenant = TenantId(Uuid::from_u128(number));
        let site = SiteId(Uuid::from_u128(1000 + number));
        let mut tx = self.db.begin(tenant).await?;
        sqlx::query("insert into directory.tenants (tenant_id, created_at) values ($1, $2)")
            .bind(tenant)
            .bind(START)
            .execute(&mut *tx)
            .await?;
        sqlx::query(
            "insert into tenants (tenant_id, slug, business_name, email, status, time_zone, currency, created_at, updated_at)
             values ($1, $1::text, 'Demo', 'demo@isp.example', 'ACTIVE', 'Africa/Nairobi', 'KES', $2, $2)",
        )
        .bind(tenant)
        .bind(START)
        .execute(&mut *tx)
        .await?;
        let key = self.secrets.create_tenant_key(&mut tx, START).await?;
        sqlx::query(
            "with site as (
                 insert into sites (tenant_id, id, name, key_sealed, created_at, updated_at)
                 values ($1, $2, 'Main site', $3, $4, $4) returning tenant_id, id)
             insert into site_counters (tenant_id, site_id) select tenant_id, id from site",
        )
        .bind(tenant)
        .bind(site)
        .bind(key.seal(SITE_KEY, site.0, &[7; 32]))
        .bind(START)
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok((tenant, site))
    }

    pub async fn close_door(&mut self) {
        if let Some(door) = self.door.take() {
            door.close().await;
        }
    }

    pub async fn open_door(&mut self, listen: SocketAddr) -> Result<()> {
        self.door = Some(self.another_node(listen).await?);
        Ok(())
    }

    /// The door of a node on this database.
    pub async fn another_node(&self, listen: SocketAddr) -> Result<Door> {
        self.node(listen, DOOR_PATIENCE).await
    }

    /// The same of one that waits no longer than this for an agent's answer.
    pub async fn impatient(&mut self, patience: Duration) -> Result<()> {
        self.close_door().await;
        self.door = Some(self.node(ports::free_here()?, patience).await?);
        Ok(())
    }

    async fn node(&self, listen: SocketAddr, patience: Duration) -> Result<Door> {
        let agents = Agents::default();
        let (db, clock) = (self.db.clone(), self.clock.clone());
        let nodes = Nodes::new(db, clock, &self.secrets, agents.clone());
        let opening = Door::open(DoorConfig {
            listen,
            tcp: vec![listen],
            most_agents: 100,
            patience,
            db: self.db.clone(),
            secrets: self.secrets.clone(),
            standing: self.standing.clone(),
            appliers: appliers(),
            clock: self.clock.clone(),
            questions: nodes.questions(),
            agents,
        });
        Ok(opening.await?)
    }

    /// What a migration of a later release would make.
    pub async fn bring_up_to_date(&self) -> Result<()> {
        let mut owner = PgConnection::connect_with(&self.fresh.owner()).await?;
        sqlx::query("create table of_a_later_schema (name text not null)")
            .execute(&mut owner)
            .await?;
        sqlx::query("grant insert on of_a_later_schema to easyisp_app")
            .execute(&mut owner)
            .await?;
        Ok(())
    }

    pub fn door(&self) -> &Door {
        self.door.as_ref().expect("the door is open")
    }

    pub fn address(&self) -> String {
        self.door()
            .address()
            .expect("the door has an address")
            .to_string()
    }

    pub async fn token(&self) -> Result<JoinToken> {
        self.token_for(self.tenant, self.site).await
    }

    async fn token_for(&self, tenant: TenantId, site: SiteId) -> Result<JoinToken> {
        let mut tx = self.db.begin(tenant).await?;
        let now = self.clock.now();
        let authority = &self.standing.authority;
        let token = agents::create_join_token(&mut tx, site, None, authority, now).await?;
        tx.commit().await?;
        Ok(token)
    }

    /// Takes a step towards another authority, and starts the node anew.
    pub async fn rotate(&mut self, step: rotation::Step, hurry: rotation::Hurry) -> Result<()> {
        let now = self.clock.now();
        rotation::rotate(&self.db, &self.secrets, (step, hurry), now).await?;
        self.standing = agents::standing(&self.db, &self.secrets, now).await?;
        let listen = self.door().address()?;
        self.close_door().await;
        self.open_door(listen).await
    }

    /// A folder for another box's identity.
    pub fn folder(&self) -> PathBuf {
        let mut boxes = self.boxes.lock().expect("nobody panics here");
        *boxes += 1;
        self.folder.path().join(format!("box{boxes}/identity"))
    }

    pub async fn enroll(&self, token: &JoinToken) -> Result<Identity> {
        let folder = self.folder();
        let joined = enroll(&self.address(), &token.text(), &folder, "0.1.0").await;
        Ok(joined?)
    }

    /// An enrolled box at the tenant's site.
    pub async fn given_agent(&self) -> Result<Identity> {
        self.enroll(&self.token().await?).await
    }

    /// An enrolled box at another tenant's site.
    pub async fn given_agent_of(&self, tenant: TenantId, site: SiteId) -> Result<Identity> {
        self.enroll(&self.token_for(tenant, site).await?).await
    }

    pub async fn revoke(&self, identity: &Identity) -> Result<()> {
        let mut tx = self.db.begin(identity.tenant).await?;
        let known = agents::revoke(&mut tx, identity.agent, self.clock.now()).await?;
        ensure!(known, "no such agent");
        tx.commit().await?;
        Ok(())
    }

    /// The thing's state from here on, at the tenant's site; `None` for gone.
    pub async fn put(&self, thing: u128, state: Option<&[u8]>) -> Result<()> {
        self.put_many(&[thing], state).await
    }

    pub async fn put_many(&self, things: &[u128], state: Option<&[u8]>) -> Result<()> {
        self.put_at(self.tenant, self.site, things, state).await
    }

    pub async fn put_at(
        &self,
        tenant: TenantId,
        site: SiteId,
        things: &[u128],
        state: Option<&[u8]>,
    ) -> Result<()> {
        let mut tx = self.db.begin(tenant).await?;
        for thing in things {
            let id = Uuid::from_u128(*thing);
            let mut known = self.things.lock().expect("nobody panics here");
            match state {
                Some(state) => known.insert(id, (site, state.to_vec())),
                None => known.remove(&id),
            };
            tx.changed(Kind::Subscriber, id);
        }
        tx.commit().await?;
        Ok(())
    }

    /// Does what is done for a tenant's feeds once a day.
    pub async fn care(&self) -> Result<()> {
        care(&self.db, self.tenant, self.standing.epoch, self.clock.now()).await?;
        Ok(())
    }

    /// Changes a thing without a word to its site.
    pub fn forget_to_tell(&self, thing: u128, state: &[u8]) {
        let mut known = self.things.lock().expect("nobody panics here");
        known.insert(Uuid::from_u128(thing), (self.site, state.to_vec()));
    }

    /// When a copy of the agent was seen.
    pub async fn cloned(&self, identity: &Identity) -> Result<bool> {
        let mut tx = self.db.begin(identity.tenant).await?;
        let at = "select cloned_at is not null from agents where tenant_id = $1 and id = $2";
        let at = sqlx::query_scalar(at).bind(identity.tenant);
        Ok(at.bind(identity.agent).fetch_one(&mut *tx).await?)
    }

    /// Whether an agent's line is known to be paid by the octet.
    pub async fn metered(&self, identity: &Identity) -> Result<bool> {
        let mut tx = self.db.begin(identity.tenant).await?;
        let is = "select metered from agents where tenant_id = $1 and id = $2";
        let is = sqlx::query_scalar(is).bind(identity.tenant);
        Ok(is.bind(identity.agent).fetch_one(&mut *tx).await?)
    }

    /// How many tombstones are kept.
    pub async fn tombstones(&self) -> Result<i64> {
        let mut tx = self.db.begin(self.tenant).await?;
        let count = "select count(*) from feed where tenant_id = $1 and body is null";
        let count = sqlx::query_scalar(count).bind(self.tenant);
        Ok(count.fetch_one(&mut *tx).await?)
    }

    /// Makes the site's digests wrong, as no code of ours should.
    pub async fn falsify_digests(&self) -> Result<()> {
        let mut tx = self.db.begin(self.tenant).await?;
        let done = sqlx::query("update feed_digests set digest = ~ digest where tenant_id = $1");
        let done = done.bind(self.tenant).execute(&mut *tx).await?;
        ensure!(done.rows_affected() > 0, "there are no digests");
        tx.commit().await?;
        Ok(())
    }

    /// What a restore goes back to: the logins and the marks of now.
    pub async fn back_up(&self) -> Result<Backup> {
        let mut tx = self.db.begin(self.tenant).await?;
        let logins = sqlx::query_scalar("select id from auth_log where tenant_id = $1");
        let logins = logins.bind(self.tenant).fetch_all(&mut *tx).await?;
        let marks = "select lane, mark from uplink_marks where tenant_id = $1";
        let marks = sqlx::query_as(marks).bind(self.tenant);
        let marks = marks.fetch_all(&mut *tx).await?;
        Ok(Backup { logins, marks })
    }

    /// Puts the database back, as its owner. The node that starts on it sees that it is another one.
    pub async fn restore(&mut self, backup: &Backup) -> Result<()> {
        let mut owner = PgConnection::connect_with(&self.fresh.owner()).await?;
        sqlx::query("select set_config('app.tenant', $1::text, false)")
            .bind(self.tenant)
            .execute(&mut owner)
            .await?;
        sqlx::query("delete from auth_log where not id = any($1)")
            .bind(&backup.logins)
            .execute(&mut owner)
            .await?;
        for (lane, mark) in &backup.marks {
            sqlx::query("update uplink_marks set mark = $2 where lane = $1")
                .bind(lane)
                .bind(mark)
                .execute(&mut owner)
                .await?;
        }
        sqlx::query("update directory.authority set birth = 'of the backup'")
            .execute(&mut owner)
            .await?;
        let before = self.standing.epoch;
        self.standing = agents::standing(&self.db, &self.secrets, START).await?;
        ensure!(self.standing.epoch != before, "the epoch did not change");
        let again = agents::standing(&self.db, &self.secrets, START).await?;
        ensure!(self.standing.epoch == again.epoch, "it changes once");
        Ok(())
    }

    /// The names of the logins that the cloud has on record, in order of arrival at the site.
    pub async fn logins(&self, tenant: TenantId) -> Result<Vec<String>> {
        let mut tx = self.db.begin(tenant).await?;
        let names = "select username from auth_log where tenant_id = $1 order by at";
        let names = sqlx::query_scalar(names).bind(tenant);
        Ok(names.fetch_all(&mut *tx).await?)
    }

    /// Sequences and reasons of the records set aside.
    pub async fn set_aside(&self) -> Result<Vec<(i64, String)>> {
        let mut tx = self.db.begin(self.tenant).await?;
        let rows = "select sequence, error from quarantine where tenant_id = $1 order by sequence";
        let rows = sqlx::query_as(rows).bind(self.tenant);
        Ok(rows.fetch_all(&mut *tx).await?)
    }

    /// How many reports of an agent were counted and not kept.
    pub async fn dropped(&self, identity: &Identity) -> Result<i64> {
        let mut tx = self.db.begin(identity.tenant).await?;
        let dropped = "select dropped_reports from agents where tenant_id = $1 and id = $2";
        let dropped = sqlx::query_scalar(dropped).bind(identity.tenant);
        Ok(dropped.bind(identity.agent).fetch_one(&mut *tx).await?)
    }

    /// One value of the agent's row.
    pub async fn queue_depth(&self, identity: &Identity) -> Result<Option<i64>> {
        let mut tx = self.db.begin(identity.tenant).await?;
        let depth = "select queue_depth from agents where tenant_id = $1 and id = $2";
        let depth = sqlx::query_scalar(depth)
            .bind(identity.tenant)
            .bind(identity.agent);
        Ok(depth.fetch_one(&mut *tx).await?)
    }
}

/// Waits for what a task of the link brings about; asks again at every turn of `until`.
pub async fn eventually<T, F>(what: &str, mut until: impl FnMut() -> F) -> Result<T>
where
    F: Future<Output = Result<Option<T>>>,
{
    let wait = async {
        loop {
            if let Some(found) = until().await? {
                return anyhow::Ok(found);
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let waited = tokio::time::timeout(PATIENCE, wait).await;
    waited.with_context(|| format!("waited in vain: {what}"))?
}

/// A login that no database takes.
pub const NEVER_WORKS: &str = "never works";
/// A login that a table is needed for which only [`World::bring_up_to_date`] makes.
pub const OF_A_LATER_SCHEMA: &str = "of a later schema";
/// How long anything may take before a test says that it does not happen.
pub const PATIENCE: Duration = Duration::from_secs(90);
pub const START: Timestamp = Timestamp::from_secs(1_800_000_000);

fn projectors(things: &Things) -> Projectors {
    let (known, all) = (things.clone(), things.clone());
    Projectors::default()
        .with(
            Kind::Subscriber,
            Arc::new(move |_, ids| {
                let known = known.lock().expect("nobody panics here");
                let present = ids.iter().filter_map(|id| {
                    let (site, body) = known.get(id)?.clone();
                    Some(Projection {
                        id: *id,
                        site,
                        body,
                    })
                });
                let present = Ok(present.collect());
                Box::pin(async move { present })
            }),
        )
        // An enrolment tells the site its policy anew; here it has none.
        .with(
            Kind::Policy,
            Arc::new(|_, _| Box::pin(async { Ok(Vec::new()) })),
        )
        .listed(
            Kind::Subscriber,
            Arc::new(move |_, after, _| {
                let all = all.lock().expect("nobody panics here");
                let ids: Vec<Uuid> = all.keys().filter(|id| **id > after).copied().collect();
                Box::pin(async move { Ok(ids) })
            }),
        )
}

fn appliers() -> Appliers {
    Appliers::default()
        .with(UpKind::Heartbeat, edge::heartbeats())
        .with(UpKind::Login, logins())
        .with(UpKind::Accounting, ignored())
}

/// Takes reports that only their size matters of.
fn ignored() -> Applier {
    Arc::new(|_, _, _, _| Box::pin(async { Ok(Vec::new()) }))
}

/// Writes a login as often as it is told of it. The name of a login is the database's to refuse.
fn logins() -> Applier {
    Arc::new(|tx, agent, reports, now| {
        Box::pin(async move {
            for report in reports {
                let Up::Login(login) = &report.body else {
                    continue;
                };
                let name: String = login
                    .username
                    .iter()
                    .map(|octet| char::from(*octet))
                    .collect();
                if name == NEVER_WORKS {
                    return Err(sqlx::Error::Protocol("it never works".into()));
                }
                if name == OF_A_LATER_SCHEMA {
                    sqlx::query("insert into of_a_later_schema (name) values ($1)")
                        .bind(&name)
                        .execute(&mut **tx)
                        .await?;
                }
                let id = Uuid::new_v4();
                sqlx::query(
                    "insert into auth_log (tenant_id, at, id, site_id, username, accepted, reason)
                     values ($1, $2, $3, $4, $5, true, $6)",
                )
                .bind(tx.tenant())
                .bind(login.at)
                .bind(id)
                .bind(agent.site)
                .bind(name)
                .bind(now.to_string())
                .execute(&mut **tx)
                .await?;
            }
            Ok(Vec::new())
        })
    })
}
