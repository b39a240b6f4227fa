//! Two releases at the ends of one link.

use anyhow::{Context, Result, ensure};
use easyisp_agent::sync::Identity;
use easyisp_shared::wire::hello::{Hello, HelloV1, METERED, RefusalReason, Refused, Welcome};
use easyisp_shared::wire::monitor::PACKED_METRICS;
use easyisp_shared::wire::up::{ROUTER_POOLS, SESSION_PREFIXES};
use easyisp_shared::wire::{Message, PROTOCOL, PROTOCOL_OLDEST};
use uuid::Uuid;

use super::world::World;

/// Both speak the later of what each understands; what only one of them can do is not agreed on.
#[tokio::test]
async fn an_agent_of_a_later_release_is_spoken_to_as_the_cloud_can() -> Result<()> {
    let world = World::start().await?;
    let identity = world.given_agent().await?;
    let able = ["of-a-later-release"];
    let answer = greet(&world, &identity, (PROTOCOL_OLDEST, PROTOCOL + 2), &able).await?;
    let Message::Welcome(Welcome::V1(welcome)) = answer else {
        anyhow::bail!("not let in: {answer:?}");
    };
    assert_eq!(welcome.protocol, PROTOCOL);
    assert_eq!(
        welcome.capabilities,
        [PACKED_METRICS, ROUTER_POOLS, SESSION_PREFIXES]
    );
    Ok(())
}

/// An agent that understands nothing of what the cloud speaks is told so, and not to come back soon.
#[tokio::test]
async fn releases_without_a_word_in_common_say_so() -> Result<()> {
    let world = World::start().await?;
    for (oldest, latest) in [(PROTOCOL + 1, PROTOCOL + 2), (0, PROTOCOL_OLDEST - 1)] {
        let identity = world.given_agent().await?;
        let answer = greet(&world, &identity, (oldest, latest), &[]).await?;
        let Message::Refused(Refused::V1(refused)) = answer else {
            anyhow::bail!("{oldest} to {latest} is answered with {answer:?}");
        };
        assert_eq!(refused.reason, RefusalReason::Protocol);
        assert!(refused.retry_after_secs >= 60, "{refused:?}");
    }
    Ok(())
}

/// What an agent is able to do counts from the hello that says so to the next: put back to an earlier release it says no
/// such word, and is treated as one that does not do it.
#[tokio::test]
async fn an_ability_counts_for_the_release_that_names_it() -> Result<()> {
    let world = World::start().await?;
    let identity = world.given_agent().await?;
    let both = (PROTOCOL_OLDEST, PROTOCOL);
    for (able, metered) in [
        (vec![], false),
        (vec!["of-a-later-release", METERED], true),
        (vec!["METERED", "metered "], false),
        (vec![METERED], true),
        (vec![], false),
    ] {
        let answer = greet(&world, &identity, both, &able).await?;
        ensure!(matches!(answer, Message::Welcome(_)), "{answer:?}");
        assert_eq!(world.metered(&identity).await?, metered, "{able:?}");
    }
    Ok(())
}

/// What the cloud answers to an agent that speaks these versions and is able to do this.
async fn greet(
    world: &World,
    identity: &Identity,
    (oldest, latest): (u16, u16),
    able: &[&str],
) -> Result<Message> {
    let carrier = world.dial(identity).await?;
    let mut pipe = carrier.open().await?;
    let hello = HelloV1 {
        protocol_oldest: oldest,
        protocol: latest,
        capabilities: able.iter().map(|word| (*word).to_owned()).collect(),
        version: "9.0.0".into(),
        outbox: Uuid::from_u128(7),
        generation: 0,
        epoch: Uuid::nil(),
        cursor: 0,
        addresses: Vec::new(),
    };
    pipe.sink.send(&Message::Hello(Hello::V1(hello))).await?;
    let answer = pipe.source.receive().await?;
    answer.context("the cloud greets back")
}
