//! Two providers who chose the same names, addresses and numbers never meet.

use anyhow::{Context, Result};
use easyisp_tests::router::session::Usage;
use easyisp_tests::router::subscriber::Dial;
use easyisp_tests::world::{Provider, Site, World, soon};
use serde_json::json;

use crate::words::{DAY, all_sessions, comes_to_agree};

/// B2: identical routers, users, session ids and instants of two tenants stay two sessions.
#[tokio::test(flavor = "multi_thread")]
async fn two_providers_with_the_same_names_never_meet() -> Result<()> {
    let world = World::start().await?;
    let ours = Provider::sign_up(&world, "ours").await?;
    let theirs = Provider::sign_up(&world, "theirs").await?;
    let our_site = Site::open(&world, &ours).await?;
    let their_site = Site::open(&world, &theirs).await?;
    let until = world.clock.now().plus(30 * DAY);
    let mut customers = Vec::new();
    for (isp, site) in [(&ours, &our_site), (&theirs, &their_site)] {
        let customer = isp.add_subscriber("gitau", "254712345640", until).await?;
        site.knows("gitau", "at all", |_| true).await?;
        customers.push(customer);
    }
    ours.add_subscriber("only-ours", "254712345641", until)
        .await?;
    our_site.knows("only-ours", "at all", |_| true).await?;

    let our_session = our_site.dial("gitau").await.online();
    let their_session = their_site.dial("gitau").await.online();
    assert_eq!(
        our_session.id(),
        their_session.id(),
        "the routers count alike"
    );
    our_session.started().await;
    their_session.started().await;
    our_session.transfer(Usage { up: 1, down: 10 });
    their_session.transfer(Usage { up: 2, down: 20 });
    assert!(our_session.interim().await && their_session.interim().await);
    assert!(matches!(
        their_site.dial("only-ours").await,
        Dial::Rejected(_)
    ));

    // What one suspends goes on at the other's.
    let suspend = format!("/customers/{}/suspend", customers[0]);
    ours.owner.post(&suspend, &json!({})).await?;
    soon("ours ends", our_session.ended()).await?;
    our_session
        .when(|account| account.settled.then_some(()))
        .await;
    assert!(their_session.interim().await);
    assert!(their_session.session().is_some());

    for (isp, site, customer, down) in [
        (&ours, &our_site, &customers[0], 10),
        (&theirs, &their_site, &customers[1], 20),
    ] {
        comes_to_agree(isp, site).await?;
        let shown = all_sessions(isp).await?;
        assert_eq!(shown.len(), 1, "{shown:?}");
        assert_eq!(shown[0]["bytesOut"], down);
        assert_eq!(shown[0]["customer"]["id"], customer.as_str());
        assert_eq!(shown[0]["nas"]["id"], site.router_id.as_str());
    }
    let rows = sessions_in_the_database(&world).await?;
    assert_eq!(rows.len(), 2, "{rows:?}");
    assert_ne!(rows[0].0, rows[1].0);
    assert_eq!(rows[0].1, rows[1].1);

    our_site.stop().await;
    their_site.stop().await;
    world.stop().await
}

/// (tenant, Acct-Session-Id) of every session, as each tenant's own transaction sees it.
async fn sessions_in_the_database(world: &World) -> Result<Vec<(uuid::Uuid, String)>> {
    let mut all = Vec::new();
    let db = world.db();
    let mut directory = db.directory().await?;
    let tenants: Vec<easyisp_shared::id::TenantId> =
        sqlx::query_scalar("select tenant_id from directory.tenants")
            .fetch_all(&mut *directory)
            .await
            .context("the tenants")?;
    drop(directory);
    for tenant in tenants {
        let mut tx = db.begin(tenant).await?;
        let rows: Vec<(uuid::Uuid, String)> =
            sqlx::query_as("select tenant_id, acct_session_id from sessions")
                .fetch_all(&mut *tx)
                .await?;
        all.extend(rows);
    }
    Ok(all)
}
