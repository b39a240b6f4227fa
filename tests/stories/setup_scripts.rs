//! Scripts that set a router up: golden, checked by an independent reader, carried out twice, and handed out.

use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use easyisp_shared::setup::{
    Alive, ApiLogin, Hotspot, Lan, Password as SnmpPassword, Pool, Pppoe, Release, Setup, Snmp,
    first_script, script, wanted,
};
use easyisp_shared::wire::drift::{self, RowOfV1};
use easyisp_shared::wire::monitor::{SnmpAuth, SnmpPrivacy};
use easyisp_tests::operator::Operator;
use easyisp_tests::router::script::{Machine, Outside};
use easyisp_tests::world::{Provider, World};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

/// `{v6, v7} × {pppoe, hotspot, both, dhcp}`.
fn matrix() -> Vec<(String, Release, Setup)> {
    let mut all = Vec::new();
    for (release, major) in [(Release::V6, "v6"), (Release::V7, "v7")] {
        for (pppoe, hotspot, services) in [
            (true, false, "pppoe"),
            (false, true, "hotspot"),
            (true, true, "both"),
        ] {
            let name = format!("{major}-{services}");
            all.push((name, release, given(pppoe, hotspot)));
        }
        let lends = Setup {
            leases: Some(vec!["homes".to_owned()]),
            ..given(true, false)
        };
        all.push((format!("{major}-dhcp"), release, lends));
    }
    all
}

fn given(pppoe: bool, hotspot: bool) -> Setup {
    let local_address = Ipv4Addr::new(10, 10, 10, 1);
    let gateway = Ipv4Addr::new(10, 5, 50, 1);
    let dns = vec![Ipv4Addr::new(8, 8, 8, 8), Ipv4Addr::new(1, 1, 1, 1)];
    Setup {
        identity: "site-001".to_owned(),
        time_zone: "Africa/Nairobi".to_owned(),
        agents: vec![Ipv4Addr::new(10, 9, 0, 2), Ipv4Addr::new(10, 9, 0, 3)],
        radius_secret: "a-radius-secret".into(),
        coa_port: 3799,
        api: Some(ApiLogin {
            user: "easyisp-agent".to_owned(),
            password: "an-api-password".into(),
        }),
        snmp: Some(given_snmp()),
        snmp_port: 161,
        wan: Some("ether1".to_owned()),
        more_wans: Vec::new(),
        pppoe: pppoe.then(|| Pppoe {
            lan: Some(Lan::Ports(vec!["ether2".to_owned()])),
            service_name: "easyisp-pppoe".to_owned(),
            local_address,
            pool: Pool::beside(local_address),
            dns: dns.clone(),
        }),
        hotspot: hotspot.then(|| Hotspot {
            lan: Some(Lan::Ports(vec!["ether3".to_owned(), "wlan1".to_owned()])),
            gateway,
            pool: Pool::beside(gateway),
            dns: dns.clone(),
            open_hosts: vec!["pay.example.net".to_owned()],
            opens_no_others: true,
            pages: None,
        }),
        leases: None,
        firewall: true,
        alive: Some(Alive {
            url: "https://isp.example.com/provision/alive".to_owned(),
            token: "a-token".into(),
        }),
    }
}

/// As the wizard has a router watched.
fn given_snmp() -> Snmp {
    Snmp::User {
        name: "easyisp-w4tch".to_owned(),
        auth: Some(SnmpPassword {
            by: SnmpAuth::Sha1,
            password: "an-auth-password".into(),
        }),
        privacy: Some(SnmpPassword {
            by: SnmpPrivacy::Aes128,
            password: "a-privacy-password".into(),
        }),
    }
}

fn vectors() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors/rsc")
}

#[test]
fn scripts_are_what_they_were() -> Result<()> {
    for (name, release, setup) in matrix() {
        ensure!(setup.faults().is_empty(), "{name}: {:?}", setup.faults());
        let path = vectors().join(format!("{name}.rsc"));
        let made = script(&setup, release);
        if std::env::var_os("EASYISP_TEST_WRITE_VECTORS").is_some() {
            fs::write(&path, &made)?;
        }
        let golden = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        let apart = golden.lines().zip(made.lines()).find(|(was, is)| was != is);
        ensure!(
            golden == made,
            "{name}.rsc is another script now, first at {apart:?}. Where that is meant, run this test with \
             EASYISP_TEST_WRITE_VECTORS=1 and read the difference"
        );
    }
    Ok(())
}

