//! Two agents at one site: codes are good at either, once, whoever of the two and the cloud is missing.

mod orders;

use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use easyisp_agent::Agent;
use easyisp_agent::site::Keeping;
use easyisp_shared::entropy::Entropy;
use easyisp_shared::id::TenantId;
use easyisp_shared::time::{Clock, Timestamp};
use easyisp_tests::router::subscriber::{Dial, Method, Subscriber};
use easyisp_tests::world::{Pair, Provider, Site, World, eventually, soon};
use serde_json::json;

use crate::words::{DAY, HOUR, MINUTE, full};

/// The places of the two in the router's list.
const FIRST: usize = 0;
const SECOND: usize = 1;

/// The cloud is gone: each lets codes in, and each knows at once what the other one let in.
#[tokio::test(flavor = "multi_thread")]
async fn codes_are_good_at_either_agent_with_the_cloud_gone() -> Result<()> {
    let mut world = World::start().await?;
    let isp = Provider::sign_up(&world, "either").await?;
    let pair = Site::open_pair(&world, &isp).await?;
    let codes = held(&pair, &isp, 4, 6000).await?;
    world.stop_cloud().await?;
    pair.cut_off().await?;

    for (step, (agent, other)) in [(FIRST, SECOND), (SECOND, FIRST)].into_iter().enumerate() {
        let (number, code) = (u8::try_from(step + 1)?, &codes[step]);
        let shown = phone(&pair, agent, number, code).dial().await.online();
        assert!(shown.hang_up().await);
        for at in [other, agent] {
            let again = phone(&pair, at, number, code).dial().await.online();
            assert!(again.hang_up().await, "the same device, at agent {at}");
            let another = phone(&pair, at, 9, code).dial().await;
            assert!(!is_online(&another), "another device, at agent {at}");
        }
    }

    world.start_cloud().await?;
    everything_is_told(&world, &isp, &pair, 2).await?;
    pair.stop().await;
    world.stop().await
}

/// One box is unplugged. The other one lets codes in at once, knows what the dead one let in, and tells the
/// cloud of it.
#[tokio::test(flavor = "multi_thread")]
async fn one_agent_dies_and_the_other_knows_what_it_let_in() -> Result<()> {
    let world = World::start().await?;
    let isp = Provider::sign_up(&world, "onedies").await?;
    let mut pair = Site::open_pair(&world, &isp).await?;
    let codes = held(&pair, &isp, 3, 6000).await?;
    // Let in by one that is cut off from the cloud, and never reported by it.
    pair.cut_from_cloud(FIRST, true);
    phone(&pair, FIRST, 1, &codes[0]).dial().await.online();
    pair.site.stop_agent().await;

    phone(&pair, SECOND, 2, &codes[1]).dial().await.online();
    let thief = phone(&pair, SECOND, 9, &codes[0]).dial().await;
    assert!(!is_online(&thief));
    let known = phone(&pair, SECOND, 1, &codes[0]).dial().await;
    known.online();
    used(&isp, 2).await?;

    // It comes back with its files and no cloud, as if nothing had been.
    pair.site.start_agent().await?;
    eventually("the first is met", async || {
        let peers = pair.second().overview().peers.as_ref();
        Ok(peers
            .is_some_and(|peers| !peers.in_touch().is_empty())
            .then_some(()))
    })
    .await?;
    for code in &codes[..2] {
        let thief = phone(&pair, FIRST, 9, code).dial().await;
        assert!(!is_online(&thief), "{thief:?}");
    }
    comes_in(&pair, FIRST, 3, &codes[2]).await?;
    pair.cut_from_cloud(FIRST, false);
    everything_is_told(&world, &isp, &pair, 3).await?;
    pair.stop().await;
    world.stop().await
}

