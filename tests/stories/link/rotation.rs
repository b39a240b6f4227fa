//! The authority is replaced by another, and certificates are renewed before they end.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use easyisp_agent::sync::Identity;
use easyisp_cloud::sites::agents::rotation::{Hurry, Step};
use easyisp_tests::world::{Provider, Site, World as Whole};

use super::boxes::{TestBox, caught_up, down_because};
use super::world::World;

const DAY: Duration = Duration::from_secs(86_400);

/// Two authorities are believed while one follows the other: an agent that renews hears of the next one, is let
/// in once it has taken over, and forgets the one before when it is retired. Who was never told is not fooled,
/// and nothing is hurried that would lock somebody out.
#[tokio::test]
async fn an_agent_follows_its_cloud_to_another_authority() -> Result<()> {
    let mut world = World::start().await?;
    let folder = world.folder();
    let token = world.token().await?.text();
    let untold = easyisp_agent::sync::enroll(&world.address(), &token, &folder, "0.1.0").await?;
    let first = untold.authorities.clone();
    assert_eq!(first.len(), 1);

    world.clock.advance(DAY);
    world.rotate(Step::Announce, Hurry::No).await?;
    assert_eq!(
        world.given_agent().await?.authorities.len(),
        2,
        "who joins is told"
    );
    world.clock.advance(16 * DAY);
    let local = TestBox::new();
    let told = renews(&world, &untold, &folder, &local).await?;
    assert_eq!(told.authorities.len(), 2);
    assert_eq!(told.authorities[..1], first, "the one before signs");

    assert!(world.rotate(Step::Retire, Hurry::Yes).await.is_err());
    assert!(world.rotate(Step::TakeOver, Hurry::No).await.is_err());
    world.rotate(Step::TakeOver, Hurry::Yes).await?;
    let link = world.link(&untold, &TestBox::new());
    down_because(&link, "certificate").await?;
    link.stop().await;
    world.clock.advance(16 * DAY);
    let followed = renews(&world, &told, &folder, &local).await?;
    assert_eq!(followed.authorities[1..], first, "the next one signs");

    assert!(world.rotate(Step::Retire, Hurry::No).await.is_err());
    world.rotate(Step::Retire, Hurry::Yes).await?;
    let link = world.link(&told, &TestBox::new());
    down_because(&link, "certificate").await?;
    link.stop().await;
    world.clock.advance(16 * DAY);
    let settled = renews(&world, &followed, &folder, &local).await?;
    assert_eq!(settled.authorities, followed.authorities[..1]);
    Ok(())
}

/// A node that runs for longer than its own certificate is valid has made itself another one.
#[tokio::test]
async fn a_node_renews_its_own_certificate() -> Result<()> {
    let world = World::start().await?;
    let identity = world.given_agent().await?;
    world.clock.advance(91 * DAY);

    let link = world.link(&identity, &TestBox::new());
    caught_up(&link).await?;
    link.stop().await;
    Ok(())
}

/// What a box that is cut off from its cloud says of its own certificate while there is time to act: nothing
/// until it should have been renewed, and then, a fortnight before the end, whoever looks reads it.
#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_was_not_renewed_is_told_of_in_time() -> Result<()> {
    let mut whole = Whole::start().await?;
    let isp = Provider::sign_up(&whole, "unrenewed").await?;
    let site = Site::open(&whole, &isp).await?;
    let warned = async || {
        let overview = site.agent().overview().clone();
        let report = tokio::task::spawn_blocking(move || overview.report()).await?;
        let of_it = |warning: &String| warning.contains("certificate ends at");
        anyhow::Ok(report.warnings.iter().any(of_it))
    };
    assert!(!warned().await?);
    whole.stop_cloud().await?;
    site.cut_off().await?;
    whole.clock.advance(15 * DAY);
    assert!(!warned().await?);
    whole.clock.advance(2 * DAY);
    assert!(warned().await?);

    whole.start_cloud().await?;
    site.caught_up().await?;
    assert!(!warned().await?, "it has renewed");
    site.stop().await;
    whole.stop().await
}

/// Links until it has renewed; what it holds then.
async fn renews(
    world: &World,
    identity: &Identity,
    folder: &Path,
    local: &Arc<TestBox>,
) -> Result<Identity> {
    let link = world.link(identity, local);
    caught_up(&link).await?;
    link.stop().await;
    let renewed = Identity::load(folder)?;
    assert_ne!(renewed.fingerprint(), identity.fingerprint());
    Ok(renewed)
}
