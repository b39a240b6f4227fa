//! What a commit writes to the sites' feeds, on a real database as the application role.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use anyhow::{Context, Result};
use easyisp_cloud::db::{Database, Kind, Projection, Projectors};
use easyisp_shared::entropy::Entropy;
use easyisp_shared::id::{SiteId, TenantId};
use easyisp_shared::time::Timestamp;
use easyisp_shared::wire::digest::{replace, row_hash};
use easyisp_tests::database::{FreshDatabase, fresh_database};
use easyisp_tests::world::eventually;
use tokio::sync::{Notify, oneshot};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

#[tokio::test]
async fn a_commit_writes_each_changed_thing_once_at_the_next_version() -> Result<()> {
    let world = World::start().await?;
    let site = world.site(1).await?;
    let (one, two) = (Uuid::from_u128(1), Uuid::from_u128(2));
    world.is(one, site, b"one");
    world.is(two, site, b"two");

    world.commit(&[one, two, one]).await?;
    assert_eq!(
        world.feed(site).await?,
        [
            (1, one, Some(b"one".to_vec())),
            (1, two, Some(b"two".to_vec()))
        ]
    );

    world.is(two, site, b"two again");
    world.commit(&[two]).await?;
    assert_eq!(
        world.feed(site).await?,
        [
            (1, one, Some(b"one".to_vec())),
            (2, two, Some(b"two again".to_vec()))
        ]
    );
    Ok(())
}

#[tokio::test]
async fn what_moves_leaves_a_tombstone_and_what_is_deleted_too() -> Result<()> {
    let world = World::start().await?;
    let (from, to) = (world.site(1).await?, world.site(2).await?);
    let thing = Uuid::from_u128(7);
    world.is(thing, from, b"here");
    world.commit(&[thing]).await?;

    world.is(thing, to, b"there");
    world.commit(&[thing]).await?;
    assert_eq!(world.feed(from).await?, [(2, thing, None)]);
    assert_eq!(world.feed(to).await?, [(1, thing, Some(b"there".to_vec()))]);

    world.is_gone(thing);
    world.commit(&[thing]).await?;
    assert_eq!(world.feed(to).await?, [(2, thing, None)]);
    assert_eq!(
        world.feed(from).await?,
        [(2, thing, None)],
        "a site that has forgotten hears nothing"
    );
    Ok(())
}

#[tokio::test]
async fn a_rollback_writes_nothing_and_rings_nobody() -> Result<()> {
    let world = World::start().await?;
    let site = world.site(1).await?;
    world.is(Uuid::from_u128(1), site, b"never");
    let bell = world.db.wakes().of(site);

    let mut tx = world.db.begin(world.tenant).await?;
    tx.changed(Kind::Subscriber, Uuid::from_u128(1));
    tx.rollback().await?;

    assert!(world.feed(site).await?.is_empty());
    let rang = tokio::time::timeout(std::time::Duration::from_millis(20), bell.notified()).await;
    assert!(rang.is_err(), "the bell rang");
    Ok(())
}

#[tokio::test]
async fn fifty_commits_at_once_lose_nothing() -> Result<()> {
    let world = Arc::new(World::start().await?);
    let (a, b) = (world.site(1).await?, world.site(2).await?);
    let things: Vec<Uuid> = (1..=50).map(Uuid::from_u128).collect();
    for (n, thing) in things.iter().enumerate() {
        world.is(*thing, if n % 2 == 0 { a } else { b }, b"first");
    }
    world.commit(&things).await?;

    // Every thing changes sides: each commit locks both counters, from both directions.
    for (n, thing) in things.iter().enumerate() {
        world.is(*thing, if n % 2 == 0 { b } else { a }, b"second");
    }
    let mut commits = tokio::task::JoinSet::new();
    for thing in things {
        let world = world.clone();
        commits.spawn(async move { world.commit(&[thing]).await });
    }
    while let Some(done) = commits.join_next().await {
        done??;
    }

    for site in [a, b] {
        assert_eq!(world.digest(site).await?, world.recount(site).await?);
        let feed = world.feed(site).await?;
        // Some were numbered together.
        let head = feed.last().context("it has rows")?.0;
        assert_eq!(world.head(site).await?, head);
        assert!((2..=51).contains(&head), "{head}");
        let bodies: Vec<_> = feed
            .iter()
            .filter_map(|(_, _, body)| body.as_deref())
            .collect();
        assert_eq!((feed.len(), bodies), (50, vec![b"second".as_slice(); 25]));
    }
    assert!(world.noted().await?.is_empty());
    Ok(())
}