/// The cable between the two is out, and the cloud is there: the same codes are shown to both at the same
/// time, and each is good for one.
#[tokio::test(flavor = "multi_thread")]
async fn two_that_do_not_reach_each_other_let_nobody_in_twice() -> Result<()> {
    let world = World::start().await?;
    let isp = Provider::sign_up(&world, "cutcable").await?;
    let pair = Site::open_pair(&world, &isp).await?;
    let codes = held(&pair, &isp, 4, 6000).await?;
    pair.cut_between(true);
    for (step, code) in codes.iter().enumerate() {
        let number = u8::try_from(step * 2 + 1)?;
        let first = phone(&pair, FIRST, number, code);
        let dials = first.dial();
        let (first, second) = tokio::join!(dials, async {
            let second = phone(&pair, SECOND, number + 1, code);
            second.dial().await
        });
        let online = [&first, &second].map(is_online);
        ensure!(online != [true, true], "{step}: {first:?} {second:?}");
        // Who was refused in the race is not shut out: one of the two comes in.
        if online == [false, false] {
            comes_in(&pair, FIRST, number, code).await?;
        }
    }

    // After a minute one of the two keeps them alone, and the other one asks it through the cloud.
    world.clock.advance(Duration::from_secs(75));
    eventually("one keeps them alone", async || {
        let both = [pair.site.agent(), pair.second()].map(keeping);
        let alone = both.iter().filter(|how| **how == Keeping::Alone).count();
        Ok((alone == 1 && both.contains(&Keeping::Not)).then_some(()))
    })
    .await?;
    pair.cut_between(false);
    pair.in_touch().await?;
    everything_is_told(&world, &isp, &pair, 4).await?;
    pair.stop().await;
    world.stop().await
}

/// One box is dead, and the cloud is gone too: nobody can know what the dead one did, so nobody is let in for
/// the first time. With the cloud back the one that is left goes on, soon by itself.
#[tokio::test(flavor = "multi_thread")]
async fn with_two_of_three_missing_nobody_is_let_in_twice() -> Result<()> {
    let mut world = World::start().await?;
    let isp = Provider::sign_up(&world, "twomissing").await?;
    let mut pair = Site::open_pair(&world, &isp).await?;
    let codes = held(&pair, &isp, 4, 6000).await?;
    phone(&pair, FIRST, 1, &codes[0]).dial().await.online();
    pair.stop_second().await;
    world.stop_cloud().await?;
    pair.site.cut_off().await?;
    let shown = phone(&pair, FIRST, 2, &codes[1]).dial().await;
    assert!(!is_online(&shown), "{shown:?}");
    let known = phone(&pair, FIRST, 1, &codes[0]).dial().await.online();
    assert!(known.hang_up().await, "who is known comes in");

    world.start_cloud().await?;
    pair.site.caught_up().await?;
    comes_in(&pair, FIRST, 2, &codes[1]).await?;
    world.clock.advance(Duration::from_secs(75));
    eventually("the first keeps them alone", async || {
        Ok((keeping(pair.site.agent()) == Keeping::Alone).then_some(()))
    })
    .await?;
    world.stop_cloud().await?;
    pair.site.cut_off().await?;
    phone(&pair, FIRST, 3, &codes[2]).dial().await.online();

    // The dead one is back before it has heard of that, and cannot reach anybody: it lets nobody in.
    pair.cut_between(true);
    pair.cut_from_cloud(SECOND, true);
    pair.start_second().await?;
    let thief = phone(&pair, SECOND, 9, &codes[2]).dial().await;
    assert!(!is_online(&thief), "{thief:?}");
    // Nor does the cloud, which has not heard of it either: the first alone keeps the vouchers.
    pair.cut_from_cloud(FIRST, true);
    pair.cut_from_cloud(SECOND, false);
    world.start_cloud().await?;
    eventually("the second has the cloud", async || {
        let overview = pair.second().overview().clone();
        let report = tokio::task::spawn_blocking(move || overview.report()).await?;
        Ok((report.link_up && keeping(pair.second()) == Keeping::Not).then_some(()))
    })
    .await?;
    let thief = phone(&pair, SECOND, 9, &codes[2]).dial().await;
    assert!(!is_online(&thief), "{thief:?}");
    pair.cut_between(false);
    pair.cut_from_cloud(FIRST, false);
    pair.site.caught_up().await?;
    pair.in_touch().await?;
    everything_is_told(&world, &isp, &pair, 3).await?;
    pair.stop().await;
    world.stop().await
}

