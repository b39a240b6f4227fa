//! A real PPPoE subscriber dials at a real access concentrator: rp-pppoe and pppd, in a machine of its own.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use easyisp_agent::sessions::{Cause, Online};
use easyisp_shared::time::Clock;
use easyisp_tests::guest::Guest;
use easyisp_tests::world::eventually;

use crate::eap::supplicant::{OneAgent, PAID_FOR, SECRET, STATIC_ADDRESS};

/// Login by MS-CHAPv2 with the keys that encrypt the line, his own address and speed in the Accept, Start,
/// update and Stop with the bytes that went; and the concentrator alone ends the line at the paid end.
#[tokio::test(flavor = "multi_thread")]
async fn a_real_pppoe_subscriber_is_served_to_his_paid_end() -> Result<()> {
    if std::env::var_os("EASYISP_TEST_DEEP").is_none() {
        println!("skipped: tests/run --deep runs it");
        return Ok(());
    }
    let mut line = Line::open().await?;

    for (name, password) in [
        ("demo001", "demo002"),
        ("demo021", "demo021"),
        ("nobody", "demo001"),
    ] {
        let said = line.dial(name, password).await?;
        ensure!(said.contains("authentication failed"), "{name}: {said}");
    }
    let counters = line.site.agent.overview().report().counters;
    ensure!(counters.get("rejected") == Some(&3), "{counters:?}");

    let said = line.dial("demo003", "demo003").await?;
    ensure!(said.contains(&format!("inet {STATIC_ADDRESS} ")), "{said}");
    ensure!(
        said.contains("MPPE 128-bit stateless compression enabled"),
        "{said}"
    );
    let began = line.began().await?;
    ensure!(began.session.framed_ip == Some(STATIC_ADDRESS), "{began:?}");
    ensure!(began.session.grant.is_some(), "its Class came back");
    let told = line.guest.run("cat /run/radattr.ppp*").await?;
    ensure!(told.contains("Mikrotik-Rate-Limit 2M/10M"), "{told}");

    let said = line.guest.run(PING).await?;
    ensure!(said.contains(" 0% packet loss"), "{said}");
    let update = line.session_becomes(&began, |online| online.session.bytes() > 40 * 1000);
    let update = update.await.context("an interim update")?;
    ensure!(update.session.closed.is_none(), "{update:?}");
    let said = line.guest.run(PING).await?;
    ensure!(said.contains(" 0% packet loss"), "{said}");
    line.guest
        .run("kill $(cat /run/ppp-home.pid | head -n 1)")
        .await?;
    let over = line.session_becomes(&began, |online| online.session.closed.is_some());
    let over = over.await.context("a Stop")?.session;
    ensure!(
        over.closed.map(|closed| closed.cause) == Some(Cause::Router(1)),
        "{over:?}"
    );
    // Forty packets each way, and PPP's own.
    for bytes in [over.bytes_in, over.bytes_out] {
        ensure!((40 * 1028..44 * 1028).contains(&bytes), "{over:?}");
    }

    line.clock.advance(PAID_FOR - LAST);
    let said = line.dial("demo003", "demo003").await?;
    ensure!(said.contains(&format!("inet {STATIC_ADDRESS} ")), "{said}");
    let last = line.began().await?;
    let over = line.session_becomes(&last, |online| online.session.closed.is_some());
    let over = over.await.context("a Stop at the paid end")?.session;
    ensure!(
        over.closed.map(|closed| closed.cause) == Some(Cause::Router(5)),
        "{over:?}"
    );
    line.clock.advance(LAST);
    let said = line.dial("demo003", "demo003").await?;
    ensure!(said.contains("authentication failed"), "{said}");

    line.guest.stop().await?;
    line.site.agent.stop().await;
    Ok(())
}

/// An agent on the host, concentrator and subscriber in the guest.
struct Line {
    clock: Clock,
    site: OneAgent,
    guest: Guest,
}

impl Line {
    async fn open() -> Result<Line> {
        let mut guest = Guest::boot(&["veth", "pppoe", "ppp_async", "ppp_mppe"]).await?;
        let clock = Clock::test(Clock::system().now());
        let (host, address) = (guest.host(), guest.address());
        let site = OneAgent::start_on(clock.clone(), (address, 3799).into(), |config| {
            config.radius.auth = (host, 0).into();
            config.radius.acct = (host, 0).into();
        })
        .await?;
        let folder = guest.folder().to_owned();
        let home = folder.display();
        let radius = format!(
            "auth_order radius\nlogin_tries 1\nlogin_timeout 30\nnologin /nonexistent\nissue /dev/null\n\
             authserver {}\nacctserver {}\nservers {home}/servers\ndictionary {home}/dictionary\n\
             login_radius /bin/false\nseqfile /run/radius.seq\nmapfile /dev/null\ndefault_realm\n\
             radius_timeout 3\nradius_retries 3\nlogin_local /bin/false\n",
            site.agent.radius_auth(),
            site.agent.radius_acct()
        );
        let concentrator = format!(
            "auth\nrequire-mschap-v2\nrequire-mppe-128\nnoipdefault\nlcp-echo-interval 30\n\
             lcp-echo-failure 4\nplugin radius.so\nplugin radattr.so\n\
             radius-config-file {home}/radius.conf\nlogfile {home}/concentrator.log\ndebug\n"
        );
        std::fs::write(folder.join("radius.conf"), radius)?;
        std::fs::write(folder.join("concentrator"), concentrator)?;
        std::fs::write(folder.join("servers"), format!("{host} {SECRET}\n"))?;
        std::fs::write(folder.join("dictionary"), DICTIONARY)?;
        guest.run(SET_UP).await?;
        Ok(Line { clock, site, guest })
    }

