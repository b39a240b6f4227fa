//! The pretend API before its judges (librouteros, RouterOS-api, node-routeros), and the agent's client before the API.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use easyisp_agent::routeros::{Active, ApiError, Pins, Rates, RouterApis};
use easyisp_agent::sessions::Service;
use easyisp_agent::site::{self, Ranges};
use easyisp_shared::entropy::Entropy;
use easyisp_shared::id::RouterId;
use easyisp_shared::seal::SealKey;
use easyisp_shared::time::Clock;
use easyisp_shared::wire::DownKind;
use easyisp_shared::wire::down::{
    MessageAuthenticator, Network, RouterApiV1, RouterV1, secret_place,
};
use tokio::process::Command;
use uuid::Uuid;

use super::{Api, Build, Face};
use crate::router::session::Service as Kind;
use crate::router::{Router, Settings};
use crate::scenario::ApiManners;

mod mixed;
mod node;

const PATIENCE: Duration = Duration::from_secs(10);

/// What both Python clients do, each in its own words.
const LIBROUTEROS: &str = r#"
import sys, librouteros
from librouteros.exceptions import TrapError, LibRouterosError
from librouteros.login import plain, token
host, port, method = sys.argv[1], int(sys.argv[2]), {"plain": plain, "token": token}[sys.argv[3]]
try:
    librouteros.connect(host=host, port=port, username="agent", password="wrong", login_method=method)
    sys.exit("a wrong password was taken")
except LibRouterosError as refused:
    print("refused", "invalid user name or password" in str(refused))
api = librouteros.connect(host=host, port=port, username="agent", password="secret-word", login_method=method)
from librouteros.query import Key
name, address, radius, id = Key("name"), Key("address"), Key(".id"), Key(".id")
rows = list(api.path("/ppp/active"))
print(len(rows), sorted(row["name"] for row in rows), rows[0]["radius"])
one = list(api.path("/ppp/active").select(name, address, id).where(name == "demo002"))
print(one[0]["name"], one[0]["address"], sorted(one[0]))
print(list(api.path("/ppp/active").select(name).where(name == "nobody")))
both = list(api.path("/ppp/active").select(name).where(name.In("demo001", "demo002")))
print(len(both))
print([row["uptime"] for row in api.path("/system/resource")])
print(list(api.path("/ip/hotspot/active")))
disabled = Key("disabled")
print([sorted(row.items()) for row in api.path("/ppp/secret").select(name, disabled).where(name == "home1")])
print([row["name"] for row in api.path("/ip/hotspot/user")], list(api.path("/ppp/secret").select(name).where(name == "demo001")))
api.path("/ppp/active").remove(one[0][".id"])
try:
    api.path("/ppp/active").remove(one[0][".id"])
except TrapError as trap:
    print("trap", trap.message)
try:
    list(api.path("/container"))
except TrapError as trap:
    print("trap", trap.category, trap.message)
print(len(list(api.path("/ppp/active"))))
api.close()
"#;

const ROUTEROS_API: &str = r#"
import sys, routeros_api
host, port, method = sys.argv[1], int(sys.argv[2]), sys.argv[3]
pool = routeros_api.RouterOsApiPool(host, port=port, username="agent", password="secret-word",
    plaintext_login=method == "plain", use_ssl=sys.argv[4] == "tls", ssl_verify=False, ssl_verify_hostname=False)
api = pool.get_api()
active = api.get_resource("/ppp/active")
print(sorted(row["name"] for row in active.get()))
print(len(active.get(name="demo003")), active.get(name="nobody"))
active.remove(id=active.get(name="demo003")[0]["id"])
try:
    api.get_resource("/container").get()
except routeros_api.exceptions.RouterOsApiCommunicationError as trap:
    print("trap", b"no such command" in trap.original_message)
print(len(active.get()))
pool.disconnect()
"#;

/// What both do with the menus whose rows stay.
const LIBROUTEROS_HANDS: &str = r#"
import sys, librouteros
from librouteros.query import Key
from librouteros.exceptions import TrapError
api = librouteros.connect(host=sys.argv[1], port=int(sys.argv[2]), username="agent", password="secret-word")
queues = api.path("/queue/simple")
id = queues.add(name='Office "A"', target="10.0.0.9/32", **{"max-limit": "5M/10M"})
try:
    queues.add(name='Office "A"', target="10.0.0.10/32")
except TrapError as trap:
    print("trap", trap.message)
try:
    queues.add(nonsense="1")
except TrapError as trap:
    print("trap", trap.message)
