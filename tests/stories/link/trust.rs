//! Who believes whom, and for how long.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use easyisp_agent::sync::{Credentials, Identity, Path, Trust, dial, tls};
use easyisp_cloud::sites::pki::Authority;
use easyisp_shared::entropy::Entropy;
use easyisp_shared::wire::{ALPN_LINK, Lane};

use super::boxes::{TestBox, caught_up, down_because};
use super::world::{START, World, eventually};

/// I5: a cloud of another authority is not believed, however much of ours it shows. The box holds a
/// certificate of that cloud's, so that nothing but its own doubt can keep it out.
#[tokio::test]
async fn an_agent_believes_its_own_authority_only() -> Result<()> {
    let (world, fake) = (World::start().await?, World::start().await?);
    let mut identity = fake.given_agent().await?;
    identity.authorities = world.given_agent().await?.authorities;
    let local = TestBox::new();
    local.report_login("never");

    let link = fake.link(&identity, &local);
    down_because(&link, "certificate").await?;
    link.stop().await;

    assert_eq!(local.held().told, None);
    Ok(())
}

#[tokio::test]
async fn a_cloud_that_has_expired_for_sure_is_not_believed() -> Result<()> {
    let world = World::start().await?;
    let identity = world.given_agent().await?;
    let late = START.plus(Duration::from_secs(100 * 86_400));

    let link = world.link_at(&identity, &TestBox::new(), late);
    down_because(&link, "xpired").await?;
    link.stop().await;
    Ok(())
}

#[tokio::test]
async fn a_caller_whom_our_authority_does_not_know_stays_outside() -> Result<()> {
    let world = World::start().await?;
    let identity = world.given_agent().await?;
    let entropy = Entropy::seeded(5);
    let (certificate, key) = Authority::create(START, &entropy)?;
    let forger = Authority::open(certificate, &key, entropy)?;
    let (forged, key) = forger.server_certificate(START)?;
    let trust = Trust::authorities(&identity.authorities, Arc::new(|| START))?;
    let credentials = Credentials {
        chain: vec![forged.certificate],
        key: key.to_vec(),
    };

    // TLS 1.3 lets the caller finish before it is refused: what counts is whether anything is heard.
    let tls = tls(ALPN_LINK, trust, Some(credentials))?;
    let patience = super::world::PATIENCE;
    if let Ok(carrier) = dial(&world.address(), Path::Quic, tls, patience).await {
        let heard = tokio::time::timeout(super::world::PATIENCE, carrier.closed()).await;
        assert!(heard.is_ok(), "the door stayed open");
    }
    assert_eq!(world.door().agents().count(), 0);
    Ok(())
}

/// I4: a revoked agent is cut off while connected, and does not come back.
#[tokio::test]
async fn a_revoked_agent_is_cut_off() -> Result<()> {
    let world = World::start().await?;
    let identity = world.given_agent().await?;
    let local = TestBox::new();
    let link = world.link(&identity, &local);
    caught_up(&link).await?;
    assert!(local.held().abreast);

    world.revoke(&identity).await?;
    down_because(&link, "revoked").await?;
    assert!(!local.held().abreast, "what was known is not the news");
    assert_eq!(world.door().agents().count(), 0);
    link.stop().await;
    Ok(())
}

/// I3: a certificate that ended is renewed with the key it was made for, up to 90 days late, unless its agent
/// was revoked meanwhile.
#[tokio::test]
async fn a_box_that_was_off_for_45_days_renews_and_100_days_is_too_long() -> Result<()> {
    let world = World::start().await?;
    let (early, late) = (world.given_agent().await?, world.given_agent().await?);
    let gone = world.given_agent().await?;
    let old = early.fingerprint();

    world.clock.advance(Duration::from_secs(45 * 86_400));
    let link = world.link(&early, &TestBox::new());
    caught_up(&link).await?;
    assert_ne!(known_by(&world, &early).await?, old);
    link.stop().await;

    // Revoked is revoked, however late.
    world.revoke(&gone).await?;
    let link = world.link(&gone, &TestBox::new());
    down_because(&link, "revoked").await?;
    link.stop().await;
    assert_eq!(known_by(&world, &gone).await?, gone.fingerprint());

    world.clock.advance(Duration::from_secs(85 * 86_400));
    let link = world.link_at(&late, &TestBox::new(), START);
    down_because(&link, "xpired").await?;
    link.stop().await;
    Ok(())
}

