//! The pretend API before node-routeros. It knows no `!empty`, so it judges the builds without.

use std::net::SocketAddr;

use tokio::process::Command;

use super::{Api, Build, Face, Given};

const NODE_ROUTEROS: &str = r#"
const { RouterOSAPI } = require("node-routeros");
const [host, port, how] = process.argv.slice(1);
const line = (password) => new RouterOSAPI({ host, port: Number(port), user: "agent", password, timeout: 10,
  ...(how === "tls" ? { tls: { rejectUnauthorized: false } } : {}) });
const refused = (asked) => asked.then(() => "done", (why) => why.errno || why.message);
(async () => {
  console.log("refused", await refused(line("wrong").connect()));
  const api = line("secret-word");
  await api.connect();
  const active = await api.write("/ppp/active/print");
  console.log(active.length, active.map((row) => row.name).sort().join(), active[0].radius);
  const [one] = await api.write(["/ppp/active/print", "?name=demo002", "=.proplist=name,address,.id"]);
  console.log(one.name, one.address, Object.keys(one).sort().join());
  const both = await api.write(["/ppp/active/print", "?name=demo001", "?name=demo002", "?#|"]);
  console.log(both.length, (await api.write("/ppp/active/print", "?name=nobody")).length);
  const [resource, listed] = await Promise.all([api.write("/system/resource/print"), api.write("/ppp/active/print")]);
  console.log(resource[0].version, listed.length);
  const [made] = await api.write(["/queue/simple/add", "=name=Office \"A\" = 1", "=target=10.0.0.9/32", "=max-limit=5M/10M"]);
  console.log(await refused(api.write("/queue/simple/add", "=name=Office \"A\" = 1", "=target=10.0.0.9/32")));
  console.log(await refused(api.write("/queue/simple/add", "=nonsense=1")));
  await api.write(["/queue/simple/set", "=.id=" + made.ret, "=max-limit=1M/2M", "=disabled=yes"]);
  const [queue] = await api.write(["/queue/simple/print", "?.id=" + made.ret]);
  console.log(queue.name, queue["max-limit"], queue.disabled);
  await api.write(["/queue/simple/remove", "=.id=" + made.ret]);
  await api.write(["/ppp/active/remove", "=.id=" + one[".id"]]);
  console.log(await refused(api.write(["/ppp/active/remove", "=.id=" + one[".id"]])));
  console.log(await refused(api.write("/container/print")));
  console.log((await api.write("/ppp/active/print")).length);
  console.log(await refused(api.write(["/password", "=old-password=wrong", "=new-password=n", "=confirm-new-password=n"])));
  const other = ["=old-password=secret-word", "=new-password=another", "=confirm-new-password=another"];
  console.log(await refused(api.write(["/password", ...other])));
  await api.close();
  console.log("refused", await refused(line("secret-word").connect()));
  const again = line("another");
  await again.connect();
  await again.close();
})().catch((why) => { console.error(why); process.exit(1); });
"#;

#[tokio::test]
async fn node_routeros_gets_on_with_it() {
    for (build, face, version, tls) in [
        (Build::Challenge, Face::Six, "6.49.10 (long-term)", false),
        (Build::Plain, Face::Seven, "7.18.2 (stable)", false),
        (Build::Plain, Face::Seven, "7.18.2 (stable)", true),
    ] {
        let api = Api {
            build,
            face,
            tls,
            ..Api::new("agent", "secret-word")
        };
        let router = Given::new(api).await;
        for name in ["demo001", "demo002", "demo003"] {
            router.dial_locally(name, "AA:BB:CC:00:00:01");
        }
        let how = if tls { "tls" } else { "plain" };
        let seen = node(NODE_ROUTEROS, router.api().expect("it has one"), &[how]).await;
        let wanted = format!(
            "refused CANTLOGIN\n\
             3 demo001,demo002,demo003 false\n\
             demo002 10.64.0.3 .id,address,name\n\
             2 0\n\
             {version} 3\n\
             failure: already have such name\n\
             unknown parameter nonsense\n\
             Office \"A\" = 1 1000000/2000000 true\n\
             no such item\n\
             no such command prefix\n\
             2\n\
             failure: old password is wrong\n\
             done\n\
             refused CANTLOGIN\n"
        );
        assert_eq!(seen, wanted, "{build:?} {face:?} {how}");
        assert_eq!(router.counters().api_removals, 1);
        router.stop().await;
    }
}

/// Runs a script in Node beside the client that `tests/prepare` made; what it printed.
pub(super) async fn node(script: &str, api: SocketAddr, more: &[&str]) -> String {
    const HOME: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/node");
    let output = Command::new("node")
        .current_dir(HOME)
        .args(["-e", script, &api.ip().to_string(), &api.port().to_string()])
        .args(more)
        .output()
        .await
        .expect("Node and its client (tests/prepare tests installs them)");
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}
