//! Power returns to a town: everybody dials at once, and the box has only just started.

use std::time::Duration;

use anyhow::Result;
use easyisp_tests::router::Settings;
use easyisp_tests::router::subscriber::{Dial, Method};
use easyisp_tests::world::soon;
use tokio::task::JoinSet;

use crate::edge::{Edge, name};

/// A7: with the timers of a router (1.1 s, three tries) nobody gives up, whoever else guesses passwords
/// through the same router meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn everybody_is_back_after_a_power_cut_and_nobody_gives_up() -> Result<()> {
    let many = if std::env::var_os("EASYISP_TEST_FULL").is_some() {
        2_000
    } else {
        300
    };
    let timers = |settings| Settings {
        resend: Duration::from_millis(1100),
        resends: 2,
        ..settings
    };
    let edge = Edge::open_with(many, timers).await?;
    let mut guesses = JoinSet::new();
    for number in 0..many / 2 {
        let guess = edge.router.subscriber(&name(number), "guess", Method::Pap);
        // Each from a device of its own: whatever is counted, the router has nothing to do with it.
        let device = format!("AA:BB:CC:0F:{:02X}:{:02X}", number >> 8, number & 0xff);
        guesses.spawn(async move { guess.mac(&device).dial().await });
    }
    let mut dials = JoinSet::new();
    for number in 0..many {
        let name = name(number);
        let subscriber = edge.router.subscriber(&name, &name, Method::MsChapV2);
        dials.spawn(async move {
            let online = subscriber.dial().await.online();
            online.started().await;
        });
    }
    soon("everybody is back", dials.join_all()).await?;
    assert_eq!(edge.agent.overview().sessions.count(), many);
    assert_eq!(edge.router.counters().timeouts, 0, "somebody gave up");
    for guess in guesses.join_all().await {
        assert!(matches!(guess, Dial::Rejected(_)), "{guess:?}");
    }
    edge.close().await;
    Ok(())
}
