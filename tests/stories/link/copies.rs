//! Who was shut out, or copied, changes nothing; and nobody makes others wait.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use easyisp_agent::sync::{Carrier, Identity, Path, Trust, dial, tls};
use easyisp_cloud::db::Measured;
use easyisp_shared::time::{Clock, Timestamp};
use easyisp_shared::wire::condition::ConditionV1;
use easyisp_shared::wire::question::{AgentQuestion, Answer, Ask};
use easyisp_shared::wire::{ALPN_LINK, Lane, Message, UpBatch, UpRecord};
use easyisp_tests::ports;
use uuid::Uuid;

use super::boxes::login;
use super::uplink::Caller;
use super::world::{PATIENCE, World, eventually};

/// V15: the copy of a box comes in at another node. The link of the original is still up there: what it reports is
/// neither stored nor acknowledged, and the link is cut, whether it says something or not.
#[tokio::test]
async fn a_copy_at_another_node_ends_the_originals_link() -> Result<()> {
    let world = World::start().await?;
    let node = world.another_node(ports::free_here()?).await?;
    for talks in [true, false] {
        let identity = world.given_agent().await?;
        let outbox = Uuid::from_u128(5);
        let mut original = Caller::greet(&world, &identity, outbox, 0).await?;
        original.send(0, 1..=1).await?;
        assert_eq!(original.acknowledged().await?, 1);
        let stored = world.logins(world.tenant).await?.len();

        let there = dial_at(&world, &identity, &node.address()?.to_string()).await?;
        let mut copy = Caller::offered_over(there, outbox, 1).await?;
        copy.hold().await?;
        copy.send(1, 2..=2).await?;
        assert_eq!(copy.acknowledged().await?, 2, "it counts now");

        if talks {
            original.send(1, 2..=9).await?;
            let answer = original.answer().await;
            ensure!(
                !matches!(answer, Ok(Some(_))),
                "it was answered: {answer:?}"
            );
        }
        let cut = tokio::time::timeout(PATIENCE, original.carrier.closed()).await;
        cut.context("the original is still connected")?;
        assert_eq!(world.logins(world.tenant).await?.len(), stored + 1);
    }
    node.close().await;
    Ok(())
}

/// Who does not hold what he was offered is not answered, and no certificate is renewed for two.
#[tokio::test]
async fn who_does_not_count_asks_in_vain() -> Result<()> {
    let world = World::start().await?;
    let identity = world.given_agent().await?;
    let mut caller = Caller::offered(&world, &identity, Uuid::from_u128(5), 0).await?;
    let condition = || AgentQuestion::Condition(quiet());
    let answer = ask(&caller.carrier, condition()).await?;
    ensure!(matches!(answer, Answer::Failed(_)), "{answer:?}");
    let answer = ask(&caller.carrier, AgentQuestion::Ping).await?;
    ensure!(matches!(answer, Answer::Body(_)), "{answer:?}");
    caller.hold().await?;
    let answer = ask(&caller.carrier, condition()).await?;
    ensure!(matches!(answer, Answer::Body(_)), "{answer:?}");

    let renew = || -> Result<AgentQuestion> {
        let csr = identity.renewal_request()?;
        Ok(AgentQuestion::Renew { csr })
    };
    let answer = ask(&caller.carrier, renew()?).await?;
    ensure!(matches!(answer, Answer::Body(_)), "{answer:?}");
    let mut tx = world.db.begin(world.tenant).await?;
    sqlx::query("update agents set cloned_at = enrolled_at where tenant_id = $1 and id = $2")
        .bind(world.tenant)
        .bind(identity.agent)
        .execute(&mut *tx)
        .await?;
    tx.commit().await?;
    let again = world.dial(&identity).await?;
    let answer = ask(&again, renew()?).await?;
    ensure!(matches!(answer, Answer::Failed(_)), "{answer:?}");
    Ok(())
}