    /// Dials; what pppd said, and what the line's interface looks like.
    async fn dial(&mut self, name: &str, password: &str) -> Result<String> {
        let dial = DIAL.replace("NAME", name).replace("PASSWORD", password);
        let (_, mut said) = self.guest.try_run(&dial).await?;
        said += &std::fs::read_to_string(self.guest.folder().join("concentrator.log"))
            .unwrap_or_default();
        Ok(said)
    }

    /// The session that accounting tells of.
    async fn began(&self) -> Result<Online> {
        let sessions = &self.site.agent.overview().sessions;
        eventually("accounting tells of the session", async || {
            Ok(sessions.open_by_name(b"demo003").into_iter().next())
        })
        .await
    }

    /// Waits until a session looks like that: updates come once a minute.
    async fn session_becomes(
        &self,
        online: &Online,
        like: impl Fn(&Online) -> bool,
    ) -> Result<Online> {
        let sessions = &self.site.agent.overview().sessions;
        for _ in 0..900 {
            let now = sessions.find(&online.session.key);
            if let Some(now) = now.filter(|now| like(now)) {
                return Ok(now);
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        anyhow::bail!(
            "not in a minute and a half: {:?}",
            sessions.find(&online.session.key)
        )
    }
}

/// What is left of the paid time at the last dial.
const LAST: Duration = Duration::from_secs(8);

const SET_UP: &str = "
mount -t tmpfs none /etc/ppp
touch /etc/ppp/options /etc/ppp/chap-secrets /etc/ppp/pap-secrets
ip netns add home
ip link add street type veth peer name door netns home
ip link set street up
ip -n home link set lo up
ip -n home link set door up
pppoe-server -I street -C gate -L 10.99.0.1 -R 10.88.0.10 -N 8 -O $PWD/concentrator
";

/// Waits until the line is up or pppd has given up.
const DIAL: &str = "
rm -f home.log
ip netns exec home pppd plugin pppoe.so nic-door user NAME password PASSWORD noauth nodetach \\
  linkname home unit 7 maxfail 1 require-mppe-128 noipdefault logfile $PWD/home.log debug &
pppd=$!
for try in $(seq 200); do
  kill -0 $pppd 2>/dev/null || break
  ip -n home addr show ppp7 2>/dev/null | grep -q 'inet ' && break
  sleep 0.1
done
cat home.log
ip -n home addr show ppp7
";

const PING: &str = "ip netns exec home ping -q -c 20 -i 0.05 -s 1000 -W 5 10.99.0.1";

/// What pppd's radius plugin must have names for.
const DICTIONARY: &str = "
ATTRIBUTE User-Name 1 string
ATTRIBUTE Password 2 string
ATTRIBUTE CHAP-Password 3 string
ATTRIBUTE NAS-IP-Address 4 ipaddr
ATTRIBUTE NAS-Port-Id 5 integer
ATTRIBUTE Service-Type 6 integer
ATTRIBUTE Framed-Protocol 7 integer
ATTRIBUTE Framed-IP-Address 8 ipaddr
ATTRIBUTE Framed-IP-Netmask 9 ipaddr
ATTRIBUTE Reply-Message 18 string
ATTRIBUTE State 24 string
ATTRIBUTE Class 25 string
ATTRIBUTE Vendor-Specific 26 string
ATTRIBUTE Session-Timeout 27 integer
ATTRIBUTE Idle-Timeout 28 integer
ATTRIBUTE Calling-Station-Id 31 string
ATTRIBUTE NAS-Identifier 32 string
ATTRIBUTE Acct-Status-Type 40 integer
ATTRIBUTE Acct-Delay-Time 41 integer
ATTRIBUTE Acct-Input-Octets 42 integer
ATTRIBUTE Acct-Output-Octets 43 integer
ATTRIBUTE Acct-Session-Id 44 string
ATTRIBUTE Acct-Authentic 45 integer
ATTRIBUTE Acct-Session-Time 46 integer
ATTRIBUTE Acct-Input-Packets 47 integer
ATTRIBUTE Acct-Output-Packets 48 integer
ATTRIBUTE Acct-Terminate-Cause 49 integer
ATTRIBUTE Acct-Input-Gigawords 52 integer
ATTRIBUTE Acct-Output-Gigawords 53 integer
ATTRIBUTE NAS-Port-Type 61 integer
ATTRIBUTE Connect-Info 77 string
ATTRIBUTE Acct-Interim-Interval 85 integer
VENDOR Microsoft 311
ATTRIBUTE MS-CHAP-Response 1 string Microsoft
ATTRIBUTE MS-CHAP-Error 2 string Microsoft
ATTRIBUTE MS-MPPE-Encryption-Policy 7 string Microsoft
ATTRIBUTE MS-MPPE-Encryption-Types 8 string Microsoft
ATTRIBUTE MS-CHAP-Challenge 11 string Microsoft
ATTRIBUTE MS-MPPE-Send-Key 16 string Microsoft
ATTRIBUTE MS-MPPE-Recv-Key 17 string Microsoft
ATTRIBUTE MS-CHAP2-Response 25 string Microsoft
ATTRIBUTE MS-CHAP2-Success 26 string Microsoft
VENDOR Mikrotik 14988
ATTRIBUTE Mikrotik-Rate-Limit 8 string Mikrotik
";
