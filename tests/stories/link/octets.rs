//! What a link costs.

use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::Result;
use easyisp_shared::id::{CustomerId, RouterId};
use easyisp_shared::ipv6::Prefixes;
use easyisp_shared::wire::up::{AccountingStatus, AccountingV1};
use easyisp_shared::wire::{Lane, Up, UpKind};
use uuid::Uuid;

use super::boxes::{TestBox, caught_up};
use super::world::{START, World, eventually};

/// At 500 subscribers, whose interims come one after another over five minutes: at most 2 kB for each and
/// hour, IP headers and acknowledgements included. Interims wait 5 s for company, so 8 travel together.
#[tokio::test]
async fn an_online_subscriber_costs_two_kilobytes_an_hour() -> Result<()> {
    const TOGETHER: u32 = 500 * 5 / 300;
    const BATCHES: u32 = 60;
    let world = World::start().await?;
    let identity = world.given_agent().await?;
    let local = TestBox::new();
    let link = world.link(&identity, &local);
    caught_up(&link).await?;
    let agents = world.door().agents();
    let before = agents.traffic();
    for batch in 0..BATCHES {
        // All at once, as if they had waited: what is measured is the octets.
        local.report_many(
            Lane::Accounting,
            UpKind::Accounting.code(),
            (0..TOGETHER).map(|n| interim(batch * TOGETHER + n)),
        );
        eventually("the acknowledgement", || async {
            let wanted = u64::from((batch + 1) * TOGETHER);
            Ok((local.acknowledged(Lane::Accounting) == wanted).then_some(()))
        })
        .await?;
    }
    let after = agents.traffic();
    link.stop().await;
    let octets = after.sent - before.sent + after.received - before.received;
    let records = u64::from(BATCHES * TOGETHER);
    // Each way a datagram or two a batch, with 28 octets of IP and UDP that the counters do not see.
    let headers = u64::from(BATCHES) * 4 * 28;
    let hour = (octets + headers) * 12 / records;
    println!(
        "{hour} octets an online subscriber and hour at 5-minute interims; {} a day",
        hour * 24
    );
    assert!(hour <= 2000, "{hour}");
    Ok(())
}

fn interim(n: u32) -> Vec<u8> {
    let id = u128::from(n % 500);
    Up::Accounting(AccountingV1 {
        router: RouterId(Uuid::from_u128(0x0198_0000_0000_7000_8000_0000_0000_0001)),
        session: format!("8{n:07x}").into_bytes(),
        class: vec![7; 16],
        status: AccountingStatus::Interim,
        username: format!("user{id:04}").into_bytes(),
        customer: Some(CustomerId(Uuid::from_u128(
            0x0198_0000_0000_7000_8000_0000_0000_0000 + id,
        ))),
        framed_ip: Some(Ipv4Addr::from(0x0a00_0000 + n)),
        prefixes: Prefixes::default(),
        mac: None,
        at: START.plus(Duration::from_secs(u64::from(n))),
        started: START,
        session_secs: n,
        bytes_up: u64::from(n) * 1_000_003,
        bytes_down: u64::from(n) * 10_000_019,
        bytes_free: 0,
        cause: None,
    })
    .encode()
}
