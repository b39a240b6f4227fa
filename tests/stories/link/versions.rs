//! Two releases at the ends of one link.

use anyhow::{Context, Result};
use easyisp_shared::wire::hello::{Hello, HelloV1, RefusalReason, Refused, Welcome};
use easyisp_shared::wire::{Message, PROTOCOL, PROTOCOL_OLDEST};
use uuid::Uuid;

use super::world::World;

/// Both speak the later of what each understands; what only one of them can do is not agreed on.
#[tokio::test]
async fn an_agent_of_a_later_release_is_spoken_to_as_the_cloud_can() -> Result<()> {
    let world = World::start().await?;
    let answer = greet(&world, PROTOCOL_OLDEST, PROTOCOL + 2).await?;
    let Message::Welcome(Welcome::V1(welcome)) = answer else {
        anyhow::bail!("not let in: {answer:?}");
    };
    assert_eq!(welcome.protocol, PROTOCOL);
    assert_eq!(welcome.capabilities, Vec::<String>::new());
    Ok(())
}

/// An agent that understands nothing of what the cloud speaks is told so, and not to come back soon.
#[tokio::test]
async fn releases_without_a_word_in_common_say_so() -> Result<()> {
    let world = World::start().await?;
    for (oldest, latest) in [(PROTOCOL + 1, PROTOCOL + 2), (0, PROTOCOL_OLDEST - 1)] {
        let answer = greet(&world, oldest, latest).await?;
        let Message::Refused(Refused::V1(refused)) = answer else {
            anyhow::bail!("{oldest} to {latest} is answered with {answer:?}");
        };
        assert_eq!(refused.reason, RefusalReason::Protocol);
        assert!(refused.retry_after_secs >= 60, "{refused:?}");
    }
    Ok(())
}

/// What the cloud answers to a new agent that speaks these versions.
async fn greet(world: &World, oldest: u16, latest: u16) -> Result<Message> {
    let identity = world.given_agent().await?;
    let carrier = world.dial(&identity).await?;
    let mut pipe = carrier.open().await?;
    let hello = HelloV1 {
        protocol_oldest: oldest,
        protocol: latest,
        capabilities: vec!["of-a-later-release".into()],
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
