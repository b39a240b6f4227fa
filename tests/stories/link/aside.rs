//! Reports that cannot be applied: kept aside up to a bound, applied once they can be, and never for a fault that is
//! not theirs.

use std::sync::{Arc, Mutex};

use anyhow::{Result, bail};
use easyisp_cloud::sites::reports::{Applier, Appliers};
use easyisp_cloud::sync::{Replayed, replay, replay_all};
use easyisp_shared::id::CustomerId;
use easyisp_shared::net::Mac;
use easyisp_shared::wire::hello::UpAck;
use easyisp_shared::wire::up::BindV1;
use easyisp_shared::wire::{Message, Up, UpKind, UpRecord};
use uuid::Uuid;

use super::boxes::login;
use super::uplink::Caller;
use super::world::{OF_A_LATER_SCHEMA, START, World};

/// D7: a node that is older or newer than its database keeps nobody's reports from being applied later.
#[tokio::test]
async fn a_schema_that_does_not_fit_is_not_the_fault_of_what_is_reported() -> Result<()> {
    let world = World::start().await?;
    let identity = world.given_agent().await?;
    let mut caller = Caller::greet(&world, &identity, Uuid::from_u128(5), 0).await?;
    let told = |sequence: u64, name: &str| UpRecord {
        kind: 2,
        sequence,
        body: login(name, sequence as usize).encode(),
    };
    let batch = || {
        vec![
            told(1, "before"),
            told(2, OF_A_LATER_SCHEMA),
            told(3, "after"),
        ]
    };
    for _ in 0..7 {
        caller.send_records(0, batch()).await?;
        match caller.answer().await? {
            Some(Message::UpAck(UpAck::Later { .. })) => {}
            other => bail!("not asked to wait: {other:?}"),
        }
    }
    assert!(world.set_aside().await?.is_empty());

    world.bring_up_to_date().await?;
    caller.send_records(0, batch()).await?;
    assert_eq!(caller.acknowledged().await?, 3);
    let logins = world.logins(world.tenant).await?;
    assert_eq!(logins, ["before", OF_A_LATER_SCHEMA, "after"]);
    assert!(world.set_aside().await?.is_empty());
    Ok(())
}

/// No agent fills the disk of all with what nobody understands.
#[tokio::test]
async fn so_much_of_an_agent_is_kept_aside_and_the_rest_is_counted() -> Result<()> {
    let world = World::start().await?;
    let identity = world.given_agent().await?;
    let mut caller = Caller::greet(&world, &identity, Uuid::from_u128(5), 0).await?;
    let unknown = |sequence: u64, octets: usize| UpRecord {
        kind: 30_000,
        sequence,
        body: vec![7; octets],
    };
    for after in [0, 900, 1800] {
        let records = (after + 1..=after + 900).map(|sequence| unknown(sequence, 1));
        caller.send_records(after, records.collect()).await?;
        assert_eq!(
            caller.acknowledged().await?,
            after + 900,
            "the lane moves on"
        );
    }
    assert_eq!(world.set_aside().await?.len(), 2_000);
    assert_eq!(world.dropped(&identity).await?, 700);

    let others = world.given_agent().await?;
    let mut caller = Caller::greet(&world, &others, Uuid::from_u128(6), 0).await?;
    for sequence in 1..=6 {
        let record = unknown(sequence, 900_000);
        caller.send_records(sequence - 1, vec![record]).await?;
        assert_eq!(caller.acknowledged().await?, sequence);
    }
    assert_eq!(world.dropped(&others).await?, 2, "4 MiB of it are kept");
    Ok(())
}

/// D7: what a release does not know is applied by the next one, in order, and once.
#[tokio::test]
async fn what_was_set_aside_is_applied_by_a_release_that_knows_it() -> Result<()> {
    let world = World::start().await?;
    let identity = world.given_agent().await?;
    let mut caller = Caller::greet(&world, &identity, Uuid::from_u128(5), 0).await?;
    let bind = |sequence: u64| UpRecord {
        kind: UpKind::Bind.code(),
        sequence,
        body: Up::Bind(BindV1 {
            customer: CustomerId(Uuid::from_u128(u128::from(sequence))),
            mac: Mac::new([1; 6]),
            at: START,
            instead_of: None,
        })
        .encode(),
    };
    caller.send_records(0, (1..=3).map(bind).collect()).await?;
    assert_eq!(caller.acknowledged().await?, 3);
    assert_eq!(world.set_aside().await?.len(), 3);

    let none = replay(&world.db, &Appliers::default(), world.tenant, None, START).await?;
    assert_eq!((none.applied, none.kept), (0, 3));
    let heard: Arc<Mutex<Vec<(u64, Uuid)>>> = Arc::default();
    let noted = heard.clone();
    let applier: Applier = Arc::new(move |_, agent, reports, _| {
        let agent = agent.id.0;
        let sequences = reports.iter().map(|report| (report.sequence, agent));
        noted.lock().expect("nobody panics here").extend(sequences);
        Box::pin(async { Ok(Vec::new()) })
    });
    let later = Appliers::default().with(UpKind::Bind, applier);
    for (applied, kept) in [(3, 0), (0, 0)] {
        let done = replay(&world.db, &later, world.tenant, None, START).await?;
        assert_eq!(done, Replayed { applied, kept });
    }
    // What the command does: for one provider, or for all.
    let (other, site) = world.given_tenant(2).await?;
    let theirs = world.given_agent_of(other, site).await?;
    let mut caller = Caller::greet(&world, &theirs, Uuid::from_u128(6), 0).await?;
    caller.send_records(0, (1..=2).map(bind).collect()).await?;
    assert_eq!(caller.acknowledged().await?, 2);
    for (whose, applied) in [(Some(world.tenant), 0), (None, 2), (None, 0)] {
        let done = replay_all(&world.db, &later, whose, START).await?;
        assert_eq!(done, Replayed { applied, kept: 0 });
    }
    let mut heard = heard.lock().expect("nobody panics here").clone();
    assert_eq!(
        heard.split_off(3),
        [(1, theirs.agent.0), (2, theirs.agent.0)]
    );
    let agent = identity.agent.0;
    assert_eq!(heard, [(1, agent), (2, agent), (3, agent)]);
    assert!(world.set_aside().await?.is_empty());
    Ok(())
}
