//! Live questions, both ways, with a deadline and an honest error.

use std::time::{Duration, Instant};

use anyhow::Result;
use easyisp_shared::id::{RouterId, SiteId};
use easyisp_shared::wire::Message;
use easyisp_shared::wire::question::{
    AgentQuestion, Answer, Ask, AskFailure, CloudReply, Question, Reply,
};
use uuid::Uuid;

use super::boxes::{TestBox, caught_up};
use super::world::{PATIENCE, START, World};

#[tokio::test]
async fn questions_are_answered_both_ways() -> Result<()> {
    let world = World::start().await?;
    let identity = world.given_agent().await?;
    let link = world.link(&identity, &TestBox::new());
    caught_up(&link).await?;
    let agents = world.door().agents();

    let ping = agents.ask(world.tenant, world.site, &Question::Ping, PATIENCE);
    assert_eq!(ping.await, Ok(Reply::Pong { now: START }));
    let asker = link.asker();
    let pong = asker.ask(AgentQuestion::Ping, PATIENCE).await;
    assert_eq!(pong, Ok(CloudReply::Pong { now: START }));

    link.stop().await;
    let gone = asker.ask(AgentQuestion::Ping, PATIENCE).await;
    assert!(matches!(gone, Err(AskFailure::Unreachable(_))), "{gone:?}");
    Ok(())
}

#[tokio::test]
async fn a_question_without_an_answer_says_why_and_in_time() -> Result<()> {
    let world = World::start().await?;
    let identity = world.given_agent().await?;
    let link = world.link(&identity, &TestBox::new());
    caught_up(&link).await?;
    let agents = world.door().agents();
    let router = RouterId(Uuid::from_u128(1));
    let within = Duration::from_millis(200);

    let asked = Instant::now();
    let silent = Question::LiveSessions {
        router: Some(router),
    };
    let silent = agents.ask(world.tenant, world.site, &silent, within).await;
    assert_eq!(silent, Err(AskFailure::TimedOut));
    assert!(asked.elapsed() < Duration::from_secs(5));

    let unreachable = Question::TestConnection { router };
    let unreachable = agents.ask(world.tenant, world.site, &unreachable, PATIENCE);
    let said = AskFailure::Unreachable("no route".into());
    assert_eq!(unreachable.await, Err(said));

    let nowhere = SiteId(Uuid::from_u128(404));
    let nobody = agents.ask(world.tenant, nowhere, &Question::Ping, PATIENCE);
    assert!(matches!(nobody.await, Err(AskFailure::Unreachable(_))));
    link.stop().await;
    Ok(())
}

#[tokio::test]
async fn a_question_of_a_later_release_is_answered_so() -> Result<()> {
    let world = World::start().await?;
    let identity = world.given_agent().await?;
    let carrier = world.dial(&identity).await?;

    let mut pipe = carrier.open().await?;
    let ask = Ask {
        deadline_millis: 1000,
        body: vec![200, 1, 2, 3],
    };
    pipe.sink.send(&Message::Ask(ask)).await?;
    let answer = pipe.source.receive().await?;
    let said = Answer::Failed(AskFailure::NotUnderstood);
    assert_eq!(answer, Some(Message::Answer(said)));
    Ok(())
}