/// What a router fetches first: all but what serves subscribers. This one is watched by a community.
fn first() -> String {
    let mut setup = given(true, true);
    setup.wan = None;
    setup.snmp = Some(Snmp::Community("a-community".into()));
    if let Some(pppoe) = &mut setup.pppoe {
        pppoe.lan = None;
    }
    if let Some(hotspot) = &mut setup.hotspot {
        hotspot.lan = None;
    }
    first_script(&setup, &[], CALLBACK)
}

const CALLBACK: &str = "https://isp.example.com/api/wizard/1/provision-complete?key=K";

/// It suits either release, calls once with what failed and where the router is, and leaves no word of its own behind.
#[test]
fn the_first_script_suits_either_release_and_calls_back() -> Result<()> {
    let path = vectors().join("first.rsc");
    if std::env::var_os("EASYISP_TEST_WRITE_VECTORS").is_some() {
        fs::write(&path, first())?;
    }
    let golden = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    ensure!(golden == first(), "first.rsc is another script now");
    for release in [Release::V6, Release::V7] {
        let mut router = Machine::new(release);
        router.put(
            "/ip address",
            &[("address", "10.9.0.1/24"), ("interface", "ether1")],
        );
        let (called, calls) = std::sync::mpsc::channel();
        router.reaches(Outside::new(move |_, url| {
            called
                .send(url.to_owned())
                .map_err(|gone| gone.to_string())?;
            Ok(String::new())
        }));
        import(&mut router, &first())?;
        let calls: Vec<String> = calls.try_iter().collect();
        assert_eq!(
            calls,
            [format!(
                "{CALLBACK}&failed=0&login=1&addresses=10.9.0.1/24,"
            )]
        );
        let once = router.state();
        import(&mut router, &first())?;
        assert_eq!(router.state(), once);
        assert_eq!(router.rows("/radius", "secret", "a-radius-secret").len(), 2);
        assert_eq!(
            router
                .rows("/ip service", "certificate", "easyisp-api")
                .len(),
            1
        );
        assert_eq!(
            router
                .rows("/interface pppoe-server server", "disabled", "no")
                .len(),
            0
        );
        let time = match release {
            Release::V6 => "server-dns-names",
            Release::V7 => "servers",
        };
        let servers = "time.cloudflare.com,pool.ntp.org";
        assert_eq!(router.rows("/system ntp client", time, servers).len(), 1);

        // Deaf to the cloud, it says so.
        router.reaches(Outside::default());
        let said = router.import(&first()).err().context("nobody was told")?;
        ensure!(said.contains("the cloud was not told"), "{said}");
    }
    Ok(())
}

/// `routeros-lsp` has the command tree of 7.21; what is written for 6 differs in the lines that it cannot know.
#[test]
fn an_independent_reader_finds_nothing_wrong() -> Result<()> {
    let scripts = matrix()
        .into_iter()
        .map(|(name, release, _)| (name, release));
    for (name, release) in scripts.chain([("first".to_owned(), Release::V7)]) {
        let text = said_of(&vectors().join(format!("{name}.rsc")))?;
        let findings: Vec<&str> = text.lines().filter(|line| line.contains(".rsc:")).collect();
        let unknown = |line: &&&str| release == Release::V6 && line.contains("server-dns-names");
        let (of_six, wrong): (Vec<&&str>, Vec<&&str>) = findings.iter().partition(unknown);
        assert_eq!(wrong, Vec::<&&str>::new(), "{name}");
        assert_eq!(
            of_six.len(),
            usize::from(release == Release::V6),
            "{name}: {text}"
        );
    }
    Ok(())
}

fn said_of(script: &Path) -> Result<String> {
    let reader = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/python/bin/routeros-lsp");
    let mut check = Command::new(&reader);
    let said = check.args(["check", "--strict"]).arg(script).output();
    let said = said.context("tests/prepare installs routeros-lsp")?;
    Ok(String::from_utf8_lossy(&said.stdout).into_owned())
}

/// That the same reader finds nothing wrong with a line that is pasted.
pub fn is_sound(line: &str) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("line.rsc");
    fs::write(&file, format!("{line}\n"))?;
    let said = said_of(&file)?;
    ensure!(!said.contains(".rsc:"), "{said}");
    Ok(())
}

