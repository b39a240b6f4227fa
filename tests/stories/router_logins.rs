//! Logins to the router itself: for the tenant's people once it is switched on, and never for a subscriber.

use anyhow::{Context, Result, ensure};
use easyisp_agent::radius::builder::Signature;
use easyisp_agent::radius::client::{Login, Method, access_request, proves_password};
use easyisp_agent::radius::dictionary::{attribute, microsoft, service_type};
use easyisp_agent::radius::mschap::{MsChapV2Response, NtHash};
use easyisp_agent::radius::{Code, Packet, Secret};
use easyisp_tests::freeradius::radclient;
use easyisp_tests::world::{Provider, Site, World, eventually};
use reqwest::Method as Http;
use serde_json::{Value, json};
use tokio::net::UdpSocket;

use crate::words::DAY;

const WORD: &str = "zebra-quilt-moon";
const NEW_WORD: &str = "four-green-bottles";

/// The router asks whether somebody may read and change its configuration. A subscriber's name and password
/// are no answer to that, whatever he paid; and who may log in to routers has no internet by it.
#[tokio::test(flavor = "multi_thread")]
async fn a_subscriber_never_gets_into_the_router_itself() -> Result<()> {
    let given = Given::start("inside").await?;
    for password in ["User-Password", "CHAP-Password"] {
        let answer = given.asks("amina", password, "amina").await?;
        ensure!(
            answer.contains("Received Access-Reject"),
            "{password}: {answer}"
        );
        ensure!(
            !answer.contains("Received Access-Accept"),
            "{password}: {answer}"
        );
    }
    // Whatever the router calls it, or leaves out.
    for service in [
        "",
        "Service-Type = Administrative-User\n",
        "Service-Type = NAS-Prompt-User\n",
    ] {
        let shown = format!(
            "User-Name = \"amina\"\nUser-Password = \"amina\"\n{service}\
             Calling-Station-Id = \"192.168.88.20\"\nMessage-Authenticator = 0x00\n"
        );
        let answer = radclient(given.site.asked(), "auth", given.site.secret(), &shown).await?;
        ensure!(
            answer.contains("Received Access-Reject"),
            "{service}: {answer}"
        );
    }
    let shown = given
        .logged(
            "amina",
            "Tried to log in to the router itself; nobody of this name may.",
        )
        .await?;
    assert_eq!(shown["customerId"], Value::Null, "{shown}");

    given.enters("noc", json!({"group": "full"})).await?;
    given.switch(true).await?;
    given
        .comes_to("noc", WORD, "Received Access-Accept")
        .await?;
    let answer = given.asks("amina", "User-Password", "amina").await?;
    ensure!(answer.contains("Received Access-Reject"), "{answer}");
    given.site.dial("amina").await.online();
    let noc = easyisp_tests::router::subscriber::Method::Pap;
    let dialled = given.site.router.subscriber("noc", WORD, noc).dial().await;
    assert!(!matches!(
        dialled,
        easyisp_tests::router::subscriber::Dial::Online(_)
    ));
    given.stop().await
}

/// Off until it is switched on; then his group and nothing of a subscriber, by every method, with the cloud
/// gone as well; and gone with his entry or the switch.
#[tokio::test(flavor = "multi_thread")]
async fn who_is_on_the_list_gets_his_group_and_nothing_else() -> Result<()> {
    let mut given = Given::start("group").await?;
    let noc = given.enters("noc", json!({"group": "full"})).await?;
    let answer = given.asks("noc", "User-Password", WORD).await?;
    ensure!(
        answer.contains("Received Access-Reject"),
        "it is off: {answer}"
    );

    given.switch(true).await?;
    let answer = given
        .comes_to("noc", WORD, "Received Access-Accept")
        .await?;
    ensure!(answer.contains("Mikrotik-Group = \"full\""), "{answer}");
    let accept = answer
        .split("Received Access-Accept")
        .nth(1)
        .context("an answer")?;
    for of_a_subscriber in ["Class", "Session-Timeout", "Mikrotik-Rate-Limit", "Framed"] {
        ensure!(!accept.contains(of_a_subscriber), "{answer}");
    }
    let answer = given.asks("noc", "CHAP-Password", WORD).await?;
    ensure!(answer.contains("Received Access-Accept"), "{answer}");
    let wrong = given.asks("noc", "User-Password", "another").await?;
    ensure!(wrong.contains("Received Access-Reject"), "{wrong}");
    given
        .logged("noc", "Logged in to the router itself.")
        .await?;
    given
        .logged(
            "noc",
            "Tried to log in to the router itself; the password is wrong.",
        )
        .await?;

    given.world.stop_cloud().await?;
    given.by_ms_chap("noc", WORD).await?;
    let started = "User-Name = \"noc\"\nService-Type = Login-User\nAcct-Status-Type = Start\n\
        Acct-Session-Id = \"0a0b0c0d\"\nCalling-Station-Id = \"192.168.88.20\"\n";
    let acct = given.site.accounting();
    let answer = radclient(acct, "acct", given.site.secret(), started).await?;
    ensure!(answer.contains("Accounting-Response"), "{answer}");
    let overview = given.site.agent().overview();
    assert_eq!(overview.sessions.count(), 0, "nobody's session");
    given.world.start_cloud().await?;

    let elsewhere = json!({"name": "Far", "ipAddress": "10.0.0.9"});
    let elsewhere = given.isp.owner.post("/nas", &elsewhere).await?["id"].clone();
    let path = format!("/router-logins/{noc}");
    let owner = given.isp.owner.clone();
    let change = async |body: Value| owner.put(&path, &body).await.map(|_| ());
    change(json!({"nasId": elsewhere})).await?;
    given
        .comes_to("noc", WORD, "Received Access-Reject")
        .await?;
    change(json!({"nasId": given.site.router_id, "group": "read"})).await?;
    let answer = given
        .comes_to("noc", WORD, "Received Access-Accept")
        .await?;
    ensure!(answer.contains("Mikrotik-Group = \"read\""), "{answer}");
    change(json!({"password": NEW_WORD})).await?;
    given
        .comes_to("noc", WORD, "Received Access-Reject")
        .await?;
    given
        .comes_to("noc", NEW_WORD, "Received Access-Accept")
        .await?;

    given.switch(false).await?;
    given
        .comes_to("noc", NEW_WORD, "Received Access-Reject")
        .await?;
    given.switch(true).await?;
    given
        .comes_to("noc", NEW_WORD, "Received Access-Accept")
        .await?;
    given.isp.owner.call(Http::DELETE, &path, None).await?;
    given
        .comes_to("noc", NEW_WORD, "Received Access-Reject")
        .await?;
    given.stop().await
}

