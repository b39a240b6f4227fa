//! What nodes tell each other besides: that a site has news.

use std::time::Duration;

use anyhow::Result;
use easyisp_cloud::db::{Database, Projectors};
use easyisp_shared::entropy::Entropy;
use easyisp_shared::id::SiteId;
use easyisp_tests::database::fresh_database;
use easyisp_tests::world::soon;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// Nothing here asks the database for news by itself: what rings the bell is what the other node told.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_committed_at_one_node_rings_at_the_other() -> Result<()> {
    let database = fresh_database().await?;
    let node = async || {
        let entropy = Entropy::system();
        Database::connect(database.app(), 3, entropy, Projectors::default()).await
    };
    let (one, other) = (node().await?, node().await?);
    let stop = CancellationToken::new();
    let sharing = [one.clone(), other.clone()].map(|db| tokio::spawn(db.share_wakes(stop.clone())));

    let site = SiteId(Uuid::from_u128(7));
    let bell = other.wakes().of(site);
    let heard = async {
        loop {
            one.wakes().committed(&[site]);
            // Told before the other listened, it is lost: as any hint may be.
            let rung = tokio::time::timeout(Duration::from_millis(200), bell.notified());
            if rung.await.is_ok() {
                return;
            }
        }
    };
    soon("the bell rings", heard).await?;

    stop.cancel();
    for task in sharing {
        task.await?;
    }
    Ok(())
}