#[test]
fn twice_is_as_good_as_once() -> Result<()> {
    for (name, release, setup) in matrix() {
        let mut router = Machine::new(release);
        let text = script(&setup, release);
        import(&mut router, &text).with_context(|| name.clone())?;
        let once = router.state();
        import(&mut router, &text).with_context(|| name.clone())?;
        assert_eq!(router.state(), once, "{name}");

        let servers = router.rows("/radius", "secret", "a-radius-secret");
        assert_eq!(servers.len(), 2, "{name}");
        let incoming = router.rows("/radius incoming", "port", "3799");
        assert_eq!(incoming[0]["accept"], "yes", "{name}");
        let fasttrack = router.rows("/ip firewall filter", "action", "fasttrack-connection");
        assert_eq!(fasttrack[0]["disabled"], "yes", "{name}");
        let public = router.rows("/snmp community", "name", "public");
        assert_eq!(public.len(), 0, "{name}");
        let ours = router.rows("/snmp community", "default", "yes");
        assert_eq!(ours[0]["security"], "private", "{name}");
        let rules = &once["/ip firewall filter"];
        let first = |mark: &str| {
            rules
                .iter()
                .position(|rule| rule["comment"].starts_with(mark))
        };
        assert!(
            first("easyisp:fw-agent") < first("easyisp:fw-api"),
            "{name}"
        );
        assert!(first("easyisp:fw-api") < first("defconf"), "{name}");
    }
    Ok(())
}

#[test]
fn what_is_chosen_anew_takes_the_place_of_what_was() -> Result<()> {
    for release in [Release::V6, Release::V7] {
        let mut router = Machine::new(release);
        router.put("/ip pool", &[("name", "theirs")]);
        let services = [(true, true), (true, false), (false, true), (true, true)];
        for (pppoe, hotspot) in services {
            import(&mut router, &script(&given(pppoe, hotspot), release))?;
            let mut fresh = Machine::new(release);
            import(&mut fresh, &script(&given(pppoe, hotspot), release))?;
            let ours = |router: &Machine, menu: &str| {
                let mut rows = router.state()[menu].clone();
                rows.retain(|row| row.get("name").is_none_or(|name| name != "theirs"));
                for row in &mut rows {
                    row.remove("fingerprint"); // each makes a key of its own
                }
                rows.sort();
                rows
            };
            for menu in fresh.state().keys() {
                // Settings of a whole menu stay as the service left them; nobody uses them without it.
                if !["/ppp aaa", "/ip dns", "/ip hotspot user profile"].contains(&menu.as_str()) {
                    assert_eq!(ours(&router, menu), ours(&fresh, menu), "{menu}");
                }
            }
            assert_eq!(router.rows("/ip pool", "name", "theirs").len(), 1);
        }
    }
    Ok(())
}

/// J6: no name breaks a script or says something in it.
#[test]
fn words_of_people_end_nothing() -> Result<()> {
    let words = "Mzee's \"tower\" $1; [/user remove admin] {é}\\ ?";
    for release in [Release::V6, Release::V7] {
        let mut setup = given(true, true);
        setup.identity = words.to_owned();
        setup.radius_secret = words.into();
        setup.api.as_mut().context("a login")?.password = words.into();
        if let Some(pppoe) = &mut setup.pppoe {
            pppoe.service_name = words.to_owned();
        }
        let mut router = Machine::new(release);
        router.put("/interface", &[("name", words)]);
        setup.wan = Some(words.to_owned());
        import(&mut router, &script(&setup, release))?;
        assert_eq!(router.rows("/system identity", "name", words).len(), 1);
        assert_eq!(router.rows("/radius", "secret", words).len(), 2);
        assert_eq!(router.rows("/user", "password", words).len(), 1);
        assert_eq!(router.rows("/user", "name", "admin").len(), 1);
        let servers = router.rows("/interface pppoe-server server", "service-name", words);
        assert_eq!(servers.len(), 1);
        assert_eq!(
            router
                .rows("/ip firewall nat", "out-interface", words)
                .len(),
            2
        );
    }
    Ok(())
}

/// Somebody's own login that was entered for the agents stays his: in our group, and from the agents alone, nobody
/// would get in as him any more. One that we made gets a new password.
#[test]
fn a_login_that_somebody_made_stays_as_it_is() -> Result<()> {
    for release in [Release::V6, Release::V7] {
        let mut setup = given(true, true);
        let mut router = Machine::new(release);
        setup.api.as_mut().context("a login")?.user = "admin".to_owned();
        let before = router.rows("/user", "name", "admin");
        import(&mut router, &script(&setup, release))?;
        assert_eq!(router.rows("/user", "name", "admin"), before);
        let certificate = router.rows("/ip service", "certificate", "easyisp-api");
        assert_eq!(certificate.len(), 1);

        setup.api.as_mut().context("a login")?.user = "easyisp".to_owned();
        for password in ["the-first", "the-second"] {
            setup.api.as_mut().context("a login")?.password = password.into();
            import(&mut router, &script(&setup, release))?;
            let ours = router.rows("/user", "name", "easyisp");
            assert_eq!((ours.len(), ours[0]["password"].as_str()), (1, password));
        }
        // What a repair of the same writes, it writes to ours alone.
        let wanted = drift::wanted(&wanted(&setup, release));
        let user = wanted.into_iter().find(|item| item.menu == "/user");
        let which = user.context("a user")?.which;
        let ours = RowOfV1::Found("comment".to_owned(), "easyisp:user".to_owned());
        assert_eq!(which, ours);
    }
    Ok(())
}

