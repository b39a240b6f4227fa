//! Whatever goes wrong with any one command of a configuration: in the end the router is as it was to be, or as it was.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use easyisp_tests::router::Mishap;

use super::breaks::different;
use super::roof::{Roof, both, plain};

/// J7: each command that changes something is refused, or pretended, or its connection ends, or the router starts anew;
/// each of the four with EASYISP_TEST_FULL, else one of them for the first and the last command of each menu in turn.
#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_goes_wrong_leaves_nothing_half_done() -> Result<()> {
    let roof = Roof::open("every").await?;
    let id = roof.bring_up("Tower").await?;
    let router = &roof.router;
    let factory = router.machine();
    let before = plain(router);

    // Once without a mishap: what it orders, and what becomes of it.
    let begun = router.ordered_by_api().len();
    configure(&roof, &id).await?;
    let wanted = plain(router);
    let ordered = router.ordered_by_api().split_off(begun);
    ensure!(ordered.len() > 25, "{ordered:?}");
    ensure!(!different(&before, &wanted).is_empty());

    let full = std::env::var_os("EASYISP_TEST_FULL").is_some();
    let mishaps = [
        Mishap::Refuse("failure: not this time".to_owned()),
        Mishap::Pretend,
        Mishap::Hangup,
        Mishap::Reboot,
    ];
    let (mut undone, mut through) = (0, 0);
    for (turn, place) in places(&ordered, full).into_iter().enumerate() {
        let tried = mishaps.iter().enumerate();
        let tried = tried.filter(|(kind, _)| full || kind % mishaps.len() == turn % mishaps.len());
        for (_, mishap) in tried {
            router.configure(|machine| *machine = factory.clone());
            router.mishap_after(place, mishap.clone());
            let success = configure(&roof, &id).await?;
            router.mend();
            let (kind, expected) = match success {
                true => (&mut through, &wanted),
                false => (&mut undone, &before),
            };
            *kind += 1;
            ensure!(
                different(expected, &plain(router)).is_empty(),
                "{mishap:?} at {} ({place}), success {success}: {:#?}",
                ordered.get(place).map_or("", String::as_str),
                different(expected, &plain(router))
            );
        }
    }
    println!(
        "{} commands: {undone} times undone, {through} times through",
        ordered.len()
    );
    ensure!(undone > 0 && through > 0, "{undone} {through}");
    roof.close().await
}

/// All of them; else the first and the last of each.
fn places(ordered: &[String], all: bool) -> BTreeSet<usize> {
    let first = |(place, one): (usize, &String)| {
        ordered.iter().position(|other| other == one) == Some(place)
    };
    let last = |(place, one): (usize, &String)| {
        ordered.iter().rposition(|other| other == one) == Some(place)
    };
    let each = ordered.iter().enumerate();
    let chosen = each.filter(|one| all || first(*one) || last(*one));
    chosen.map(|(place, _)| place).collect()
}

/// Configures it and lets the time go by for which a router is waited for; whether it went through.
async fn configure(roof: &Roof, id: &str) -> Result<bool> {
    let owner = roof.isp.owner.clone();
    let path = format!("/wizard/{id}/configure");
    let asked = tokio::spawn(async move { owner.post(&path, &both()).await });
    // The box answers in its own time: the clock goes on at most twice a second.
    let mut last = Instant::now();
    let success = super::eventually("it comes to an end", async || {
        let status = roof.isp.owner.get(&format!("/wizard/{id}/status")).await?;
        let message = status["message"].as_str().context("a message")?;
        if message.contains("waits") && last.elapsed() > Duration::from_millis(500) {
            last = Instant::now();
            roof.world.clock.advance(Duration::from_secs(6));
        }
        if !asked.is_finished() {
            return Ok(None);
        }
        Ok(match status["step"].as_str() {
            Some("DONE") => Some(true),
            Some("FAILED") => Some(false),
            _ => None,
        })
    })
    .await?;
    // Where the box was slow it was answered before the end.
    asked.await??;
    Ok(success)
}
