//! A stranger's client asks the agent itself: logins, reports, and whether it is there.

use anyhow::{Context, Result, ensure};
use easyisp_tests::freeradius::radclient;
use easyisp_tests::world::{Provider, Site, World};

use crate::words::DAY;

/// radclient proves every answer by the secret that both have, and knows each by its name.
#[tokio::test(flavor = "multi_thread")]
async fn radclient_logs_in_reports_and_asks_whether_it_is_there() -> Result<()> {
    let world = World::start().await?;
    let isp = Provider::sign_up(&world, "byhand").await?;
    let site = Site::open(&world, &isp).await?;
    let until = world.clock.now().plus(30 * DAY);
    isp.add_subscriber("amina", "254712345601", until).await?;
    site.knows("amina", "at all", |_| true).await?;
    let (asked, reported, secret) = (site.asked(), site.accounting(), site.secret());

    let signed = "Message-Authenticator = 0x00\n";
    for (shown, answer) in [
        ("User-Password = \"amina\"", "Received Access-Accept"),
        ("CHAP-Password = \"amina\"", "Received Access-Accept"),
        ("User-Password = \"another\"", "Received Access-Reject"),
        ("CHAP-Password = \"another\"", "Received Access-Reject"),
    ] {
        let login = format!(
            "User-Name = \"amina\"\n{shown}\nService-Type = Framed-User\n\
             Calling-Station-Id = \"02:AB:00:00:00:01\"\n{signed}"
        );
        let told = radclient(asked, "auth", secret, &login).await?;
        ensure!(told.contains(answer), "{shown}: {told}");
        let accepts = answer.contains("Accept");
        ensure!(told.contains("Mikrotik-Rate-Limit") == accepts, "{told}");
    }

    let report = |status: &str, secs: u32, up: u32| {
        format!(
            "User-Name = \"amina\"\nAcct-Session-Id = \"by-hand-1\"\nAcct-Status-Type = {status}\n\
             Calling-Station-Id = \"02:AB:00:00:00:01\"\nFramed-IP-Address = 10.10.10.21\n\
             Acct-Session-Time = {secs}\nAcct-Input-Octets = {up}\nAcct-Output-Octets = 7\n"
        )
    };
    for (status, secs, up) in [
        ("Start", 0, 0),
        ("Interim-Update", 60, 4000),
        ("Stop", 90, 4711),
    ] {
        let told = radclient(reported, "acct", secret, &report(status, secs, up)).await?;
        ensure!(
            told.contains("Received Accounting-Response"),
            "{status}: {told}"
        );
    }
    site.reported().await?;
    let shown = isp.sessions_of("amina").await?;
    let [session] = &shown[..] else {
        anyhow::bail!("one session: {shown:?}");
    };
    ensure!(
        session["bytesIn"] == 4711 && session["bytesOut"] == 7,
        "{session}"
    );
    ensure!(session["sessionId"] == "by-hand-1", "{session}");

    // Status-Server (RFC 5997), at both ports; who does not have the secret hears nothing.
    for (port, answer) in [
        (asked, "Received Access-Accept"),
        (reported, "Received Accounting-Response"),
    ] {
        let told = radclient(port, "status", secret, signed).await?;
        ensure!(told.contains("Sent Status-Server"), "{told}");
        ensure!(told.contains(answer), "{port}: {told}");
        let told = radclient(port, "status", "another-secret", signed).await?;
        ensure!(told.contains("Sent Status-Server"), "{told}");
        ensure!(!told.contains("Received"), "{port}: {told}");
    }
    let counters = site.agent().overview().counters.all();
    let strangers = counters.get("bad_message_authenticator");
    ensure!(strangers == Some(&2), "{counters:?}");
    let customer = site.agent().overview().site.subscriber(b"amina");
    customer.context("a question changes nobody")?;
    site.stop().await;
    world.stop().await
}
