//! Logins by EAP, with the supplicants that people have: who knows the password gets in and both ends
//! of the line hold the same keys.

mod supplicant;

use anyhow::{Result, ensure};
use supplicant::{Answer, Method, OneAgent};

const PLAIN: Method = Method {
    eap: "MSCHAPV2",
    phase1: None,
    phase2: None,
    outer: None,
};

/// IKEv2 clients and old switches: no tunnel around it, keys of half the length.
#[tokio::test(flavor = "multi_thread")]
async fn eap_mschapv2_lets_in_who_knows_the_password_and_has_paid() -> Result<()> {
    lets_in_the_right_ones(&PLAIN).await
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
