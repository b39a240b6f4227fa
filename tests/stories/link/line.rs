//! What lines do to a link.

use std::time::{Duration, Instant};

use anyhow::Result;
use easyisp_agent::sync::{LinkStatus, Path};
use easyisp_shared::wire::Lane;
use easyisp_tests::line::Line;

use super::boxes::{TestBox, caught_up, holds};
use super::world::{PATIENCE, World, eventually};

/// D9: datagrams over 1280 octets and every fifth are lost and the NAT forgets, and the link stays up;
/// where UDP is blocked it comes up over TCP, and goes back to QUIC when it can.
#[tokio::test]
async fn a_bad_line_is_lived_with_and_a_blocked_one_goes_over_tcp() -> Result<()> {
    let world = World::start().await?;
    let identity = world.given_agent().await?;
    let line = Line::to(world.door().address()?, 1).await?;
    line.let_through(1280 - 28);
    let local = TestBox::new();
    let address = line.address.to_string();
    let link = world.link_over(&identity, &local, &address);
    // A link over TCP would not notice what follows.
    over(&link.status(), Path::Quic).await?;
    line.lose(20);
    caught_up(&link).await?;
    let up = link.status().borrow().clone();

    let many: Vec<u128> = (1..=1000).collect();
    world.put_many(&many, Some(&[5; 600])).await?;
    for n in 0..100 {
        local.report_login(&format!("before{n}"));
    }
    line.forget_ports();
    for n in 0..100 {
        local.report_login(&format!("after{n}"));
    }
    let wanted: Vec<(u128, &[u8])> = many.iter().map(|id| (*id, &[5; 600][..])).collect();
    holds(&local, &wanted).await?;
    eventually("all reports", || async {
        Ok((local.acknowledged(Lane::Results) == 200).then_some(()))
    })
    .await?;
    caught_up(&link).await?;
    let after = link.status().borrow().clone();
    assert_eq!(since(&after), since(&up), "the link went down");
    link.stop().await;

    line.lose(0);
    line.block_udp(true);
    let link = world.link_over(&identity, &local, &address);
    over(&link.status(), Path::Tcp { port: None }).await?;
    local.report_login("over TCP");
    world.put(2000, Some(b"over TCP")).await?;
    eventually("the report over TCP", || async {
        Ok((local.acknowledged(Lane::Results) == 201).then_some(()))
    })
    .await?;
    eventually("the row over TCP", || async {
        Ok(local.rows().contains_key(&2000).then_some(()))
    })
    .await?;

    line.block_udp(false);
    world.clock.advance(Duration::from_secs(15 * 60));
    over(&link.status(), Path::Quic).await?;
    link.stop().await;
    Ok(())
}

/// A firewall swallows UDP and hangs up on a TCP port that it does not know: the last port is tried, as often as
/// the first is not let through, and the link is up within half a minute.
#[tokio::test]
async fn a_line_that_lets_one_port_through_is_found_out() -> Result<()> {
    let world = World::start().await?;
    let identity = world.given_agent().await?;
    let own = Line::to(world.door().address()?, 1).await?;
    let last = Line::to(world.door().address()?, 2).await?;
    assert_eq!(own.address.ip(), last.address.ip());
    own.block_udp(true);
    own.block_tcp(true);
    last.block_udp(true);

    let (local, port) = (TestBox::new(), last.address.port());
    let began = Instant::now();
    let link = world.link_by(&identity, &local, &own.address.to_string(), port);
    over(&link.status(), Path::Tcp { port: Some(port) }).await?;
    local.report_login("by the last port");
    eventually("the report", || async {
        Ok((local.acknowledged(Lane::Results) == 1).then_some(()))
    })
    .await?;
    assert!(began.elapsed() < PATIENCE);

    // The firewall is gone; what stood goes on until QUIC is tried again.
    own.block_udp(false);
    world.clock.advance(Duration::from_secs(15 * 60));
    over(&link.status(), Path::Quic).await?;
    link.stop().await;
    Ok(())
}

fn since(status: &LinkStatus) -> Option<easyisp_shared::time::Timestamp> {
    match status {
        LinkStatus::Up { since, .. } => Some(*since),
        LinkStatus::Down { .. } => None,
    }
}

async fn over(status: &tokio::sync::watch::Receiver<LinkStatus>, path: Path) -> Result<()> {
    let mut status = status.clone();
    let up =
        status.wait_for(|status| matches!(status, LinkStatus::Up { over, .. } if *over == path));
    tokio::time::timeout(PATIENCE, up).await??;
    Ok(())
}