/// The batches of one agent wait for a lock; another tenant's are stored meanwhile.
#[tokio::test]
async fn one_agents_batches_take_one_turn() -> Result<()> {
    let world = World::start().await?;
    let greedy = world.given_agent().await?;
    let outbox = Uuid::from_u128(5);
    let mut caller = Caller::greet(&world, &greedy, outbox, 0).await?;
    caller.send(0, 1..=1).await?;
    assert_eq!(caller.acknowledged().await?, 1);
    let mut held = world.db.begin(world.tenant).await?;
    sqlx::query("select mark from uplink_marks where tenant_id = $1 for update")
        .bind(world.tenant)
        .execute(&mut *held)
        .await?;
    let mut pipes = Vec::new();
    for _ in 0..8 {
        let mut pipe = caller.carrier.open().await?;
        let batch = UpBatch {
            outbox,
            lane: Lane::Results,
            after: 1,
            records: vec![UpRecord {
                kind: 2,
                sequence: 2,
                body: login("again", 2).encode(),
            }],
        };
        pipe.sink.send(&Message::Up(batch)).await?;
        pipes.push(pipe);
    }
    eventually("one of them waits", || async {
        let mut connection = world.db.glance().await?;
        let waiting: bool = sqlx::query_scalar(
            "select exists (select from pg_stat_activity
                             where datname = current_database() and wait_event_type = 'Lock')",
        )
        .fetch_one(&mut *connection)
        .await?;
        Ok(waiting.then_some(()))
    })
    .await?;

    let (tenant, site) = world.given_tenant(2).await?;
    let modest = world.given_agent_of(tenant, site).await?;
    let mut other = Caller::greet(&world, &modest, Uuid::from_u128(6), 0).await?;
    other.send(0, 1..=1).await?;
    // Well below the time after which a lock is given up.
    let stored = tokio::time::timeout(Duration::from_secs(2), other.acknowledged()).await;
    assert_eq!(stored.context("it waits behind the first")??, 1);
    held.rollback().await?;
    Ok(())
}

/// An agent sets its clock by the cloud's: a node that is wrong asks it to come back.
#[tokio::test]
async fn a_node_whose_clock_is_off_takes_no_agents() -> Result<()> {
    let world = World::start().await?;
    let identity = world.given_agent().await?;
    let at = world.clock.now();
    let measured = |off| Measured {
        asked: at,
        server: at.plus(Duration::from_secs(off)),
        round_trip: Duration::ZERO,
    };
    for _ in 0..3 {
        world.db.drift().note(measured(2));
    }
    let refused = Caller::offered(&world, &identity, Uuid::from_u128(5), 0).await;
    let why = refused.err().map(|why| why.to_string()).unwrap_or_default();
    ensure!(why.contains("Busy"), "{why}");
    for _ in 0..3 {
        world.db.drift().note(measured(0));
    }
    Caller::greet(&world, &identity, Uuid::from_u128(5), 0).await?;
    // What the server's clock shows is a moment of this machine's.
    let (before, server) = (Clock::system().now(), world.db.server_time().await?);
    let after = Clock::system().now();
    ensure!(
        before <= server && server <= after,
        "{before} {server} {after}"
    );
    Ok(())
}

async fn dial_at(world: &World, identity: &Identity, address: &str) -> Result<Arc<dyn Carrier>> {
    let now = world.clock.now();
    let trust = Trust::authorities(&identity.authorities, Arc::new(move || now))?;
    let tls = tls(ALPN_LINK, trust, Some(identity.credentials()))?;
    Ok(dial(address, Path::Quic, tls, PATIENCE).await?)
}

async fn ask(carrier: &Arc<dyn Carrier>, question: AgentQuestion) -> Result<Answer> {
    let mut pipe = carrier.open().await?;
    let asked = Message::Ask(Ask {
        deadline_millis: 2_000,
        body: question.encode(),
    });
    pipe.sink.send(&asked).await?;
    match tokio::time::timeout(PATIENCE, pipe.source.receive()).await?? {
        Some(Message::Answer(answer)) => Ok(answer),
        other => anyhow::bail!("not an answer: {other:?}"),
    }
}

fn quiet() -> ConditionV1 {
    ConditionV1 {
        at: Timestamp::from_secs(1),
        hosted: false,
        disk_used_percent: None,
        disk_since: None,
        moved_aside: Vec::new(),
        started: Timestamp::from_secs(0),
        clock_untrusted_since: None,
        refusing_since: None,
        routers: Vec::new(),
        upstream: None,
    }
}
