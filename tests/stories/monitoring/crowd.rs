//! More devices than one answer shows.

use anyhow::{Context, Result};
use easyisp_shared::id::TenantId;
use easyisp_tests::world::{Provider, Site, World};
use serde_json::{Value, json};

/// All are counted, whatever page is shown, by the rule that each one is shown by.
#[tokio::test(flavor = "multi_thread")]
async fn thousands_of_devices_are_counted_and_shown_page_by_page() -> Result<()> {
    const MANY: u64 = 1_300;
    let world = World::start().await?;
    let isp = Provider::sign_up(&world, "crowd").await?;
    let site = Site::open(&world, &isp).await?;
    let tenant: TenantId = {
        let me = isp.owner.get("/tenant/me").await?;
        me["id"].as_str().context("a tenant")?.parse()?
    };
    watch_many(&world, tenant).await?;
    let show = async |query: &str| isp.owner.get(&format!("/snmp/status{query}")).await;

    let shown = show("").await?;
    let devices = |shown: &Value| shown["devices"].as_array().map_or(0, Vec::len);
    assert_eq!((devices(&shown), &shown["enabled"]), (1_000, &json!(true)));
    assert_eq!(shown["stats"]["total"], MANY, "{}", shown["stats"]);
    // One of them is read each half minute, by version 3; all others each minute.
    let sum = (&shown["pollInterval"], &shown["version"]);
    assert_eq!(sum, (&json!(30), &json!("mixed")));

    let (mut names, mut states) = (Vec::new(), Vec::new());
    for page in 1..=7 {
        let shown = show(&format!("?page={page}&pageSize=200")).await?;
        let told = (&shown["page"], &shown["pageSize"], &shown["totalPages"]);
        assert_eq!(told, (&json!(page), &json!(200), &json!(7)));
        for device in shown["devices"].as_array().context("devices")? {
            names.push(device["name"].as_str().context("a name")?.to_owned());
            states.push(device["status"].as_str().context("a status")?.to_owned());
        }
    }
    assert_eq!(names.len() as u64, MANY);
    assert!(names.is_sorted());
    names.dedup();
    assert_eq!(names.len() as u64, MANY, "each is shown once");
    let are = |state: &str| states.iter().filter(|are| *are == state).count();
    // By turns: not read yet, read at the last moment, a moment before it, and with a problem.
    assert_eq!(
        (are("PENDING"), are("ONLINE"), are("OFFLINE")),
        (325, 325, 650)
    );
    assert_eq!(
        shown["stats"],
        json!({"total": MANY, "online": 325, "offline": 650})
    );
    assert_eq!(devices(&show("?page=8&pageSize=200").await?), 0);
    site.stop().await;
    world.stop().await
}

async fn watch_many(world: &World, tenant: TenantId) -> Result<()> {
    let mut tx = world.db().begin(tenant).await?;
    sqlx::query(
        "insert into routers (tenant_id, id, site_id, name, ip_address, source_network, secret_sealed, created_at,
                updated_at)
         select t.tenant_id, ('fffffff0-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid, t.site_id,
                'Device ' || lpad(n::text, 4, '0'), '127.1.0.1', '127.1.0.1/32', '\\x00', t.created_at, t.created_at
           from routers t, generate_series(1, 1300) n
          where t.tenant_id = $1",
    )
    .bind(tenant)
    .execute(&mut *tx)
    .await?;
    // Six minutes of gathering and three intervals of a minute: nine minutes, and one of half a minute: 7.5.
    sqlx::query(
        "insert into monitored (tenant_id, router_id, version, port, interval_secs, community_sealed, username,
                created_at, updated_at, polled_at, problem)
         select r.tenant_id, r.id, case n when 1 then 3 else 2 end, 161, case n when 1 then 30 else 60 end, '\\x00',
                case n when 1 then 'reader' end, r.created_at, r.created_at,
                case n % 4 when 0 then null when 1 then $2 - make_interval(secs => case n when 1 then 450 else 540 end)
                    when 2 then $2 - make_interval(secs => 540.001) else $2 end,
                case n % 4 when 3 then 'it is silent' end
           from (select *, ('x' || right(id::text, 8))::bit(32)::int as n from routers
                  where tenant_id = $1 and name like 'Device %') r",
    )
    .bind(tenant)
    .bind(world.clock.now())
    .execute(&mut *tx)
    .await?;
    tx.commit().await?;
    Ok(())
}
