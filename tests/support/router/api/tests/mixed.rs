//! Commands that are under way at once: the API tells their rows in turn, and each client sorts them by their tags.

use tokio::io::BufReader;
use tokio::net::TcpStream;

use super::super::wire::{Sentence, read, write};
use super::node::node;
use super::{Api, Build, Given, PATIENCE, Pins, apis, entry, python};
use crate::router::{Mishap, Router, Telling};

/// A router with three who are online; its API mixes what it tells of these.
async fn given(build: Build, commands: &[&str]) -> Router {
    let router = Given::new(Api {
        build,
        ..Api::new("agent", "secret-word")
    })
    .await;
    for name in ["demo001", "demo002", "demo003"] {
        router.dial_locally(name, "AA:BB:CC:00:00:01");
    }
    for command in commands {
        router.mishap(command, Mishap::Tell(Telling::Mixed(commands.len())));
    }
    router
}

/// What stands on the wire: a row of each in turn, and an answer ends while others go on.
#[tokio::test]
async fn rows_come_in_turn() {
    let router = given(Build::Plain, &COMMANDS).await;
    let stream = TcpStream::connect(router.api().unwrap()).await.unwrap();
    let (source, mut sink) = tokio::io::split(stream);
    let mut source = BufReader::new(source);
    let login = ["/login", "=name=agent", "=password=secret-word"];
    write(&mut sink, &Sentence::of(&login)).await.unwrap();
    assert!(read(&mut source).await.unwrap().unwrap().is("!done"));
    for (command, tag) in COMMANDS.into_iter().zip([".tag=a", ".tag=b", ".tag=c"]) {
        write(&mut sink, &Sentence::of(&[command, tag]))
            .await
            .unwrap();
    }
    let mut told = Vec::new();
    while told.iter().filter(|(_, word)| word == "!done").count() < COMMANDS.len() {
        let sentence = read(&mut source).await.unwrap().unwrap();
        told.push((
            sentence.tag().unwrap(),
            sentence.first().unwrap().to_owned(),
        ));
    }
    let order: Vec<String> = told
        .iter()
        .map(|(tag, word)| format!("{tag}{word}"))
        .collect();
    assert_eq!(
        order.join(" "),
        "a!re b!re c!re a!re b!done c!re a!re c!re a!done c!done"
    );
    router.stop().await;
}

#[tokio::test]
async fn our_client_sorts_what_is_mixed() {
    for build in [Build::Plain, Build::Empty] {
        let router = given(build, &[]).await;
        let (apis, entry) = (
            apis(Pins::new([], |_| {})),
            entry(&router, "secret-word", false),
        );
        // It has entered, and asks all of them over one line.
        apis.resource(&entry, PATIENCE).await.unwrap();
        let all = [
            COMMANDS[0],
            COMMANDS[1],
            COMMANDS[2],
            "/tool/netwatch/print",
        ];
        for command in all {
            router.mishap(command, Mishap::Tell(Telling::Mixed(all.len())));
        }
        let (active, resource, log, watches) = tokio::join!(
            apis.active(&entry, None, PATIENCE),
            apis.resource(&entry, PATIENCE),
            apis.log(&entry, 9, PATIENCE),
            apis.netwatch(&entry, PATIENCE),
        );
        let active = active.unwrap();
        let names = active
            .iter()
            .map(|line| String::from_utf8_lossy(&line.name));
        let mut names: Vec<_> = names.collect();
        names.sort();
        assert_eq!(names, ["demo001", "demo002", "demo003"], "{build:?}");
        assert_eq!(resource.unwrap().cpu_load, Some(7), "{build:?}");
        let log = log.unwrap();
        let topics: Vec<&str> = log.iter().map(|line| line.topics.as_str()).collect();
        assert_eq!(
            topics,
            ["system,info", "interface,info", "system,error,critical"],
            "{build:?}"
        );
        let hosts = watches.unwrap().into_iter().map(|watch| watch.host);
        assert_eq!(hosts.collect::<Vec<_>>(), ["192.0.2.1"], "{build:?}");
        assert_eq!(router.counters().api_logins, 1, "one connection for all");
        router.stop().await;
    }
}

/// Both tag what they ask. Of four commands one is refused, which is nothing to the others.
#[tokio::test]
async fn node_routeros_and_routeros_api_sort_what_is_mixed() {
    let [one, two, three] = COMMANDS;
    let commands = [one, two, three, "/container/print"];
    let wanted = "demo001,demo002,demo003 7 system,info;interface,info;system,error,critical \
                  no such command prefix\n";
    let router = given(Build::Plain, &commands).await;
    let seen = node(NODE_ROUTEROS, router.api().unwrap(), &[]).await;
    assert_eq!(seen, wanted);
    router.stop().await;
    let router = given(Build::Plain, &commands).await;
    let seen = python(ROUTEROS_API, router.api().unwrap(), &[]).await;
    assert_eq!(seen, wanted);
    router.stop().await;
}

/// Three rows, one, and three.
const COMMANDS: [&str; 3] = ["/ppp/active/print", "/system/resource/print", "/log/print"];

const NODE_ROUTEROS: &str = r#"
const { RouterOSAPI } = require("node-routeros");
const [host, port] = process.argv.slice(1);
(async () => {
  const api = new RouterOSAPI({ host, port: Number(port), user: "agent", password: "secret-word", timeout: 10 });
  await api.connect();
  const paths = ["/ppp/active/print", "/system/resource/print", "/log/print", "/container/print"];
  const asked = paths.map((path) => api.write(path).catch((why) => why.message));
  const [active, resource, log, refused] = await Promise.all(asked);
  console.log(active.map((row) => row.name).join(), resource.map((row) => row["cpu-load"]).join(),
    log.map((row) => row.topics).join(";"), refused);
  await api.close();
})().catch((why) => { console.error(why); process.exit(1); });
"#;

const ROUTEROS_API: &str = r#"
import sys, routeros_api
pool = routeros_api.RouterOsApiPool(sys.argv[1], port=int(sys.argv[2]), username="agent", password="secret-word",
    plaintext_login=True)
api = pool.get_api()
asked = [api.get_resource(path).get_async() for path in ("/ppp/active", "/system/resource", "/log", "/container")]
try:
    asked.pop().get()
except routeros_api.exceptions.RouterOsApiCommunicationError as trap:
    refused = trap.original_message.decode()
log, resource, active = [promise.get() for promise in reversed(asked)]
print(",".join(row["name"] for row in active), resource[0]["cpu-load"], ";".join(row["topics"] for row in log), refused)
pool.disconnect()
"#;
