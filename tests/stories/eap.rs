//! Logins by EAP, with the supplicants that people have: who knows the password gets in and both ends
//! of the line hold the same keys.

mod ike;
pub mod supplicant;
mod wired;

use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use easyisp_shared::time::Clock;
use easyisp_tests::world::eventually;
use ike::{Roads, Tunnel};
use supplicant::{Answer, Method, OneAgent, PAID_FOR, STATIC_ADDRESS};
use wired::{Wired, free_port};

use crate::words::full;

pub const PLAIN: Method = Method {
    eap: "MSCHAPV2",
    phase1: None,
    phase2: None,
    outer: None,
};

pub const PEAP: Method = Method {
    eap: "PEAP",
    phase1: None,
    phase2: Some("auth=MSCHAPV2"),
    outer: Some("anonymous"),
};
pub const TTLS_PAP: Method = Method {
    eap: "TTLS",
    phase1: None,
    phase2: Some("auth=PAP"),
    outer: Some("anonymous"),
};
pub const TTLS_MSCHAPV2: Method = Method {
    phase2: Some("auth=MSCHAPV2"),
    ..TTLS_PAP
};

/// Windows, phones, switches.
#[tokio::test(flavor = "multi_thread")]
async fn peap_lets_in_who_knows_the_password_and_has_paid() -> Result<()> {
    lets_in_the_right_ones(&PEAP).await
}

#[tokio::test(flavor = "multi_thread")]
async fn ttls_with_pap_lets_in_who_knows_the_password_and_has_paid() -> Result<()> {
    lets_in_the_right_ones(&TTLS_PAP).await
}

#[tokio::test(flavor = "multi_thread")]
async fn ttls_with_mschapv2_lets_in_who_knows_the_password_and_has_paid() -> Result<()> {
    lets_in_the_right_ones(&TTLS_MSCHAPV2).await
}

/// RFC 9427 changed how the keys come out of a tunnel of TLS 1.3.
#[tokio::test(flavor = "multi_thread")]
async fn tunnels_of_tls_1_3_give_both_ends_the_same_keys() -> Result<()> {
    for method in [PEAP, TTLS_PAP, TTLS_MSCHAPV2] {
        let only = "tls_disable_tlsv1_0=1 tls_disable_tlsv1_1=1 tls_disable_tlsv1_2=1 tls_disable_tlsv1_3=0";
        let method = Method {
            phase1: Some(only),
            ..method
        };
        lets_in_the_right_ones(&method).await?;
    }
    Ok(())
}

/// A supplicant that pins another authority sends no password.
#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_with_another_authority_learns_nothing() -> Result<()> {
    let (site, stranger) = (OneAgent::start().await?, OneAgent::start().await?);
    std::fs::copy(site.authority(), stranger.authority())?;
    let login = stranger.log_in(&PEAP, "demo001", "demo001").await?;
    ensure!(login.answer != Answer::Accepted, "{}", login.transcript);
    ensure!(
        login.transcript.contains("unknown ca") || login.transcript.contains("unknown CA"),
        "{}",
        login.transcript
    );
    site.agent.stop().await;
    stranger.agent.stop().await;
    Ok(())
}

/// IKEv2 clients and old switches: no tunnel around it, keys of half the length.
#[tokio::test(flavor = "multi_thread")]
async fn eap_mschapv2_lets_in_who_knows_the_password_and_has_paid() -> Result<()> {
    lets_in_the_right_ones(&PLAIN).await
}

/// 802.1X on a wire: the name inside the tunnel is the one that accounting tells of, and the port closes
/// at the paid end by Disconnect, long before the switch itself would ask again.
#[tokio::test(flavor = "multi_thread")]
async fn a_switch_port_opens_after_login_and_closes_at_the_paid_end() -> Result<()> {
    let (clock, das) = (Clock::test(Clock::system().now()), free_port()?);
    let switch = (Ipv4Addr::LOCALHOST, das).into();
    let site = OneAgent::start_on(clock.clone(), switch, |_| {}).await?;
    let wired = Wired::plug_in(&site, "demo001", das).await?;
    let overview = site.agent.overview().clone();

    let opened = eventually("accounting tells of the session", async || {
        let open = overview.sessions.open_by_name(b"demo001");
        Ok((open.len() == 1).then_some(()))
    });
    opened
        .await
        .with_context(|| format!("{:#?}", wired.said()))?;

    clock.advance(PAID_FOR);
    let closed = eventually("the port closes and stays closed", async || {
        let open = overview.sessions.open_by_name(b"demo001");
        let refused = overview.report().counters.contains_key("rejected");
        Ok((open.is_empty() && refused).then_some(()))
    });
    closed
        .await
        .with_context(|| format!("{:#?}", wired.said()))?;
    let (switch, _) = wired.said()?;
    for said in ["DAS: Found a matching session", "DAS: Reply to"] {
        ensure!(switch.contains(said), "{switch}");
    }

    wired.unplug().await?;
    site.agent.stop().await;
    Ok(())
}