queues.update(**{".id": id, "max-limit": "1M/2M", "disabled": True})
print([(row["name"], row["max-limit"], row["disabled"], row["dynamic"]) for row in queues])
queues.remove(id)
print(list(queues))
print([row["host-name"] for row in api.path("/ip/dhcp-server/lease")], [row["identity"] for row in api.path("/ip/neighbor")])
print(sorted(row.get("type", "-") for row in api.path("/tool/netwatch")), len(list(api.path("/log"))))
print([row["time"] for row in api("/ping", address="1.1.1.1", count="2")])
print(sorted(key for row in api.path("/system/health") for key in row if not key.startswith(".")))
try:
    list(api("/system/reboot"))
except Exception as gone:
    print("gone", "rebooting" in str(gone))
"#;

const ROUTEROS_API_HANDS: &str = r#"
import sys, routeros_api
pool = routeros_api.RouterOsApiPool(sys.argv[1], port=int(sys.argv[2]), username="agent", password="secret-word",
    plaintext_login=True)
queues = pool.get_api().get_resource("/queue/simple")
queues.add(name="Office", target="10.0.0.9/32", max_limit="512k/1M")
row = queues.get(name="Office")[0]
print(row["max-limit"], row["disabled"])
queues.set(id=row["id"], disabled="yes")
print(queues.get(name="Office")[0]["disabled"])
queues.remove(id=row["id"])
print(queues.get())
pool.disconnect()
"#;

#[tokio::test]
async fn librouteros_and_routeros_api_lay_hands_on_it() {
    for (face, netwatch, health) in [
        (
            Face::Seven,
            "simple",
            "['name', 'name', 'type', 'type', 'value', 'value']",
        ),
        (Face::Six, "-", "['temperature', 'voltage']"),
    ] {
        let router = Given::new(Api {
            face,
            ..Api::new("agent", "secret-word")
        })
        .await;
        let seen = python(ROUTEROS_API_HANDS, router.api().unwrap(), &[]).await;
        assert_eq!(seen, "512000/1000000 false\ntrue\n[]\n", "{face:?}");
        let seen = python(LIBROUTEROS_HANDS, router.api().unwrap(), &[]).await;
        let wanted = format!(
            "trap failure: already have such name\n\
             trap unknown parameter nonsense\n\
             [('Office \"A\"', '1000000/2000000', True, False)]\n[]\n\
             ['printer'] ['roof-radio']\n['{netwatch}'] 3\n['7ms250us', '8ms250us']\n{health}\n\
             gone True\n"
        );
        assert_eq!(seen, wanted, "{face:?}");
        router.stop().await;
    }
}

/// The same router in both faces, before our client.
#[tokio::test]
async fn our_client_reads_six_and_seven_alike() {
    for (face, version, sensor) in [
        (
            Face::Seven,
            "7.18.2 (stable)",
            ("cpu-temperature", "47", "C"),
        ),
        (Face::Six, "6.49.10 (long-term)", ("temperature", "38", "C")),
    ] {
        let router = Given::new(Api {
            face,
            ..Api::new("agent", "secret-word")
        })
        .await;
        let entry = entry(&router, "secret-word", false);
        let apis = apis(Pins::new([], |_| {}));
        let system = apis.system(&entry, PATIENCE).await.unwrap();
        assert_eq!(
            (system.version.as_str(), system.cpu_count),
            (version, Some(4))
        );
        let (name, value, unit) = sensor;
        let sensor = (name.to_owned(), value.to_owned(), unit.to_owned());
        assert!(system.health.contains(&sensor), "{:?}", system.health);
        let watches = apis.netwatch(&entry, PATIENCE).await.unwrap();
        assert_eq!(
            (watches[0].kind.as_str(), watches[0].interval_secs),
            ("simple", Some(10))
        );
        assert_eq!(apis.log(&entry, 2, PATIENCE).await.unwrap().len(), 2);
        router.stop().await;
    }
}

#[tokio::test]
async fn librouteros_and_routeros_api_get_on_with_every_build() {
    for (build, method) in [
        (Build::Challenge, "token"),
        (Build::Plain, "plain"),
        (Build::Empty, "plain"),
    ] {
        let router = Given::new(Api {
            build,
            ..Api::new("agent", "secret-word")
        })
        .await;
        for name in ["demo001", "demo002", "demo003"] {
            router.dial_locally(name, "AA:BB:CC:00:00:01");
        }
        router.add_user(Kind::Pppoe, "home1", "a-word");
        router.add_user(Kind::Hotspot, "guest1", "a-word");
        router.disable_user("home1", true);

        let seen = python(LIBROUTEROS, router.api().unwrap(), &[method]).await;
        let wanted = "refused True\n\
            3 ['demo001', 'demo002', 'demo003'] False\n\
            demo002 10.64.0.3 ['.id', 'address', 'name']\n\
            []\n2\n['0s']\n[]\n\
            [[('disabled', True), ('name', 'home1')]]\n['default-trial', 'guest1'] []\n\
            trap no such item\n\
            trap 0 no such command prefix\n\
            2\n";
        assert_eq!(seen, wanted, "{build:?}");

        let seen = python(ROUTEROS_API, router.api().unwrap(), &[method, "plain"]).await;
        assert_eq!(
            seen, "['demo001', 'demo003']\n1 []\ntrap True\n1\n",
            "{build:?}"
        );
        assert_eq!(router.counters().api_removals, 2);
        router.stop().await;
    }
}