/// One of two agents goes, while it was away and its entry off: the other one is asked.
#[test]
fn the_agent_that_stays_is_asked_whatever_the_watch_did() -> Result<()> {
    for release in [Release::V6, Release::V7] {
        let mut setup = given(true, true);
        let mut router = Machine::new(release);
        import(&mut router, &script(&setup, release))?;
        router.put_all("/radius", "disabled", "yes");
        setup.agents = vec![Ipv4Addr::new(10, 9, 0, 3)];
        import(&mut router, &script(&setup, release))?;
        let left = router.rows("/radius", "secret", "a-radius-secret");
        let shown = (
            left.len(),
            left[0]["address"].as_str(),
            left[0]["disabled"].as_str(),
        );
        assert_eq!(shown, (1, "10.9.0.3", "no"));
        assert_eq!(
            router
                .rows("/tool netwatch", "comment", "easyisp:watch")
                .len(),
            0
        );
    }
    Ok(())
}

/// J7: a step that fails is named, the others are done, and importing again completes it.
#[test]
fn a_step_that_fails_is_named_and_the_next_import_completes_it() -> Result<()> {
    let mut router = Machine::new(Release::V7);
    let mut setup = given(true, true);
    setup.hotspot.as_mut().context("a hotspot")?.lan = Some(Lan::Bridge("guests".to_owned()));
    let text = script(&setup, Release::V7);
    let refused = router
        .import(&text)
        .err()
        .context("there is no such bridge")?;
    assert_eq!(
        refused,
        "easyisp: 1 steps failed; see /log print, and import the file again"
    );
    assert_eq!(router.logged, ["easyisp: step 6 of 10, hotspot: failed"]);
    assert_eq!(
        router
            .rows("/interface pppoe-server server", "disabled", "no")
            .len(),
        1
    );
    assert_eq!(
        router
            .rows("/ip firewall filter", "comment", "easyisp:fw-api")
            .len(),
        1
    );

    router.put("/interface", &[("name", "guests"), ("type", "bridge")]);
    import(&mut router, &text)?;
    assert_eq!(router.rows("/ip hotspot", "interface", "guests").len(), 1);
    Ok(())
}

