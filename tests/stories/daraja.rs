//! Programs that others wrote for M-Pesa: a client of theirs judges our pretend one, and a pretend one of theirs our
//! client. `tests/prepare` installs both.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use easyisp_shared::time::Clock;
use easyisp_tests::mpesa::books::ErrandKind;
use easyisp_tests::mpesa::{App, C2b, Mpesa};
use easyisp_tests::outside::Outside;
use easyisp_tests::ports;
use easyisp_tests::scenario::Payer;
use easyisp_tests::world::{Provider, START, World, eventually};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use crate::words::{DAY, MINUTE};

fn python() -> Command {
    let python = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../target/python/bin/python");
    let mut command = Command::new(python);
    // This client writes stamps in the machine's zone, and M-Pesa reads them in its own.
    command
        .env("TZ", "Africa/Nairobi")
        .stdin(Stdio::null())
        .kill_on_drop(true);
    command
}

/// Pushes, asks, registers and pays out, and reads the callback that comes to a door of its own.
const CLIENT: &str = r#"
import http.server, json, sys, threading, time
from mpesa import MpesaClient, MpesaError, AuthenticationError

base, key, secret, code, passkey, initiator, credential = sys.argv[1:]
heard, ready = [], threading.Semaphore(0)

class Door(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        heard.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(200)
        self.end_headers()
        ready.release()
    def log_message(self, *_):
        pass

door = http.server.HTTPServer(("127.0.0.1", 0), Door)
threading.Thread(target=door.serve_forever, daemon=True).start()
url = "http://127.0.0.1:%d/payments" % door.server_port

try:
    MpesaClient(key, "wrong", code, passkey, base_url=base).stk_query("x")
except AuthenticationError as error:
    print("refused", error.code)

client = MpesaClient(key, secret, code, passkey, base_url=base)
push = client.stk_push("0712345678", 100, "10000008", callback_url=url)
ready.acquire(timeout=20)
paid = MpesaClient.parse_stk_callback(heard[-1])
print("paid", paid["paid"], paid["amount"], paid["phone"], len(paid["mpesa_receipt"]),
      paid["checkout_request_id"] == push.checkout_request_id,
      paid["merchant_request_id"] == push.merchant_request_id)
asked = client.stk_query(push.checkout_request_id)
print("asked", asked.result_code, asked.is_paid, asked.checkout_request_id == push.checkout_request_id)

push = client.stk_push("0712345679", 100, "10000008", callback_url=url)
ready.acquire(timeout=20)
lost = MpesaClient.parse_stk_callback(heard[-1])
print("lost", lost["paid"], lost["result_code"], lost["mpesa_receipt"])
print("asked", client.stk_query(push.checkout_request_id).result_code)

registered = client.c2b_register_urls(url + "/v", url + "/c")
print("registered", registered["ResponseCode"])
try:
    client.c2b_register_urls(url + "/v", url + "/c")
except MpesaError as error:
    print("again", error.code)

out = client.b2c("0712345678", 50, callback_url=url, queue_timeout_url=url,
                 initiator_name=initiator, security_credential=credential)
ready.acquire(timeout=20)
result = heard[-1]["Result"]
print("sent", result["ResultCode"], result["ConversationID"] == out.conversation_id,
      result["OriginatorConversationID"] == out.originator_conversation_id)
try:
    client.b2c("0712345678", 50, callback_url=url, queue_timeout_url=url,
               initiator_name=initiator, security_credential="wrong")
except MpesaError as error:
    print("refused", error.code)
"#;

/// daraja-v3 gets on with our pretend M-Pesa, and its parser reads our callbacks.
#[tokio::test(flavor = "multi_thread")]
async fn another_client_gets_on_with_our_pretend_mpesa() -> Result<()> {
    let outside = Outside::start(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await?;
    let app = App {
        c2b: C2b::V1,
        ..App::paybill("600638")
    };
    outside.mpesa.add_app(app.clone());
    outside.mpesa.script_everybody(Payer::prompt());
    outside.mpesa.script("0712345679", Payer::refusing(1032));
    let credential = Mpesa::credential(&app.initiator_password);
    let (url, key, secret, passkey) = (outside.url(), &app.key, &app.secret, &app.passkey);
    let said = python()
        .args([
            "-c",
            CLIENT,
            &url,
            key,
            secret,
            &app.shortcode,
            passkey,
            &app.initiator,
            &credential,
        ])
        .stderr(Stdio::piped())
        .output()
        .await
        .context("daraja-v3: tests/prepare installs it")?;
    let text = String::from_utf8_lossy(&said.stdout);
    ensure!(
        said.status.success(),
        "{text}{}",
        String::from_utf8_lossy(&said.stderr)
    );
    assert_eq!(
        text,
        "refused 400\n\
         paid True 100.0 254712345678 10 True True\n\
         asked 0 True True\n\
         lost False 1032 None\n\
         asked 1032\n\
         registered 0\n\
         again 500.003.1001\n\
         sent 0 True True\n\
         refused 400.002.02\n"
    );
    let books = outside.mpesa.books();
    assert_eq!(books.paid().count(), 1);
    assert_eq!(books.given_back(), 50);
    assert_eq!(
        books
            .errands()
            .iter()
            .filter(|one| one.kind == ErrandKind::Payout)
            .count(),
        1
    );
    outside.stop().await;
    Ok(())
}

/// Somebody else's pretend M-Pesa, which ends every prompt with this code.
async fn theirs(code: i32) -> Result<(Child, String)> {
    let address = ports::free_here()?;
    let script = "import sys, daraja_mock\n\
         daraja_mock.DarajaMock().set_stk_result(int(sys.argv[1])).run(port=int(sys.argv[2]))";
    let server = python()
        .args(["-c", script, &code.to_string(), &address.port().to_string()])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .context("daraja-mock: tests/prepare installs it")?;
    eventually("it listens", async || {
        Ok(TcpStream::connect(address).await.ok().map(drop))
    })
    .await?;
    Ok((server, format!("http://{address}")))
}

/// Our client gets on with daraja-mock: a token, a prompt, what became of it, and a question it never answers.
#[tokio::test(flavor = "multi_thread")]
async fn our_client_gets_on_with_another_pretend_mpesa() -> Result<()> {
    for (code, status) in [(0, "completed"), (1032, "failed")] {
        let (mut server, url) = theirs(code).await?;
        let world = World::start_with(Clock::test(START), |config| {
            config.mpesa.base_url = Some(url);
        })
        .await?;
        let isp = Provider::with_paybill(&world, "savanna").await?;
        isp.owner.name_initiator().await?;
        let gateways = isp.owner.get("/payment-gateways").await?;
        let id = gateways[0]["id"].as_str().context("a gateway")?;
        let tested = isp
            .owner
            .post(&format!("/payment-gateways/{id}/test"), &json!({}))
            .await?;
        assert_eq!(tested["success"], true, "{tested}");
        let amina = isp
            .add_subscriber("amina", "254712345601", world.clock.now().minus(DAY))
            .await?;
        let checkout = isp.ask_to_pay(&amina, 1000).await?;
        assert!(checkout.starts_with("ws_CO_"), "{checkout}");
        world.clock.advance(MINUTE);
        // It calls nobody back: we ask.
        eventually("it is decided", async || {
            let shown = isp
                .owner
                .get(&format!("/payments/mpesa/status/{checkout}"))
                .await?;
            Ok((shown["status"] == status).then_some(()))
        })
        .await?;
        let served = isp.customer(&amina).await?["status"].clone();
        assert_eq!(served, if code == 0 { "ACTIVE" } else { "EXPIRED" });

        isp.owner
            .post("/payments/inquiries", &json!({"receipt": "SJK4H7L2PQ"}))
            .await?;
        eventually("it takes the question", async || {
            let asked: Value = isp.owner.get("/payments/inquiries").await?;
            Ok((asked["inquiries"][0]["state"] == "ASKED").then_some(()))
        })
        .await?;
        assert_eq!(world.book_findings().await?, Vec::<String>::new());
        world.stop().await?;
        server.kill().await?;
    }
    Ok(())
}