#[tokio::test]
async fn an_independent_client_enters_by_tls() {
    let router = Given::new(Api {
        tls: true,
        ..Api::new("agent", "secret-word")
    })
    .await;
    for name in ["demo001", "demo003"] {
        router.dial_locally(name, "AA:BB:CC:00:00:01");
    }
    let seen = python(ROUTEROS_API, router.api().unwrap(), &["plain", "tls"]).await;
    assert_eq!(seen, "['demo001', 'demo003']\n1 []\ntrap True\n1\n");
    router.stop().await;
}

#[tokio::test]
async fn our_client_enters_every_build_lists_and_removes() {
    for (build, tls) in [
        (Build::Challenge, false),
        (Build::Plain, true),
        (Build::Empty, false),
    ] {
        let given = Api {
            build,
            tls,
            ..Api::new("agent", "secret-word")
        };
        let router = Given::new(given).await;
        let (apis, entry) = (
            apis(Pins::new([], |_| {})),
            entry(&router, "secret-word", tls),
        );
        assert_eq!(apis.active(&entry, None, PATIENCE).await.unwrap(), []);

        let online = router.dial_locally("demo001", "AA:BB:CC:00:00:01");
        router.dial_locally("demo002", "AA:BB:CC:00:00:02");
        let all = apis.active(&entry, None, PATIENCE).await.unwrap();
        assert_eq!(all.len(), 2, "{build:?}");
        let found = apis
            .active(&entry, Some(b"demo001"), PATIENCE)
            .await
            .unwrap();
        let [found] = found.as_slice() else {
            panic!("one, not {found:?}");
        };
        assert_eq!(found.session_id.as_deref(), Some(online.id()));
        assert_eq!((found.radius, found.service), (Some(false), Service::Ppp));

        apis.remove(&entry, found, PATIENCE).await.unwrap();
        assert!(online.session().is_none());
        apis.remove(&entry, found, PATIENCE).await.unwrap();
        assert_eq!(router.sessions().len(), 1);
        let resource = apis.resource(&entry, PATIENCE).await.unwrap();
        assert_eq!(resource.version, "7.18.2 (stable)");
        let rate = apis.rate(&entry, Service::Ppp, b"demo002", PATIENCE).await;
        assert_eq!(rate, Ok(Rates::default()));
        assert_eq!(router.counters().api_logins, 1, "one connection for all");
        router.stop().await;
    }
}

/// Only a user who is switched on and answers for the service hides a subscriber, and no password is asked for.
#[tokio::test]
async fn our_client_sees_whom_a_user_of_the_routers_own_hides() {
    let router = Given::new(Api::new("agent", "secret-word")).await;
    let entry = entry(&router, "secret-word", false);
    let apis = apis(Pins::new([], |_| {}));
    router.add_user(Kind::Pppoe, "jane", "a-word");
    router.add_user(Kind::Hotspot, "joe", "a-word");
    let hides = async |service, name: &str| {
        let asked = apis.hides(&entry, service, name.as_bytes(), PATIENCE);
        asked.await.unwrap()
    };
    assert!(hides(Service::Ppp, "jane").await);
    assert!(hides(Service::Hotspot, "joe").await);
    assert!(!hides(Service::Hotspot, "jane").await);
    assert!(!hides(Service::Ppp, "jan").await);
    router.disable_user("jane", true);
    assert!(!hides(Service::Ppp, "jane").await);
    router.stop().await;
}

/// The certificate that was met first is the only one believed, over restarts too.
#[tokio::test]
async fn another_certificate_gets_no_password() {
    let tls = || Api {
        tls: true,
        ..Api::new("agent", "secret-word")
    };
    let router = Given::new(tls()).await;
    let kept: Arc<Mutex<Vec<String>>> = Arc::default();
    let keep = kept.clone();
    let pins = Pins::new([], move |pin| keep.lock().unwrap().push(pin));
    let first = entry(&router, "secret-word", true);
    apis(pins).active(&first, None, PATIENCE).await.unwrap();
    let kept: Vec<String> = kept.lock().unwrap().clone();
    assert_eq!(kept.len(), 1);

    let again = apis(Pins::new(kept.clone(), |_| {}));
    again.active(&first, None, PATIENCE).await.unwrap();

    // Somebody else takes the port.
    let port = router.api().unwrap();
    router.stop().await;
    let other = Given::new(Api {
        listen: port,
        ..tls()
    })
    .await;
    let after = apis(Pins::new(kept.clone(), |_| {}));
    let refused = after.active(&first, None, PATIENCE).await;
    assert_eq!(refused, Err(ApiError::OtherCertificate));
    assert_eq!(other.counters().api_logins, 0);

    // The operator enters the password anew: these settings meet the router for the first time.
    let anew = apis(Pins::new(kept, |_| {}));
    let mut entry = entry(&other, "secret-word", true);
    entry.api.as_mut().unwrap().name = "other settings".into();
    anew.active(&entry, None, PATIENCE).await.unwrap();
    other.stop().await;
}