/// Who guesses at a name from one place is not looked at there for a while, whatever he shows. Whose name it is comes
/// in from elsewhere, and no customer is kept out by it.
#[tokio::test(flavor = "multi_thread")]
async fn guesses_at_the_router_itself_keep_out_who_guesses() -> Result<()> {
    let given = Given::start("guessed").await?;
    given.enters("noc", json!({"group": "full"})).await?;
    given.switch(true).await?;
    given
        .comes_to("noc", WORD, "Received Access-Accept")
        .await?;
    for _ in 0..12 {
        let wrong = given.asks("noc", "User-Password", "another").await?;
        ensure!(wrong.contains("Received Access-Reject"), "{wrong}");
    }
    let barred = given.asks("noc", "User-Password", WORD).await?;
    ensure!(barred.contains("Received Access-Reject"), "{barred}");
    let why = "Tried to log in to the router itself; too many wrong passwords came from there.";
    given.logged("noc", why).await?;
    let elsewhere = given
        .asks_from("192.168.88.21", "noc", "User-Password", WORD)
        .await?;
    ensure!(elsewhere.contains("Received Access-Accept"), "{elsewhere}");
    given.site.dial("amina").await.online();

    given
        .world
        .clock
        .advance(std::time::Duration::from_secs(30));
    let again = given.asks("noc", "User-Password", WORD).await?;
    ensure!(again.contains("Received Access-Accept"), "{again}");
    given.stop().await
}

/// Wrong entries are refused with the field's name, and the list shows no password.
#[tokio::test(flavor = "multi_thread")]
async fn the_list_is_kept_by_who_may_hand_out_rights() -> Result<()> {
    let world = World::start().await?;
    let isp = Provider::sign_up(&world, "listed").await?;
    let owner = &isp.owner;
    let refused = async |body: Value| -> Result<(u16, Value)> {
        let (status, answer) = owner
            .call(Http::POST, "/router-logins", Some(&body))
            .await?;
        Ok((status.as_u16(), answer))
    };
    let (status, answer) = refused(json!({"username": "noc"})).await?;
    assert_eq!(
        (status, &answer["details"][0]["field"]),
        (400, &json!("password"))
    );
    let (status, _) =
        refused(json!({"username": "noc", "password": WORD, "nasId": isp.package})).await?;
    assert_eq!(status, 404, "no such router");
    let noc = json!({"username": "noc", "password": WORD});
    let made = owner.post("/router-logins", &noc).await?;
    assert_eq!(
        (&made["group"], &made["password"]),
        (&json!("read"), &json!("********"))
    );
    let (status, answer) = refused(noc).await?;
    assert_eq!(
        (status, &answer["code"]),
        (409, &json!("ROUTER_LOGIN_TAKEN"))
    );
    let list = owner.get("/router-logins").await?;
    assert_eq!(
        (&list["enabled"], list["logins"].as_array().map(Vec::len)),
        (&json!(false), Some(1))
    );
    ensure!(!list.to_string().contains(WORD), "{list}");

    // An empty field of a form widens nobody to every router, and a login goes with its only router.
    let tower = json!({"name": "Tower", "ipAddress": "10.0.0.1"});
    let tower = owner.post("/nas", &tower).await?["id"].clone();
    let path = format!("/router-logins/{}", made["id"].as_str().context("an id")?);
    owner.put(&path, &json!({"nasId": tower})).await?;
    let (status, _) = owner
        .call(Http::PUT, &path, Some(&json!({"nasId": ""})))
        .await?;
    assert_eq!(status.as_u16(), 400);
    let router = format!("/nas/{}", tower.as_str().context("an id")?);
    owner.call(Http::DELETE, &router, None).await?;
    let list = owner.get("/router-logins").await?;
    assert_eq!(list["logins"], json!([]));
    world.stop().await
}