/// The cloud let a device in, and its word never arrived: the agent that asked has given its vote, and gives
/// it to no other device, whoever asks for it.
#[tokio::test(flavor = "multi_thread")]
async fn a_vote_is_given_once() -> Result<()> {
    let mut world = World::start().await?;
    let isp = Provider::sign_up(&world, "voteonce").await?;
    let mut pair = Site::open_pair(&world, &isp).await?;
    let codes = held(&pair, &isp, 2, 6000).await?;
    pair.cut_between(true);
    pair.cut_from_cloud(SECOND, true);
    pair.lose_answers(FIRST, true);
    let shown = phone(&pair, FIRST, 1, &codes[0]).dial().await;
    assert!(!is_online(&shown), "{shown:?}");
    used(&isp, 1).await?;
    world.stop_cloud().await?;
    pair.cut_from_cloud(FIRST, true);

    // Both boxes restart meanwhile: what was given is on disk.
    pair.site.stop_agent().await;
    pair.stop_second().await;
    pair.cut_between(false);
    pair.site.start_agent().await?;
    pair.start_second().await?;
    pair.in_touch().await?;
    comes_in(&pair, SECOND, 3, &codes[1]).await?;
    for _ in 0..3 {
        let thief = phone(&pair, SECOND, 2, &codes[0]).dial().await;
        assert!(!is_online(&thief), "{thief:?}");
    }

    world.start_cloud().await?;
    pair.lose_answers(FIRST, false);
    for agent in [FIRST, SECOND] {
        pair.cut_from_cloud(agent, false);
    }
    pair.site.caught_up().await?;
    comes_in(&pair, FIRST, 1, &codes[0]).await?;
    everything_is_told(&world, &isp, &pair, 2).await?;
    pair.stop().await;
    world.stop().await
}

/// One box let a device in with the other one's vote, and died before it could say so to anybody. The one that
/// voted knows no more than that, and lets no other device in: not with the cloud's vote, and not alone.
#[tokio::test(flavor = "multi_thread")]
async fn a_vote_outlives_the_box_it_was_given_to() -> Result<()> {
    let world = World::start().await?;
    let isp = Provider::sign_up(&world, "outlives").await?;
    let mut pair = Site::open_pair(&world, &isp).await?;
    let codes = held(&pair, &isp, 6, 6000).await?;
    pair.cut_from_cloud(FIRST, true);
    let mut let_in = None;
    for (number, code) in (1..).zip(&codes[1..]) {
        pair.lose_after_next_answer(SECOND);
        if is_online(&phone(&pair, FIRST, number, code).dial().await) {
            let_in = Some((number, code));
            break;
        }
        // The answer was to something else that the two said to each other.
        pair.cut_between(false);
        pair.in_touch().await?;
    }
    let (number, code) = let_in.context("no device came in with the other one's vote")?;
    pair.site.stop_agent().await;

    let refused = async || {
        for _ in 0..3 {
            let thief = phone(&pair, SECOND, 9, code).dial().await;
            ensure!(!is_online(&thief), "{thief:?}");
        }
        anyhow::Ok(())
    };
    refused().await?;
    comes_in(&pair, SECOND, 10, &codes[0]).await?;
    world.clock.advance(Duration::from_secs(75));
    eventually("the second keeps them alone", async || {
        Ok((keeping(pair.second()) == Keeping::Alone).then_some(()))
    })
    .await?;
    refused().await?;
    comes_in(&pair, SECOND, number, code).await?;

    pair.cut_between(false);
    pair.cut_from_cloud(FIRST, false);
    pair.site.start_agent().await?;
    pair.in_touch().await?;
    everything_is_told(&world, &isp, &pair, 2).await?;
    pair.stop().await;
    world.stop().await
}