#[tokio::test]
async fn what_does_not_work_is_said() {
    let router = Given::new(Api::new("agent", "secret-word")).await;
    let right = entry(&router, "secret-word", false);
    let wrong = entry(&router, "guess", false);
    let refused = apis(Pins::new([], |_| {}))
        .active(&wrong, None, PATIENCE)
        .await;
    let Err(ApiError::LoginRefused(why)) = refused else {
        panic!("a refusal, not {refused:?}");
    };
    assert_eq!(why, "invalid user name or password (6)");

    let abroad = RouterApis::new(
        Ranges::new(vec!["10.0.0.0/8".parse().unwrap()]),
        Pins::new([], |_| {}),
    );
    let outside = abroad.active(&right, None, PATIENCE).await;
    assert_eq!(outside, Err(ApiError::OutOfRange));

    let apis = apis(Pins::new([], |_| {}));
    let online = router.dial_locally("demo001", "AA:BB:CC:00:00:01");
    let listed = apis.active(&right, None, PATIENCE).await.unwrap();
    let [active] = <[Active; 1]>::try_from(listed).unwrap();
    router.api_manners(ApiManners::RefuseRemoval);
    let refused = apis.remove(&right, &active, PATIENCE).await;
    assert!(
        matches!(refused, Err(ApiError::Refused(trap)) if trap.message.contains("permissions"))
    );
    router.api_manners(ApiManners::Silent);
    let silent = apis.active(&right, None, Duration::from_millis(100)).await;
    assert_eq!(silent, Err(ApiError::TimedOut));

    router.api_manners(ApiManners::Obey);
    let back = apis.active(&right, None, PATIENCE).await;
    assert_eq!(back.unwrap().len(), 1, "it dials again");
    assert!(online.session().is_some());
    router.stop().await;
    let gone = apis.active(&right, None, PATIENCE).await;
    assert_eq!(gone, Err(ApiError::Shut));
}

struct Given;

impl Given {
    #[expect(clippy::new_ret_no_self, reason = "what is given is a router")]
    async fn new(api: Api) -> Router {
        let nowhere: SocketAddr = ([127, 0, 0, 1], 9).into();
        let settings = Settings {
            api: Some(api),
            ..Settings::new("a-long-shared-secret", nowhere, nowhere)
        };
        let clock = Clock::test(crate::world::START);
        Router::start_on(settings, clock, Entropy::system())
            .await
            .unwrap()
    }
}

fn apis(pins: Pins) -> RouterApis {
    RouterApis::new(Ranges::new(vec!["127.0.0.0/8".parse().unwrap()]), pins)
}

/// The router's entry as the feed brings it.
fn entry(router: &Router, password: &str, tls: bool) -> site::Router {
    let key = SealKey::new([7; 32]);
    let id = RouterId(Uuid::from_u128(9));
    let seal = |field: &str, clear: &str| {
        let place = secret_place(DownKind::Router, id.0, field);
        key.seal(&place, clear.as_bytes(), &Entropy::seeded(1))
    };
    let api = router.api().unwrap();
    let row = RouterV1 {
        router: id,
        name: "Tower".into(),
        address: api.ip(),
        source: Network {
            address: api.ip(),
            prefix: 32,
        },
        secret: seal("secret", "a-long-shared-secret"),
        previous_secret: None,
        coa_port: 3799,
        message_authenticator: MessageAuthenticator::Learn,
        api: Some(RouterApiV1 {
            port: api.port(),
            tls,
            user: "agent".into(),
            password: seal("api", password),
        }),
        ended_certificates: Vec::new(),
        certificates_since: None,
        leases: false,
    };
    site::Router::open(row, &key).unwrap()
}

/// Runs a script in the Python that `tests/prepare` made; what it printed.
async fn python(script: &str, api: SocketAddr, more: &[&str]) -> String {
    const PYTHON: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/python/bin/python3");
    let output = Command::new(PYTHON)
        .args(["-c", script, &api.ip().to_string(), &api.port().to_string()])
        .args(more)
        .output()
        .await
        .expect("Python and its clients (tests/prepare tests installs them)");
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}
