//! A box becomes an agent with a one-time token.

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use anyhow::Result;
use easyisp_agent::sync::{Identity, enroll};
use easyisp_shared::wire::JoinToken;
use easyisp_shared::wire::token::Fingerprint;

use super::uplink::Caller;
use super::world::{World, eventually};
use uuid::Uuid;

#[tokio::test]
async fn a_box_joins_its_site_and_keeps_its_identity_private() -> Result<()> {
    let world = World::start().await?;
    let token = world.token().await?;
    let folder = world.folder();

    let joined = enroll(&world.address(), &token.text(), &folder, "0.1.0").await?;
    let identity = Identity::load(&folder)?;

    assert_eq!(identity.agent, joined.agent);
    assert_eq!((identity.tenant, identity.site), (world.tenant, world.site));
    assert_eq!(identity.site_key.expose(), &[7; 32]);
    assert_eq!(identity.fingerprint().len(), 64);
    let mut files = 0;
    for file in std::fs::read_dir(&folder)? {
        assert_eq!(file?.metadata()?.permissions().mode() & 0o077, 0);
        files += 1;
    }
    assert_eq!(files, 6);
    Ok(())
}

/// I1: a token works once, for an hour; what was used or guessed is refused with one and the same reason.
#[tokio::test]
async fn a_join_token_works_once_and_for_an_hour() -> Result<()> {
    let world = World::start().await?;
    let used = world.token().await?;
    world.enroll(&used).await?;
    let old = world.token().await?;
    let guessed = JoinToken::new([9; 32], world.standing.authority.fingerprint());

    let mut answers = Vec::new();
    for (token, after_secs) in [(used, 0), (guessed, 0), (old, 3601)] {
        world.clock.advance(Duration::from_secs(after_secs));
        let folder = world.folder();
        let text = token.text();
        let refused = enroll(&world.address(), &text, &folder, "0.1.0").await;
        answers.push(refused.expect_err("the token is no good").to_string());
        assert!(!folder.exists(), "an identity was written");
    }
    assert!(answers[0].contains("token"), "{answers:?}");
    assert!(
        answers.iter().all(|answer| answer == &answers[0]),
        "{answers:?}"
    );
    Ok(())
}

#[tokio::test]
async fn of_many_boxes_with_one_token_at_once_one_joins() -> Result<()> {
    let world = World::start().await?;
    let token = world.token().await?;

    let race = (0..6).map(|_| world.enroll(&token));
    let joined = futures_util::future::join_all(race).await;

    assert_eq!(joined.iter().filter(|joined| joined.is_ok()).count(), 1);
    let mut tx = world.db.begin(world.tenant).await?;
    let agents: i64 = sqlx::query_scalar("select count(*) from agents where tenant_id = $1")
        .bind(world.tenant)
        .fetch_one(&mut *tx)
        .await?;
    assert_eq!(agents, 1);
    Ok(())
}

#[tokio::test]
async fn a_token_is_shown_only_to_the_cloud_that_made_it() -> Result<()> {
    let world = World::start().await?;
    let token = world.token().await?;
    let elsewhere = JoinToken::new(*token.secret(), Fingerprint::of(b"another authority"));

    let refused = world.enroll(&elsewhere).await;
    assert!(refused.is_err());

    world.enroll(&token).await?;
    Ok(())
}

/// A box that joined and never came keeps no vouchers: it would refuse everybody's.
#[tokio::test]
async fn only_who_came_keeps_the_sites_vouchers() -> Result<()> {
    let world = World::start().await?;
    let keepers = async || -> Result<Vec<Uuid>> {
        let mut tx = world.db.begin(world.tenant).await?;
        let keepers = "select keepers from sites where tenant_id = $1";
        let keepers = sqlx::query_scalar(keepers).bind(world.tenant);
        Ok(keepers.fetch_one(&mut *tx).await?)
    };
    let ghost = world.given_agent().await?;
    assert!(keepers().await?.is_empty(), "nobody came yet");
    let identity = world.given_agent().await?;
    let named = async |who: Uuid| {
        eventually("it keeps them", || async {
            Ok((keepers().await? == [who]).then_some(()))
        })
        .await
    };
    let _caller = Caller::greet(&world, &identity, Uuid::from_u128(5), 0).await?;
    named(identity.agent.0).await?;

    // One that an earlier release named is found out when the next one comes.
    let mut tx = world.db.begin(world.tenant).await?;
    sqlx::query("update sites set keepers = array[$2]::uuid[] where tenant_id = $1")
        .bind(world.tenant)
        .bind(ghost.agent)
        .execute(&mut *tx)
        .await?;
    tx.commit().await?;
    let third = world.given_agent().await?;
    let _caller = Caller::greet(&world, &third, Uuid::from_u128(6), 0).await?;
    named(identity.agent.0).await
}