/// A box that was revoked lets no code in by itself, reached or not, and the one that is left does.
#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_agent_has_no_vote() -> Result<()> {
    let world = World::start().await?;
    let isp = Provider::sign_up(&world, "novote").await?;
    let pair = Site::open_pair(&world, &isp).await?;
    let codes = held(&pair, &isp, 3, 6000).await?;
    let me = pair.site.agent().overview().site.agent();
    let revoked = me.context("the first agent has an id")?;
    let sites = isp.owner.get("/sites").await?;
    let id = sites["sites"][0]["id"].as_str().context("a site")?;
    pair.cut_from_cloud(FIRST, true);
    let path = format!("/sites/{id}/agents/{revoked}/revoke");
    isp.owner.post(&path, &json!({})).await?;
    eventually("the second keeps them alone", async || {
        Ok((keeping(pair.second()) == Keeping::Alone).then_some(()))
    })
    .await?;

    let shown = phone(&pair, FIRST, 1, &codes[0]).dial().await;
    assert!(!is_online(&shown), "{shown:?}");
    phone(&pair, SECOND, 2, &codes[0]).dial().await.online();
    phone(&pair, SECOND, 3, &codes[1]).dial().await.online();
    used(&isp, 2).await?;
    assert_eq!(conflicts(&world, &isp).await?, 0);
    pair.stop().await;
    world.stop().await
}

/// Lines are cut and mended, boxes are switched off and on, and codes are shown to either or to both, as a seed
/// decides: whatever happens, a code is one device's.
#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_missing_a_code_is_one_devices() -> Result<()> {
    let seeds = if full() { 12 } else { 1 };
    for seed in 1..=seeds {
        chaos(seed)
            .await
            .with_context(|| format!("seed {seed} of chaos in pair.rs"))?;
    }
    Ok(())
}

async fn chaos(seed: u64) -> Result<()> {
    let world = World::start().await?;
    let isp = Provider::sign_up(&world, &format!("chaos{seed}")).await?;
    let mut pair = Site::open_pair(&world, &isp).await?;
    let codes = held(&pair, &isp, 24, 6000).await?;
    let random = Entropy::seeded(seed);
    // Of each code's two devices, which were ever let in.
    let mut owners = vec![[false; 2]; codes.len()];
    for step in 0..40 {
        match random.below(8) {
            0 => pair.cut_between(true),
            1 => pair.cut_between(false),
            2 => pair.cut_from_cloud(random.below(2).try_into()?, true),
            3 => {
                pair.cut_from_cloud(FIRST, false);
                pair.cut_from_cloud(SECOND, false);
            }
            4 => {
                pair.site.stop_agent().await;
                pair.site.start_agent().await?;
            }
            5 => {
                pair.stop_second().await;
                pair.start_second().await?;
            }
            6 => world.clock.advance(Duration::from_secs(75)),
            _ => {}
        }
        let code: usize = random.below(codes.len().try_into()?).try_into()?;
        let devices =
            [2 * code + 1, 2 * code + 2].map(|number| u8::try_from(number).unwrap_or(255));
        let mut agents = [FIRST, SECOND];
        if random.below(2) == 0 {
            agents.reverse();
        }
        let (first, second) = tokio::join!(
            async {
                phone(&pair, agents[0], devices[0], &codes[code])
                    .dial()
                    .await
            },
            async {
                phone(&pair, agents[1], devices[1], &codes[code])
                    .dial()
                    .await
            },
        );
        for (owner, dial) in owners[code].iter_mut().zip([&first, &second]) {
            *owner |= is_online(dial);
        }
        ensure!(owners[code] != [true, true], "step {step}, code {code}");
    }

    pair.cut_between(false);
    for agent in [FIRST, SECOND] {
        pair.cut_from_cloud(agent, false);
    }
    pair.site.caught_up().await?;
    pair.in_touch().await?;
    for (code, owner) in codes.iter().zip(&owners) {
        let number = u8::try_from(2 * codes.iter().position(|other| other == code).unwrap_or(0))?;
        for agent in [FIRST, SECOND] {
            for (device, was_in) in owner.iter().enumerate() {
                let number = number + u8::try_from(device)? + 1;
                let dial = phone(&pair, agent, number, code).dial().await;
                let other_was = owner[1 - device];
                ensure!(
                    !(other_was && is_online(&dial)),
                    "{number} after another: {dial:?}"
                );
                ensure!(
                    is_online(&dial) || !was_in,
                    "{number} was in before: {dial:?}"
                );
                if is_online(&dial) && !was_in {
                    break; // its first: the other device is a stranger from here on
                }
            }
        }
    }
    pair.site.reported().await?;
    pair.second_reported().await?;
    assert_eq!(conflicts(&world, &isp).await?, 0);
    assert_eq!(world.book_findings().await?, Vec::<String>::new());
    pair.stop().await;
    world.stop().await
}