#[test]
fn a_script_for_the_other_release_changes_nothing() -> Result<()> {
    let mut router = Machine::new(Release::V6);
    let before = router.state();
    let refused = router.import(&script(&given(true, true), Release::V7));
    let refused = refused.err().context("a script for 7")?;
    assert!(refused.contains("for RouterOS 7"), "{refused}");
    assert_eq!(router.state(), before);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_takes_the_script_of_his_router() -> Result<()> {
    let world = World::start().await?;
    let isp = Provider::sign_up(&world, "script").await?;
    let owner = &isp.owner;
    let tower = json!({
        "name": "Tower \"one\"", "ipAddress": "10.9.0.1", "secret": "a-secret-of-the-tower",
        "apiUsername": "easyisp-agent", "apiPassword": "a-password-of-it", "coaPort": 3800,
    });
    let router = owner.post("/nas", &tower).await?;
    let id = router["id"].as_str().context("an id")?;

    // Its site has no agent on the router's network.
    let (status, refused) = ask(owner, &format!("/wizard/{id}/script")).await?;
    assert_eq!(
        (status.as_u16(), &refused["code"]),
        (409, &json!("NO_AGENT")),
        "{refused}"
    );
    let message = refused["message"].as_str().context("a message")?;
    assert!(message.contains("enrol one beside the router"), "{message}");

    let choice =
        "agents=10.9.0.2&wanInterface=ether1&pppoeInterfaces=ether2&hotspotInterfaces=ether3,wlan1";
    let taken = owner.get(&format!("/wizard/{id}/script?{choice}")).await?;
    assert_eq!(taken["secret"], "a-secret-of-the-tower");
    assert_eq!(
        taken["provisionCommand"],
        "/import file-name=Tower__one__config.rsc"
    );
    let text = taken["script"].as_str().context("a script")?;
    let mut machine = Machine::new(Release::V7);
    import(&mut machine, text)?;
    assert_eq!(
        machine
            .rows("/radius", "secret", "a-secret-of-the-tower")
            .len(),
        1
    );
    assert_eq!(machine.rows("/radius incoming", "port", "3800").len(), 1);
    assert_eq!(
        machine.rows("/user", "password", "a-password-of-it").len(),
        1
    );
    assert_eq!(
        machine
            .rows("/system identity", "name", "Tower \"one\"")
            .len(),
        1
    );
    assert_eq!(
        machine
            .rows("/interface bridge port", "bridge", "easyisp-hotspot")
            .len(),
        2
    );
    assert_eq!(
        machine
            .rows("/interface pppoe-server server", "disabled", "no")
            .len(),
        1
    );
    let config = owner.get(&format!("/nas/{id}/config?{choice}")).await?;
    assert_eq!(config["script"], taken["script"]);

    for (wrong, field) in [
        ("agents=10.9.0.2&pppoeInterfaces=ether2", "wanInterface"),
        (
            "agents=10.9.0.2&wanInterface=ether2&pppoeInterfaces=ether2",
            "pppoeConfig.interfaces",
        ),
        ("agents=here", "agents"),
        ("agents=10.9.0.2&release=5", "release"),
    ] {
        let (status, refused) = ask(owner, &format!("/wizard/{id}/script?{wrong}")).await?;
        assert_eq!(
            (status.as_u16(), &refused["details"][0]["field"]),
            (400, &json!(field)),
            "{wrong}"
        );
    }
    let trail = owner.get("/audit-logs?action=ROUTER_SCRIPT").await?;
    assert_eq!(trail["total"], 2, "{trail}");
    assert!(!trail.to_string().contains("a-secret-of-the-tower"));
    world.stop().await
}

/// Who enters a router by hand may leave its API out: the script makes a login, and the record has it, in TLS.
#[tokio::test(flavor = "multi_thread")]
async fn a_script_makes_the_login_by_which_the_agents_come_in() -> Result<()> {
    let world = World::start().await?;
    let isp = Provider::sign_up(&world, "login").await?;
    let owner = &isp.owner;
    let bare = json!({"name": "Bare", "ipAddress": "10.9.0.1"});
    let whole = json!({"name": "Whole", "ipAddress": "10.9.0.3", "apiUsername": "mine", "apiPassword": "a-password-of-it"});
    for (router, user) in [(bare, "easyisp"), (whole, "mine")] {
        let id = owner.post("/nas", &router).await?["id"].clone();
        let id = id.as_str().context("an id")?;
        let taken = owner
            .get(&format!("/wizard/{id}/script?agents=10.9.0.2"))
            .await?;
        let mut machine = Machine::new(Release::V7);
        import(&mut machine, taken["script"].as_str().context("a script")?)?;
        let made = machine.rows("/user", "name", user);
        assert_eq!(made.len(), 1, "{user}");
        assert_eq!(made[0]["group"], "easyisp", "{user}");
        let service = machine.rows("/ip service", "certificate", "easyisp-api");
        assert_eq!(service[0]["disabled"], "no", "{user}");
        let shown = owner.get(&format!("/nas/{id}")).await?;
        assert_eq!(
            (
                &shown["apiUsername"],
                &shown["apiPort"],
                &shown["apiPassword"]
            ),
            (&json!(user), &json!(8729), &json!("********")),
            "{shown}"
        );
        // Taken again it is the same.
        let again = owner
            .get(&format!("/wizard/{id}/script?agents=10.9.0.2"))
            .await?;
        assert_eq!(again["script"], taken["script"]);
    }
    // RouterOS 6 may not be entered in TLS: whoever entered the plain port for it goes on by that.
    let old = json!({"name": "Old", "ipAddress": "10.9.0.4", "apiUsername": "mine", "apiPassword": "a-password-of-it",
        "apiPort": 8728});
    let id = owner.post("/nas", &old).await?["id"].clone();
    let id = id.as_str().context("an id")?;
    let script = format!("/wizard/{id}/script?agents=10.9.0.2&release=6");
    owner.get(&script).await?;
    let shown = owner.get(&format!("/nas/{id}")).await?;
    assert_eq!(shown["apiPort"], 8728, "{shown}");
    world.stop().await
}

async fn ask(who: &Operator, path: &str) -> Result<(StatusCode, Value)> {
    who.call(Method::GET, path, None).await
}

fn import(router: &mut Machine, text: &str) -> Result<()> {
    let done = router.import(text);
    ensure!(done.is_ok(), "{done:?}; {:?}", router.caught);
    Ok(())
}
