//! Debian's real FreeRADIUS in a folder of its own: the judge of our pretend router, and a bench's peer.

use std::net::SocketAddr;
use std::process::Stdio;

use anyhow::{Context, bail};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;

use crate::ports;
use crate::router::Server;

/// A running FreeRADIUS. Dropping it kills the process.
pub struct FreeRadius {
    /// Where it answers.
    pub server: Server,
    folder: TempDir,
    process: Child,
    _reader: JoinHandle<()>,
}

impl FreeRadius {
    /// Starts it for clients in 127.0.0.0/8 with this secret and this `users` file.
    pub async fn start(secret: &str, users: &str) -> anyhow::Result<FreeRadius> {
        let server = Server {
            auth: ports::free_here()?,
            acct: ports::free_here()?,
        };
        FreeRadius::start_on(server, secret, users).await
    }

    /// The same on these ports: again where it was before.
    pub async fn start_on(server: Server, secret: &str, users: &str) -> anyhow::Result<FreeRadius> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().display().to_string();
        std::fs::write(folder.path().join("users"), users)?;
        std::fs::write(
            folder.path().join("dictionary"),
            "$INCLUDE /usr/share/freeradius/dictionary\n",
        )?;
        std::fs::write(
            folder.path().join("radiusd.conf"),
            configuration(&path, secret, server),
        )?;

        let mut process = Command::new("freeradius")
            .args(["-f", "-xx", "-l", "stdout", "-d", &path])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .kill_on_drop(true)
            .spawn()
            .context("starting freeradius (Debian package freeradius, installed by tests/run)")?;
        let stdout = process
            .stdout
            .take()
            .context("freeradius has a standard output")?;
        let mut lines = BufReader::new(stdout).lines();
        let mut log = Vec::new();
        loop {
            match lines.next_line().await? {
                Some(line) if line.contains("Ready to process requests") => break,
                Some(line) => log.push(line),
                None => bail!("freeradius did not start:\n{}", log.join("\n")),
            }
        }
        // The pipe must be read, or the server stops when it is full.
        let reader =
            tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Ok(FreeRadius {
            server,
            folder,
            process,
            _reader: reader,
        })
    }

    /// Ends it at once, as a pulled plug does; its ports are free when this returns.
    pub async fn stop(mut self) -> std::io::Result<()> {
        self.process.kill().await
    }

    /// The accounting it has written down (its `detail` file).
    pub fn accounting(&self) -> std::io::Result<String> {
        std::fs::read_to_string(self.folder.path().join("detail"))
    }
}

/// Runs `radclient` against `address`; `kind` is `auth`, `acct`, `coa`, `disconnect`. Its output.
pub async fn radclient(
    address: SocketAddr,
    kind: &str,
    secret: &str,
    attributes: &str,
) -> anyhow::Result<String> {
    let mut process = Command::new("radclient")
        .args([
            "-x",
            "-r",
            "1",
            "-t",
            "2",
            &address.to_string(),
            kind,
            secret,
        ])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .context("starting radclient (Debian package freeradius-utils, installed by tests/run)")?;
    let mut input = process
        .stdin
        .take()
        .context("radclient has a standard input")?;
    input.write_all(attributes.as_bytes()).await?;
    drop(input);
    let output = process.wait_with_output().await?;
    let text = [output.stdout, output.stderr].concat();
    Ok(String::from_utf8_lossy(&text).into_owned())
}

fn configuration(path: &str, secret: &str, server: Server) -> String {
    let (auth, acct) = (server.auth.port(), server.acct.port());
    format!(
        r#"
logdir = {path}
raddbdir = {path}
run_dir = {path}
max_requests = 16384
security {{
    allow_vulnerable_openssl = yes
}}
client routers {{
    ipaddr = 127.0.0.0/8
    secret = "{secret}"
    require_message_authenticator = yes
}}
modules {{
    pap {{ }}
    chap {{ }}
    mschap {{ }}
    eap {{
        default_eap_type = mschapv2
        mschapv2 {{ }}
    }}
    files {{
        usersfile = {path}/users
    }}
    detail {{
        filename = {path}/detail
    }}
}}
server default {{
    listen {{
        type = auth
        ipaddr = 127.0.0.1
        port = {auth}
    }}
    listen {{
        type = acct
        ipaddr = 127.0.0.1
        port = {acct}
    }}
    authorize {{
        chap
        mschap
        eap
        files
        pap
    }}
    authenticate {{
        Auth-Type PAP {{
            pap
        }}
        Auth-Type CHAP {{
            chap
        }}
        Auth-Type MS-CHAP {{
            mschap
        }}
        Auth-Type EAP {{
            eap
        }}
    }}
    post-auth {{
        update reply {{
            Message-Authenticator := 0x00
        }}
        Post-Auth-Type REJECT {{
            update reply {{
                Message-Authenticator := 0x00
            }}
        }}
    }}
    accounting {{
        detail
    }}
}}
"#
    )
}