/// A site's counter is locked until the commit that raised it is on disk. Whoever meets it commits what he changed
/// without waiting, and has it numbered behind, with all who met it too.
#[tokio::test]
async fn commits_that_meet_another_are_numbered_together_behind_it() -> Result<()> {
    let world = Arc::new(World::start().await?);
    let site = world.site(1).await?;
    let things: Vec<Uuid> = (1..=5).map(Uuid::from_u128).collect();
    for thing in &things {
        world.is(*thing, site, b"paid");
    }
    let mut holder = world.db.begin(world.tenant).await?;
    sqlx::query("select head from site_counters where tenant_id = $1 for update")
        .bind(world.tenant)
        .execute(&mut *holder)
        .await?;
    let commit = |thing: Uuid| {
        let world = world.clone();
        tokio::spawn(async move { world.commit(&[thing]).await })
    };
    let first = commit(things[0]);
    eventually("the first waits for the counter", async || {
        let mut connection = world.db.glance().await?;
        let waits: bool = sqlx::query_scalar(
            "select exists (select from pg_stat_activity
                             where datname = current_database() and wait_event_type = 'Lock')",
        )
        .fetch_one(&mut *connection)
        .await?;
        Ok(waits.then_some(()))
    })
    .await?;
    let others: Vec<_> = things[1..].iter().map(|thing| commit(*thing)).collect();
    eventually("the others are committed", async || {
        Ok((world.noted().await? == things[1..]).then_some(()))
    })
    .await?;
    assert!(world.feed(site).await?.is_empty());
    holder.rollback().await?;
    first.await??;
    for other in others {
        other.await??;
    }

    let versions: Vec<(i64, Uuid)> = world
        .feed(site)
        .await?
        .into_iter()
        .map(|(version, thing, _)| (version, thing))
        .collect();
    let expected: Vec<(i64, Uuid)> = [1, 2, 2, 2, 2].into_iter().zip(things).collect();
    assert_eq!(versions, expected);
    assert_eq!(world.digest(site).await?, world.recount(site).await?);
    assert!(world.noted().await?.is_empty());
    Ok(())
}

/// A node that ends between a commit and its number leaves a note: another look numbers it, and nobody has forgotten it.
#[tokio::test]
async fn what_a_node_left_without_a_number_gets_one() -> Result<()> {
    let world = World::start().await?;
    let site = world.site(1).await?;
    let (left, forgotten) = (Uuid::from_u128(1), Uuid::from_u128(2));
    world.is(left, site, b"before");
    world.is(forgotten, site, b"before");
    world.commit(&[left, forgotten]).await?;
    world.is(left, site, b"paid");
    world.is(forgotten, site, b"paid");
    world.note(left).await?;
    let found = world.db.reproject(world.tenant).await?;
    assert_eq!(found, [(Kind::Subscriber, forgotten)]);

    let bell = world.db.wakes().of(site);
    let stop = CancellationToken::new();
    let looking = tokio::spawn(world.db.clone().number_left(stop.clone()));
    bell.notified().await;
    stop.cancel();
    looking.await?;
    let paid = || Some(b"paid".to_vec());
    assert_eq!(
        world.feed(site).await?,
        [(2, forgotten, paid()), (3, left, paid())]
    );
    assert!(world.noted().await?.is_empty());
    Ok(())
}

/// Who is deleted at another node at the moment at which it is numbered that he is there leaves a tombstone all the same.
#[tokio::test]
async fn what_is_deleted_while_it_is_numbered_is_forgotten() -> Result<()> {
    let world = World::start().await?;
    let site = world.site(1).await?;
    let thing = Uuid::from_u128(1);
    world.is(thing, site, b"made");
    world.note(thing).await?;
    let open = world.gate.close();
    let stop = CancellationToken::new();
    let numbering = tokio::spawn(world.db.clone().number_left(stop.clone()));
    world.gate.reached.notified().await;

    world.is_gone(thing);
    let (node, tenant) = (world.another_node().await?, world.tenant);
    let deletes = tokio::spawn(async move {
        let mut tx = node.begin(tenant).await?;
        tx.changed(Kind::Subscriber, thing);
        tx.commit().await
    });
    eventually("it is deleted", async || {
        let is_noted = world.noted().await? == [thing, thing];
        Ok((is_noted || deletes.is_finished()).then_some(()))
    })
    .await?;
    open.send(()).expect("it still waits");
    deletes.await??;
    assert_eq!(world.feed(site).await?, [(2, thing, None)]);
    stop.cancel();
    Ok(numbering.await?)
}