/// IKEv2 through strongSwan's eap-radius: the address is the customer's own, bytes are counted, and at the
/// paid end the gateway obeys the Disconnect.
#[tokio::test(flavor = "multi_thread")]
async fn an_ikev2_gateway_serves_who_has_paid_until_he_has_not() -> Result<()> {
    const PORT: u16 = 3799;
    let clock = Clock::test(Clock::system().now());
    let roads = Roads::lay().await?;
    let (host, gate) = (roads.host(), roads.gate());
    let site = OneAgent::start_on(clock.clone(), (gate, PORT).into(), |config| {
        config.radius.auth = (host, 0).into();
        config.radius.acct = (host, 0).into();
    })
    .await?;
    let tunnel = Tunnel::build(roads, &site, PORT).await?;
    let sessions = site.agent.overview().sessions.clone();

    for (name, password) in [
        ("demo002", "demo001"),
        ("nobody", "demo001"),
        ("demo021", "demo021"),
    ] {
        let refused = tunnel.dial(name, password).await?;
        ensure!(refused.is_none(), "{name} got {refused:?}");
    }
    let pooled = tunnel.dial("demo001", "demo001").await?;
    ensure!(
        pooled.is_some_and(|address| address.octets().starts_with(&[10, 88])),
        "{pooled:?}"
    );
    tunnel.hang_up().await?;
    let ended = eventually("he hangs up", async || {
        Ok((sessions.count() == 0).then_some(()))
    });
    ended
        .await
        .with_context(|| tunnel.said().unwrap_or_default())?;

    let own = tunnel.dial("demo003", "demo003").await?;
    ensure!(own == Some(STATIC_ADDRESS), "{own:?}: {}", tunnel.said()?);
    let began = eventually("accounting tells of the session", async || {
        Ok(sessions.open_by_name(b"demo003").into_iter().next())
    });
    let began = began
        .await
        .with_context(|| tunnel.said().unwrap_or_default())?;
    ensure!(began.session.framed_ip == Some(STATIC_ADDRESS), "{began:?}");
    ensure!(began.session.grant.is_some(), "its Class came back");
    tunnel.ping(STATIC_ADDRESS, 20).await?;
    if full() {
        let update = async {
            loop {
                let now = sessions.find(&began.session.key).context("the session")?;
                if now.session.bytes() > 0 {
                    return anyhow::Ok(());
                }
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(90), update).await??;
    }

    clock.advance(PAID_FOR);
    let over = eventually("the gateway ends it", async || {
        let found = sessions.find(&began.session.key);
        Ok(found.filter(|online| online.session.closed.is_some()))
    });
    let over = over
        .await
        .with_context(|| tunnel.said().unwrap_or_default())?;
    let (up, down) = (over.session.bytes_in, over.session.bytes_out);
    ensure!(
        up >= 20 * 1028 && down >= 20 * 1028 && up + down < 60 * 1028,
        "{up} and {down} bytes"
    );
    let said = tunnel.said()?;
    ensure!(
        said.contains("closing 1 IKE_SA matching Disconnect-Request, sending Disconnect-ACK"),
        "{said}"
    );
    eventually("the computer notices", async || {
        Ok((!tunnel.is_up().await?).then_some(()))
    })
    .await?;
    let late = tunnel.dial("demo003", "demo003").await?;
    ensure!(late.is_none(), "{late:?}");

    tunnel.tear_down().await?;
    site.agent.stop().await;
    Ok(())
}

async fn lets_in_the_right_ones(method: &Method) -> Result<()> {
    let site = OneAgent::start().await?;

    let known = site.log_in(method, "demo001", "demo001").await?;
    ensure!(known.answer == Answer::Accepted, "{}", known.transcript);
    let wrong = site.log_in(method, "demo001", "demo002").await?;
    ensure!(wrong.answer == Answer::Refused, "{}", wrong.transcript);
    let unknown = site.log_in(method, "nobody", "demo001").await?;
    ensure!(unknown.answer == Answer::Refused, "{}", unknown.transcript);
    let expired = site.log_in(method, "demo021", "demo021").await?;
    ensure!(expired.answer == Answer::Refused, "{}", expired.transcript);

    let counters = site.agent.overview().report().counters;
    ensure!(counters.get("accepted") == Some(&1), "{counters:?}");
    ensure!(counters.get("rejected") == Some(&3), "{counters:?}");
    site.agent.stop().await;
    Ok(())
}
