//! The node: twenty providers with ten sites each.

use std::path::Path;

use anyhow::{Context, Result};
use easyisp_shared::time::Clock;
use easyisp_tests::world::{Provider, World};
use futures_util::{StreamExt, TryStreamExt, stream};
use serde::{Deserialize, Serialize};
use serde_json::json;
use sqlx::{Connection, Executor, PgConnection};
use uuid::Uuid;

use super::{LINKS, ONLINE, SITES};
use crate::child::serve_until_told;

const PROVIDERS: usize = 20;
const SECRET: &str = "a-long-shared-secret";

/// What agents must know to begin.
#[derive(Serialize, Deserialize)]
pub struct Stage {
    /// Where they dial.
    pub agents: String,
    pub sites: Vec<Place>,
}

/// A site.
#[derive(Serialize, Deserialize)]
pub struct Place {
    pub router: Uuid,
    /// The first of its customers; the others follow.
    pub first: u128,
    /// One for each of its agents.
    pub tokens: Vec<String>,
}

impl Stage {
    /// What the node has written down.
    pub fn read(folder: &Path) -> Result<Stage> {
        let text = std::fs::read(folder.join(FILE))?;
        serde_json::from_slice(&text).context("what the node wrote down")
    }
}

const FILE: &str = "stage.json";

/// The part that is the node. Says `ready` once everything is written down.
pub fn part(folder: &Path) -> Result<()> {
    tokio::runtime::Runtime::new()?.block_on(async {
        let world = World::start_on(Clock::system()).await?;
        let sites: Vec<Vec<Place>> = stream::iter(0..PROVIDERS)
            .map(|nth| provider(&world, nth))
            .buffered(4)
            .try_collect()
            .await?;
        let stage = Stage {
            agents: world.agents().to_string(),
            sites: sites.into_iter().flatten().collect(),
        };
        std::fs::write(folder.join(FILE), serde_json::to_vec(&stage)?)?;
        tokio::task::spawn_blocking(|| serve_until_told("ready")).await??;
        world.stop().await
    })
}

async fn provider(world: &World, nth: usize) -> Result<Vec<Place>> {
    let provider = Provider::sign_up(world, &format!("isp{nth}")).await?;
    let owner = &provider.owner;
    for n in 1..SITES / PROVIDERS {
        owner
            .post("/sites", &json!({"name": format!("Site {n}")}))
            .await?;
    }
    let sites = owner.get("/sites").await?;
    let sites = sites["sites"].as_array().context("sites")?;
    let mut places = Vec::new();
    let mut ids = Vec::new();
    for (n, site) in sites.iter().enumerate() {
        let site = site["id"].as_str().context("a site")?;
        let name = format!("Router {n}");
        let source = format!("10.{nth}.{n}.1");
        let router = owner
            .add_router_at(site, &name, &source, SECRET, 3799)
            .await?;
        let mut tokens = Vec::new();
        for _ in 0..LINKS / SITES {
            tokens.push(owner.join_token_of(site).await?);
        }
        ids.push(site.parse::<Uuid>()?);
        places.push(Place {
            router: router.parse()?,
            first: FIRST + (nth * sites.len() + n) as u128 * u128::from(ONLINE),
            tokens,
        });
    }
    customers(world, &provider, &ids, &places).await?;
    Ok(places)
}

/// Of an id of version 7; those of one site follow one another.
const FIRST: u128 = 0x0198_0000_0000_7000_8000_0000_0000_0000;

async fn customers(
    world: &World,
    provider: &Provider,
    sites: &[Uuid],
    places: &[Place],
) -> Result<()> {
    let mut admin = PgConnection::connect_with(&world.database.anybody()).await?;
    // Words and counts are of no use here.
    admin
        .execute("set session_replication_role = replica")
        .await?;
    let routers: Vec<Uuid> = places.iter().map(|place| place.router).collect();
    let people = places
        .iter()
        .flat_map(|place| (0..u128::from(ONLINE)).map(|nth| Uuid::from_u128(place.first + nth)));
    sqlx::query(
        "insert into customers (tenant_id, id, account_number, site_id, username, password_sealed, name,
                connection_type, standing, package_id, router_id, paid_until, created_at, updated_at)
         select $1, c.id, 10000000 + c.n, ($3::uuid[])[1 + (c.n - 1) / $4], 'user' || lpad((c.n - 1)::text, 6, '0'), '',
                'User ' || c.n, 'PPPOE', 'ACTIVE', $5, ($6::uuid[])[1 + (c.n - 1) / $4],
                $7::timestamptz + interval '10 days', $7, $7
           from unnest($2::uuid[]) with ordinality as c (id, n)",
    )
    .bind(provider.tenant().await?)
    .bind(people.collect::<Vec<_>>())
    .bind(sites)
    .bind(i64::from(ONLINE))
    .bind(provider.package.parse::<Uuid>()?)
    .bind(routers)
    .bind(world.clock.now())
    .execute(&mut admin)
    .await?;
    admin.execute("analyze customers").await?;
    Ok(admin.close().await?)
}