#[tokio::test]
async fn a_caller_who_leaves_while_a_transaction_begins_leaves_nothing_behind() -> Result<()> {
    let world = World::start_with(1).await?;
    for patience in 0..200u64 {
        let patience = std::time::Duration::from_micros(patience * 5);
        let _ = tokio::time::timeout(patience, world.db.begin(world.tenant)).await;

        let mut tx = world.db.directory().await?;
        let setting: Option<String> =
            sqlx::query_scalar("select nullif(current_setting('app.tenant', true), '')")
                .fetch_one(&mut *tx)
                .await?;
        assert_eq!(setting, None, "after {patience:?}");
    }
    Ok(())
}

/// G2: the tenant setting ends with its transaction, whoever borrows the connection next.
#[tokio::test]
async fn the_next_borrower_of_a_connection_sees_no_tenant() -> Result<()> {
    let world = World::start_with(1).await?;
    world.site(1).await?;
    let stranger = TenantId(Uuid::from_u128(99));

    for _ in 0..3 {
        let cancelled = world.db.begin(world.tenant).await?;
        drop(cancelled);

        let mut tx = world.db.directory().await?;
        let seen: i64 = sqlx::query_scalar("select count(*) from sites")
            .fetch_one(&mut *tx)
            .await?;
        assert_eq!(seen, 0, "a transaction without a tenant saw rows");
        drop(tx);

        let mut tx = world.db.begin(stranger).await?;
        let seen: i64 = sqlx::query_scalar("select count(*) from sites")
            .fetch_one(&mut *tx)
            .await?;
        assert_eq!(seen, 0, "a stranger saw rows");
        drop(tx);

        let mut tx = world.db.begin(world.tenant).await?;
        let seen: i64 = sqlx::query_scalar("select count(*) from sites")
            .fetch_one(&mut *tx)
            .await?;
        assert_eq!(seen, 1);
    }
    Ok(())
}

const EPOCH: Uuid = Uuid::from_u128(42);

type Things = Arc<Mutex<BTreeMap<Uuid, (SiteId, Vec<u8>)>>>;

struct World {
    db: Database,
    tenant: TenantId,
    things: Things,
    gate: Gate,
    fresh: FreshDatabase,
}

/// Where a projection waits, closed, once it was made.
#[derive(Clone, Default)]
struct Gate {
    closed: Arc<Mutex<Option<oneshot::Receiver<()>>>>,
    reached: Arc<Notify>,
}

impl Gate {
    /// Has the next projection wait until the answer is used.
    fn close(&self) -> oneshot::Sender<()> {
        let (open, closed) = oneshot::channel();
        *self.closed.lock().expect("nobody panics here") = Some(closed);
        open
    }
}

fn projectors(things: Things, gate: Gate) -> Projectors {
    Projectors::default().with(
        Kind::Subscriber,
        Arc::new(move |_, ids| {
            let known = things.lock().expect("nobody panics here");
            let present = ids.iter().filter_map(|id| {
                let (site, body) = known.get(id)?.clone();
                Some(Projection {
                    id: *id,
                    site,
                    body,
                })
            });
            let present = Ok(present.collect());
            let closed = gate.closed.lock().expect("nobody panics here").take();
            let reached = gate.reached.clone();
            Box::pin(async move {
                if let Some(closed) = closed {
                    reached.notify_one();
                    let _opened = closed.await;
                }
                present
            })
        }),
    )
}

impl World {
    async fn start() -> Result<World> {
        World::start_with(10).await
    }

    async fn start_with(connections: u32) -> Result<World> {
        let fresh = fresh_database().await?;
        let things = Things::default();
        let gate = Gate::default();
        let projectors = projectors(things.clone(), gate.clone());
        let db =
            Database::connect(fresh.app(), connections, Entropy::seeded(1), projectors).await?;
        let tenant = TenantId(Uuid::from_u128(1));
        let mut tx = db.begin(tenant).await?;
        sqlx::query("insert into directory.tenants (tenant_id, created_at) values ($1, $2)")
            .bind(tenant)
            .bind(Timestamp::default())
            .execute(&mut *tx)
            .await?;
        sqlx::query(
            "insert into tenants (tenant_id, slug, business_name, email, status, time_zone, currency, created_at, updated_at)
             values ($1, 'demo', 'Demo', 'demo@isp.example', 'ACTIVE', 'Africa/Nairobi', 'KES', $2, $2)",
        )
        .bind(tenant)
        .bind(Timestamp::default())
        .execute(&mut *tx)
        .await?;
        sqlx::query(
            "insert into directory.authority (certificate, key_sealed, epoch, created_at)
             values ('', '', $1, $2)",
        )
        .bind(EPOCH)
        .bind(Timestamp::default())
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(World {
            db,
            tenant,
            things,
            gate,
            fresh,
        })
    }

