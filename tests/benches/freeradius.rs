//! The peer: Debian's FreeRADIUS 3.2 with its shipped site, and the same users.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use easyisp_agent::radius::Secret;

use crate::child::{SERVER_CORE, Server, on_core};
use crate::load::users::{RATE_LIMIT, User};
use crate::load::{self};
use crate::postgres::Postgres;

/// Where it keeps its users.
pub enum Users<'a> {
    /// In its shipped SQL schema.
    Sql(&'a Postgres),
    /// In memory, read from its `files` module's file.
    Files,
}

/// A running FreeRADIUS.
pub struct FreeRadius {
    pub auth: SocketAddr,
    pub acct: SocketAddr,
    pub server: Server,
}

/// Whether it can be started here.
pub fn installed() -> bool {
    Path::new(SHIPPED).join("radiusd.conf").exists()
        && Path::new("/usr/lib/freeradius/rlm_sql_postgresql.so").exists()
        && program().is_some()
}

impl FreeRadius {
    /// Starts one below `folder`, and returns when it decides rightly.
    pub fn start(folder: &Path, users: Users<'_>, count: u32, secret: &str) -> Result<FreeRadius> {
        let raddb = folder.join("raddb");
        copy(Path::new(SHIPPED), &raddb)?;
        configure(folder, &raddb, secret)?;
        match users {
            Users::Sql(postgres) => use_sql(&raddb, postgres)?,
            Users::Files => write_users(&raddb, count)?,
        }

        let [auth, acct, inner] = free_ports()?;
        listen(&raddb, auth, acct, inner)?;
        let mut command = on_core(SERVER_CORE, program().context("freeradius is installed")?);
        command.arg("-f").arg("-d").arg(&raddb);
        command.arg("-l").arg(folder.join("radius.log"));
        let mut server = Server::start(command)?;

        let decides = load::check(
            auth,
            &Secret::new(secret.as_bytes()),
            Duration::from_secs(30),
        );
        server.expect_alive().and(decides).with_context(|| {
            let log = fs::read_to_string(folder.join("radius.log")).unwrap_or_default();
            let tail: Vec<&str> = log.lines().rev().take(10).collect();
            format!("FreeRADIUS (last line first): {tail:#?}")
        })?;
        Ok(FreeRadius { auth, acct, server })
    }
}

const SHIPPED: &str = "/etc/freeradius/3.0";

fn program() -> Option<PathBuf> {
    let places = ["/usr/sbin/freeradius", "/usr/sbin/radiusd"].map(PathBuf::from);
    places.into_iter().find(|place| place.exists())
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    let status = Command::new("cp").arg("-a").arg(from).arg(to).status()?;
    ensure!(status.success(), "copying {} failed", from.display());
    Ok(())
}

/// As shipped but for its folders, its secret, its user, and room for all that is outstanding.
fn configure(folder: &Path, raddb: &Path, secret: &str) -> Result<()> {
    edit(&raddb.join("radiusd.conf"), |text| {
        let folder = folder.display();
        text.replace(
            "logdir = /var/log/freeradius",
            &format!("logdir = {folder}/log"),
        )
        .replace(
            "raddbdir = /etc/freeradius/3.0",
            &format!("raddbdir = {folder}/raddb"),
        )
        .replace(
            "run_dir = ${localstatedir}/run/${name}",
            &format!("run_dir = {folder}/run"),
        )
        .replace("max_requests = 16384", "max_requests = 131072")
        .replace("user = freerad", "")
        .replace("group = freerad", "")
    })?;
    fs::create_dir_all(folder.join("log/radacct"))?;
    fs::create_dir_all(folder.join("run"))?;
    let clients = format!("client routers {{\n  ipaddr = 127.0.0.0/8\n  secret = {secret}\n}}\n");
    fs::write(raddb.join("clients.conf"), clients)?;
    Ok(())
}

/// Joins the shipped `sql` module; the shipped site already asks it where it is there.
fn use_sql(raddb: &Path, postgres: &Postgres) -> Result<()> {
    let module = raddb.join("mods-available/sql");
    edit(&module, |text| {
        let database = format!(
            "dbname={} host={} user={}",
            postgres.database,
            postgres.socket_dir.display(),
            postgres.role
        );
        text.replace("dialect = \"sqlite\"", "dialect = \"postgresql\"")
            .replace(
                "driver = \"rlm_sql_null\"",
                "driver = \"rlm_sql_postgresql\"",
            )
            .replace(
                "radius_db = \"radius\"",
                &format!("radius_db = \"{database}\""),
            )
    })?;
    std::os::unix::fs::symlink(&module, raddb.join("mods-enabled/sql"))?;
    Ok(())
}

fn write_users(raddb: &Path, count: u32) -> Result<()> {
    let place = raddb.join("mods-config/files/authorize");
    let mut file = BufWriter::new(File::create(&place)?);
    for user in (0..count).map(User) {
        let (name, password) = (user.name(), user.password());
        writeln!(file, "{name} Cleartext-Password := \"{password}\"")?;
        writeln!(file, "\tMikrotik-Rate-Limit = \"{RATE_LIMIT}\"")?;
    }
    file.flush()?;
    Ok(())
}

fn edit(file: &Path, change: impl FnOnce(&str) -> String) -> Result<()> {
    let text = fs::read_to_string(file).with_context(|| file.display().to_string())?;
    fs::write(file, change(&text))?;
    Ok(())
}

/// The shipped sites' sockets, moved to ports of our own on the loopback addresses.
fn listen(raddb: &Path, auth: SocketAddr, acct: SocketAddr, inner: SocketAddr) -> Result<()> {
    edit(&raddb.join("sites-available/default"), |text| {
        let mut ports = [auth, acct, auth, acct].into_iter().map(|at| at.port());
        let moved = text.lines().map(|line| match line.trim() {
            "port = 0" => ports
                .next()
                .map_or(String::new(), |port| format!("port = {port}")),
            "ipaddr = *" => "ipaddr = 127.0.0.1".to_owned(),
            line if line.starts_with("ipv6addr = ::") => "ipv6addr = ::1".to_owned(),
            _ => line.to_owned(),
        });
        moved.collect::<Vec<_>>().join("\n")
    })?;
    edit(&raddb.join("sites-available/inner-tunnel"), |text| {
        text.replace("port = 18120", &format!("port = {}", inner.port()))
    })
}

fn free_ports() -> Result<[SocketAddr; 3]> {
    let sockets = [(); 3].map(|()| UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)));
    let [a, b, c] = sockets.map(|socket| socket.and_then(|socket| socket.local_addr()));
    Ok([a?, b?, c?])
}