struct Given {
    world: World,
    isp: Provider,
    site: Site,
}

impl Given {
    async fn start(name: &str) -> Result<Given> {
        let world = World::start().await?;
        let isp = Provider::sign_up(&world, name).await?;
        let site = Site::open(&world, &isp).await?;
        let until = world.clock.now().plus(30 * DAY);
        isp.add_subscriber("amina", "254712345677", until).await?;
        site.knows("amina", "at all", |_| true).await?;
        Ok(Given { world, isp, site })
    }

    async fn enters(&self, username: &str, more: Value) -> Result<String> {
        let mut body = json!({"username": username, "password": WORD});
        let more = more.as_object().context("an object")?.clone();
        body.as_object_mut().context("an object")?.extend(more);
        let made = self.isp.owner.post("/router-logins", &body).await?;
        Ok(made["id"].as_str().context("an id")?.to_owned())
    }

    async fn switch(&self, enabled: bool) -> Result<()> {
        let body = json!({"enabled": enabled});
        let shown = self.isp.owner.put("/router-logins", &body).await?;
        assert_eq!(shown["enabled"], enabled);
        Ok(())
    }

    /// As FreeRADIUS's client asks in a router's place when somebody opens WinBox or an SSH session.
    async fn asks(&self, name: &str, kind: &str, password: &str) -> Result<String> {
        self.asks_from("192.168.88.20", name, kind, password).await
    }

    async fn asks_from(
        &self,
        from: &str,
        name: &str,
        kind: &str,
        password: &str,
    ) -> Result<String> {
        let text = format!(
            "User-Name = \"{name}\"\n{kind} = \"{password}\"\nService-Type = Login-User\n\
             Calling-Station-Id = \"{from}\"\nNAS-Identifier = \"MikroTik\"\n\
             Message-Authenticator = 0x00\n"
        );
        radclient(self.site.asked(), "auth", self.site.secret(), &text).await
    }

    async fn comes_to(&self, name: &str, password: &str, answer: &str) -> Result<String> {
        eventually(answer, async || {
            // A wrong password before the news came counts as a guess; that is forgotten with time.
            self.world
                .clock
                .advance(std::time::Duration::from_secs(120));
            let said = self.asks(name, "User-Password", password).await?;
            Ok(said.contains(answer).then_some(said))
        })
        .await
    }

    async fn by_ms_chap(&self, name: &str, password: &str) -> Result<()> {
        let secret = Secret::new(self.site.secret().as_bytes());
        let (authenticator, challenge, peer): ([u8; 16], [u8; 16], [u8; 16]) = rand::random();
        let method = Method::MsChapV2 {
            password: password.as_bytes(),
            identifier: 1,
            challenge,
            peer_challenge: peer,
        };
        let login = service_type::LOGIN.to_be_bytes();
        let extra: [(u8, &[u8]); 2] = [
            (attribute::SERVICE_TYPE, &login),
            (attribute::CALLING_STATION_ID, b"192.168.88.20"),
        ];
        let login = Login {
            user_name: name.as_bytes(),
            method,
            extra: &extra,
            signature: Signature::MessageAuthenticator,
        };
        let request = access_request(&login, 7, &authenticator, &secret)?;
        let socket = UdpSocket::bind("127.0.0.1:0").await?;
        socket.send_to(&request, self.site.asked()).await?;
        let mut answer = vec![0; 4096];
        let length = socket.recv(&mut answer).await?;
        let answer = Packet::parse(&answer[..length])?;
        assert_eq!(answer.code(), Some(Code::AccessAccept));
        let asked = Packet::parse(&request)?;
        let shown = asked.first_vendor(microsoft::VENDOR, microsoft::CHAP2_RESPONSE);
        let shown = shown.and_then(|shown| MsChapV2Response::parse(shown, &challenge));
        let word = NtHash::of(password.as_bytes());
        let proof = proves_password(&answer, name.as_bytes(), &shown.context("shown")?, &word);
        ensure!(proof, "the router wants proof");
        Ok(())
    }

    async fn logged(&self, name: &str, reason: &str) -> Result<Value> {
        let path = format!("/radius/auth-log?username={name}");
        eventually(reason, async || {
            let log = self.isp.owner.get(&path).await?;
            let rows = log["logins"].as_array().cloned().unwrap_or_default();
            Ok(rows.into_iter().find(|row| row["reason"] == reason))
        })
        .await
    }

    async fn stop(self) -> Result<()> {
        self.site.stop().await;
        self.world.stop().await
    }
}