    /// Another node of the same platform.
    async fn another_node(&self) -> Result<Database> {
        let projectors = projectors(self.things.clone(), Gate::default());
        Ok(Database::connect(self.fresh.app(), 10, Entropy::seeded(2), projectors).await?)
    }

    async fn site(&self, number: u128) -> Result<SiteId> {
        let site = SiteId(Uuid::from_u128(number));
        let mut tx = self.db.begin(self.tenant).await?;
        sqlx::query(
            "with site as (
                 insert into sites (tenant_id, id, name, key_sealed, created_at, updated_at)
                 values ($1, $2, $2::text, '', $3, $3) returning tenant_id, id)
             insert into site_counters (tenant_id, site_id) select tenant_id, id from site",
        )
        .bind(self.tenant)
        .bind(site)
        .bind(Timestamp::default())
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(site)
    }

    fn is(&self, thing: Uuid, site: SiteId, body: &[u8]) {
        let mut things = self.things.lock().expect("nobody panics here");
        things.insert(thing, (site, body.to_vec()));
    }

    fn is_gone(&self, thing: Uuid) {
        self.things
            .lock()
            .expect("nobody panics here")
            .remove(&thing);
    }

    async fn commit(&self, changed: &[Uuid]) -> Result<()> {
        let mut tx = self.db.begin(self.tenant).await?;
        for thing in changed {
            tx.changed(Kind::Subscriber, *thing);
        }
        tx.commit().await?;
        Ok(())
    }

    async fn head(&self, site: SiteId) -> Result<i64> {
        let mut tx = self.db.begin(self.tenant).await?;
        let head = "select head from site_counters where tenant_id = $1 and site_id = $2";
        Ok(sqlx::query_scalar(head)
            .bind(self.tenant)
            .bind(site)
            .fetch_one(&mut *tx)
            .await?)
    }

    /// As a node does that ends before it is numbered.
    async fn note(&self, thing: Uuid) -> Result<()> {
        let mut tx = self.db.begin(self.tenant).await?;
        sqlx::query("insert into directory.changes (tenant_id, kind, subject) values ($1, $2, $3)")
            .bind(self.tenant)
            .bind(i16::try_from(Kind::Subscriber.code())?)
            .bind(thing)
            .execute(&mut *tx)
            .await?;
        Ok(tx.commit().await?)
    }

    /// What was committed and has no number yet.
    async fn noted(&self) -> Result<Vec<Uuid>> {
        let mut directory = self.db.glance().await?;
        let noted = "select subject from directory.changes order by subject";
        Ok(sqlx::query_scalar(noted).fetch_all(&mut *directory).await?)
    }

    /// What the database says that the site's rows come to.
    async fn digest(&self, site: SiteId) -> Result<u128> {
        let mut tx = self.db.begin(self.tenant).await?;
        let digest: String = sqlx::query_scalar(
            "select digest::text from feed_digests where tenant_id = $1 and site_id = $2",
        )
        .bind(self.tenant)
        .bind(site)
        .fetch_one(&mut *tx)
        .await?;
        Ok(u128::from_str_radix(&digest, 2)?)
    }

    /// What they come to by the words that agents use.
    async fn recount(&self, site: SiteId) -> Result<u128> {
        let kind = Kind::Subscriber.code();
        let rows = self.feed(site).await?;
        let weights = rows.iter().map(|(version, id, body)| {
            row_hash(EPOCH, kind, *id, version.unsigned_abs(), body.as_deref())
        });
        Ok(weights.fold(0, |sum, weight| replace(sum, 0, weight)))
    }

    async fn feed(&self, site: SiteId) -> Result<Vec<(i64, Uuid, Option<Vec<u8>>)>> {
        let mut tx = self.db.begin(self.tenant).await?;
        let rows = sqlx::query_as(
            "select version, id, body from feed where tenant_id = $1 and site_id = $2 order by version, id",
        )
        .bind(self.tenant)
        .bind(site)
        .fetch_all(&mut *tx)
        .await?;
        Ok(rows)
    }
}