/// A subscriber with one device came in through one agent, and his session ended while that one was away: told
/// so by the other, it lets his next device in at once when it is back.
#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_ended_elsewhere_keeps_nobody_out() -> Result<()> {
    let world = World::start().await?;
    let isp = one_device(&world, "ghosts").await?;
    let mut pair = Site::open_pair(&world, &isp).await?;
    pair.know("jane").await?;
    let online = device(&pair, FIRST, 1).dial().await.online();
    soon("the Start is answered", online.started()).await?;
    pair.site.stop_agent().await;
    pair.site.router.ask_only(Some(SECOND));
    assert!(online.hang_up().await, "the second takes the Stop");
    pair.site.start_agent().await?;
    let next = eventually("the first lets the next device in", async || {
        Ok(match device(&pair, FIRST, 2).dial().await {
            Dial::Online(online) => Some(online),
            Dial::Rejected(_) | Dial::NoAnswer | Dial::Unproven => None,
        })
    })
    .await?;
    soon("the Start is answered", next.started()).await?;

    // And at once, where both are there.
    let held = device(&pair, FIRST, 3).dial().await;
    assert!(!is_online(&held), "two devices: {held:?}");
    pair.site.router.ask_only(Some(SECOND));
    assert!(next.hang_up().await, "the second takes the Stop");
    eventually("the first heard that it is over", async || {
        let dial = device(&pair, FIRST, 3).dial().await;
        Ok(is_online(&dial).then_some(()))
    })
    .await?;
    pair.stop().await;
    world.stop().await
}

/// A subscriber with one device is online through one agent: the other lets his second one in no more than the
/// first does, also when the first is dead or was met only after he came in. His own device dials again as it
/// likes.
#[tokio::test(flavor = "multi_thread")]
async fn a_place_taken_at_one_agent_is_taken_at_the_other() -> Result<()> {
    let world = World::start().await?;
    let isp = one_device(&world, "places").await?;
    let mut pair = Site::open_pair(&world, &isp).await?;
    pair.know("jane").await?;
    let online = device(&pair, FIRST, 1).dial().await.online();
    soon("the Start is answered", online.started()).await?;
    eventually("the second heard of it", async || {
        let dial = device(&pair, SECOND, 2).dial().await;
        if let Dial::Online(early) = &dial {
            ensure!(early.hang_up().await, "the second takes the Stop");
        }
        Ok((!is_online(&dial)).then_some(()))
    })
    .await?;

    pair.site.stop_agent().await;
    let refused = device(&pair, SECOND, 2).dial().await;
    assert!(matches!(refused, Dial::Rejected(_)), "{refused:?}");
    let again = device(&pair, SECOND, 1).dial().await.online();
    soon("the Start is answered", again.started()).await?;
    assert!(online.hang_up().await, "the second takes the Stop");

    // The first comes back and was told nothing yet of what began meanwhile.
    pair.site.start_agent().await?;
    eventually("the first heard of it", async || {
        let dial = device(&pair, FIRST, 3).dial().await;
        if let Dial::Online(early) = &dial {
            ensure!(early.hang_up().await, "the first takes the Stop");
        }
        Ok((!is_online(&dial)).then_some(()))
    })
    .await?;
    pair.site.router.ask_only(Some(SECOND));
    assert!(again.hang_up().await, "the second takes the Stop");
    eventually("his next device is let in", async || {
        let dial = device(&pair, FIRST, 3).dial().await;
        Ok(is_online(&dial).then_some(()))
    })
    .await?;
    pair.stop().await;
    world.stop().await
}