/// The fingerprint of the certificate that the cloud knows an agent by.
async fn known_by(world: &World, identity: &Identity) -> Result<String> {
    let mut tx = world.db.begin(world.tenant).await?;
    let known = "select fingerprint from agents where tenant_id = $1 and id = $2";
    let known = sqlx::query_scalar(known)
        .bind(world.tenant)
        .bind(identity.agent)
        .fetch_one(&mut *tx)
        .await?;
    tx.rollback().await?;
    Ok(known)
}

#[tokio::test]
async fn a_box_that_does_not_know_how_late_it_is_renews_when_told() -> Result<()> {
    let world = World::start().await?;
    let identity = world.given_agent().await?;
    world.clock.advance(Duration::from_secs(45 * 86_400));

    let link = world.link_at(&identity, &TestBox::new(), START);
    caught_up(&link).await?;
    link.stop().await;
    Ok(())
}

#[tokio::test]
async fn a_certificate_is_renewed_from_half_its_life_on() -> Result<()> {
    let world = World::start().await?;
    let folder = world.folder();
    let token = world.token().await?.text();
    let joined = easyisp_agent::sync::enroll(&world.address(), &token, &folder, "0.1.0").await?;
    world.clock.advance(Duration::from_secs(16 * 86_400));

    let link = world.link(&joined, &TestBox::new());
    caught_up(&link).await?;
    link.stop().await;

    let renewed = Identity::load(&folder)?;
    assert_ne!(renewed.fingerprint(), joined.fingerprint());
    assert_eq!(renewed.agent, joined.agent);
    Ok(())
}

/// A box keeps no certificate that is not for its own key, and follows no authority unless one that it believed
/// before goes along.
#[tokio::test]
async fn what_is_no_renewal_changes_nothing() -> Result<()> {
    let world = World::start().await?;
    let (mut own, other) = (world.given_agent().await?, world.given_agent().await?);
    let (stranger, _) = Authority::create(START, &Entropy::seeded(5))?;
    let (before, believed) = (own.fingerprint(), own.authorities.clone());
    let [own_chain, another] = [&own, &other].map(|agent| agent.credentials().chain);

    assert!(own.renewed(another, believed.clone()).is_err());
    let instead = own.renewed(own_chain.clone(), vec![stranger.clone()]);
    assert!(instead.is_err());
    assert_eq!((own.fingerprint(), &own.authorities), (before, &believed));

    let both = [believed, vec![stranger]].concat();
    own.renewed(own_chain, both.clone())?;
    assert_eq!(own.authorities, both);
    Ok(())
}

/// I2: of two boxes with one identity neither is let in any more, and it is seen; the real one is enrolled
/// anew and goes on where it stood.
#[tokio::test]
async fn a_copied_identity_shuts_both_out_until_one_is_enrolled_anew() -> Result<()> {
    let world = World::start().await?;
    let identity = world.given_agent().await?;
    let (real, copy) = (TestBox::new(), TestBox::new());

    real.report_login("from the real one");
    let link = world.link(&identity, &real);
    eventually("the report", || async {
        Ok((real.acknowledged(Lane::Results) == 1).then_some(()))
    })
    .await?;
    copy.report_login("from the copy");
    let second = world.link(&identity, &copy);
    down_because(&second, "Another box").await?;
    down_because(&link, "Another box").await?;
    assert!(world.cloned(&identity).await?);
    assert_eq!(world.door().agents().count(), 0);
    second.stop().await;
    link.stop().await;
    assert_eq!(world.logins(world.tenant).await?, ["from the real one"]);

    world.revoke(&identity).await?;
    let again = world.given_agent().await?;
    real.held().position.generation = 0; // it belongs to the identity
    real.report_login("from the real one again");
    let link = world.link(&again, &real);
    eventually("the next report", || async {
        Ok((real.acknowledged(Lane::Results) == 2).then_some(()))
    })
    .await?;
    link.stop().await;
    let names = ["from the real one", "from the real one again"];
    assert_eq!(world.logins(world.tenant).await?, names);
    Ok(())
}