/// V5: one of the boxes was off for three hours, has no clock of its own, and the cloud is gone: each dates by its own
/// clock what begins at either. A code is over nowhere before it was used, and nowhere gives more than its time; with the
/// cloud back it began when it was shown, whichever box says so first, and though one was restarted in between.
#[tokio::test(flavor = "multi_thread")]
async fn a_code_begins_when_it_is_shown_though_a_box_is_hours_behind() -> Result<()> {
    for (name, says) in [("slowfirst", FIRST), ("slowlast", SECOND)] {
        let mut world = World::start().await?;
        let isp = Provider::sign_up(&world, name).await?;
        let mut pair = Site::open_pair(&world, &isp).await?;
        let codes = held(&pair, &isp, 3, 100).await?;
        world.stop_cloud().await?;
        pair.cut_off().await?;
        for agent in [FIRST, SECOND] {
            pair.cut_from_cloud(agent, true);
        }
        pair.stop_second().await;
        let behind = Clock::test(world.clock.now());
        world.clock.advance(3 * HOUR);
        pair.start_second_on(behind.clone()).await?;
        pair.in_touch().await?;

        let began = world.clock.now();
        for (number, shown) in (1..).zip([FIRST, SECOND]) {
            let code = &codes[usize::from(number) - 1];
            // The way between them may have to be opened first: who is told to try again does.
            eventually("it is let in", async || {
                let dial = phone(&pair, shown, number, code).dial().await;
                match is_online(&dial) {
                    true => Ok(Some(dial.online().hang_up().await)),
                    false => Ok(None),
                }
            })
            .await?;
            for at in [shown, FIRST, SECOND] {
                let dial = phone(&pair, at, number, code).dial().await;
                ensure!(
                    is_online(&dial),
                    "{name}: shown at {shown}, then {at}: {dial:?}"
                );
                assert!(dial.online().hang_up().await);
            }
        }
        // To the last minute at both, and not beyond.
        let pass = |time| [&world.clock, &behind].map(|clock| clock.advance(time));
        pass(95 * MINUTE);
        for (at, number) in [(FIRST, 1), (SECOND, 1), (FIRST, 2), (SECOND, 2)] {
            let code = &codes[usize::from(number) - 1];
            let dial = phone(&pair, at, number, code).dial().await;
            ensure!(is_online(&dial), "{name}: {number} at {at}: {dial:?}");
            assert!(dial.online().hang_up().await);
        }
        pair.stop_second().await;
        pair.start_second_on(behind.clone()).await?;
        pair.in_touch().await?;
        pass(10 * MINUTE);
        for (at, number) in [(FIRST, 1), (SECOND, 1), (FIRST, 2), (SECOND, 2)] {
            let code = &codes[usize::from(number) - 1];
            let dial = phone(&pair, at, number, code).dial().await;
            ensure!(
                !is_online(&dial),
                "{name}: {number} at {at} beyond its time"
            );
        }

        world.start_cloud().await?;
        for agent in [says, 1 - says] {
            pair.cut_from_cloud(agent, false);
            used(&isp, 2).await?;
        }
        everything_is_told(&world, &isp, &pair, 2).await?;
        for used in began_at(&world, &isp).await? {
            let apart = used.since(began).max(began.since(used));
            ensure!(apart < MINUTE, "{name}: {used} where it was {began}");
        }
        pair.stop().await;
        world.stop().await?;
    }
    Ok(())
}

/// Vouchers for an hour, held by both agents.
async fn held(pair: &Pair, isp: &Provider, count: usize, minutes: u32) -> Result<Vec<String>> {
    let package = json!({"name": "Hour", "type": "HOTSPOT", "price": 20, "downloadSpeed": 4,
        "uploadSpeed": 2, "sessionTime": minutes});
    let package = isp.owner.post("/packages", &package).await?;
    let body = json!({"count": count, "packageId": package["id"], "type": "HOTSPOT"});
    let made = isp.owner.post("/vouchers", &body).await?;
    let made = made["vouchers"].as_array().context("vouchers")?;
    let codes = made.iter().filter_map(|made| made["code"].as_str());
    let codes: Vec<String> = codes.map(str::to_owned).collect();
    for agent in [pair.site.agent(), pair.second()] {
        let site = &agent.overview().site;
        eventually("an agent holds the vouchers", async || {
            Ok((site.vouchers_held() == count).then_some(()))
        })
        .await?;
    }
    Ok(codes)
}

async fn one_device(world: &World, name: &str) -> Result<Provider> {
    let mut isp = Provider::sign_up(world, name).await?;
    isp.package = isp.owner.add_package("One", 10, 1000, 1).await?;
    let until = world.clock.now().plus(30 * DAY);
    isp.add_subscriber("jane", "254712345640", until).await?;
    Ok(isp)
}

/// One of jane's devices, asking one agent alone.
fn device(pair: &Pair, agent: usize, number: u8) -> Subscriber {
    pair.site.router.ask_only(Some(agent));
    let jane = pair
        .site
        .router
        .subscriber("jane", "jane", Method::MsChapV2);
    jane.mac(&format!("02:00:00:00:02:{number:02X}"))
}

fn phone(pair: &Pair, agent: usize, number: u8, code: &str) -> Subscriber {
    pair.site.router.ask_only(Some(agent));
    pair.site
        .router
        .subscriber(code, code, Method::Pap)
        .hotspot(Ipv4Addr::new(10, 5, 50, number))
        .mac(&format!("02:00:00:00:01:{number:02X}"))
}

async fn comes_in(pair: &Pair, agent: usize, number: u8, code: &str) -> Result<()> {
    eventually("the code lets its device in", async || {
        let dial = phone(pair, agent, number, code).dial().await;
        Ok(is_online(&dial).then_some(()))
    })
    .await
}

fn is_online(dial: &Dial) -> bool {
    matches!(dial, Dial::Online(_))
}

fn keeping(agent: &Agent) -> Keeping {
    agent.overview().site.keeping()
}

/// Waits until the cloud has so many vouchers as used.
async fn used(isp: &Provider, count: usize) -> Result<()> {
    eventually(&format!("{count} vouchers are used"), async || {
        let list = isp.owner.get("/vouchers?status=USED").await?;
        let rows = list["vouchers"].as_array().map(Vec::len);
        Ok((rows == Some(count)).then_some(()))
    })
    .await
}

async fn everything_is_told(
    world: &World,
    isp: &Provider,
    pair: &Pair,
    count: usize,
) -> Result<()> {
    pair.site.caught_up().await?;
    pair.site.reported().await?;
    pair.second_reported().await?;
    used(isp, count).await?;
    assert_eq!(conflicts(world, isp).await?, 0);
    assert_eq!(world.book_findings().await?, Vec::<String>::new());
    Ok(())
}

/// When the used vouchers began, by the cloud.
async fn began_at(world: &World, isp: &Provider) -> Result<Vec<Timestamp>> {
    let mut tx = world.db().begin(isp.tenant().await?).await?;
    let began = sqlx::query_scalar("select used_at from vouchers where used_at is not null");
    let began: Vec<Timestamp> = began.fetch_all(&mut *tx).await?;
    ensure!(!began.is_empty(), "none was used");
    Ok(began)
}

/// How often the cloud heard of a second first use of a voucher.
async fn conflicts(world: &World, isp: &Provider) -> Result<i64> {
    let me = isp.owner.get("/tenant/me").await?;
    let tenant = me["id"].as_str().context("the tenant's id")?.parse()?;
    let mut tx = world.db().begin(TenantId(tenant)).await?;
    let count = sqlx::query_scalar("select count(*) from audit where action = 'VOUCHER_CONFLICT'");
    Ok(count.fetch_one(&mut *tx).await?)
}
