//! The API of the pretend router: ports 8728 and 8729, as far as somebody watches and ends sessions.
//!
//! Written from the manual and beside the agent's client, with a reader and a writer of its own; PyPI's
//! librouteros and RouterOS-api judge it.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use easyisp_shared::setup::Release;
use md5::{Digest, Md5};
use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, crypto};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use super::{Mishap, Router, Telling};
use crate::scenario::ApiManners;

mod menus;
mod query;
mod rights;
mod software;
mod users;
mod wire;

use rights::Rights;
use wire::{Sentence, read, write};

/// How the API is set up (`/ip service`, `/user`).
#[derive(Clone, Debug)]
pub struct Api {
    /// Where it listens.
    pub listen: SocketAddr,
    /// Whether it is `api-ssl`, with a certificate made at the start.
    pub tls: bool,
    /// Whether all its ciphers are from before those that are safe: then no TLS comes about.
    pub archaic: bool,
    /// The user.
    pub user: String,
    /// His password.
    pub password: String,
    /// Which build's manners it has.
    pub build: Build,
    /// Which version's rows it shows.
    pub face: Face,
}

/// Which version's rows an API shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Face {
    /// 6.49: health in one row, dates by month, no type of netwatch.
    Six,
    /// 7.18.
    Seven,
}

/// Which build's manners an API has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Build {
    /// Before 6.43: the login is a challenge.
    Challenge,
    /// 6.43 and later: the login carries the password.
    Plain,
    /// 7.18 and later: an empty list is `!empty`.
    Empty,
}

impl Face {
    /// The release that shows such rows.
    pub fn release(self) -> Release {
        match self {
            Face::Six => Release::V6,
            Face::Seven => Release::V7,
        }
    }
}

impl Api {
    /// A plain API of the newest build on a free loopback port.
    pub fn new(user: &str, password: &str) -> Api {
        Api {
            listen: ([127, 0, 0, 1], 0).into(),
            tls: false,
            archaic: false,
            user: user.to_owned(),
            password: password.to_owned(),
            build: Build::Empty,
            face: Face::Seven,
        }
    }

    /// The same with the rows and the login of a version: RouterOS 6 as it was before 6.43, which asks for a challenge.
    pub fn of(face: Face, user: &str, password: &str) -> Api {
        let build = match face {
            Face::Six => Build::Challenge,
            Face::Seven => Build::Empty,
        };
        Api {
            build,
            face,
            ..Api::new(user, password)
        }
    }
}

/// Takes connections until the router stops.
pub(super) async fn listen(router: Router, listener: TcpListener, api: Api) {
    let api = Arc::new(api);
    let mut shown = (String::new(), certificate());
    loop {
        let Ok((stream, source)) = listener.accept().await else {
            continue;
        };
        // An answer is a small one and goes at once, as a router's does.
        let _is_slow = stream.set_nodelay(true);
        if router.is_away() {
            continue; // nobody listens while it starts
        }
        let key = router.state().machine.api_key();
        let tls = match (api.tls, key) {
            (false, _) => None,
            (true, None) => continue, // it cannot speak TLS yet
            (true, Some(key)) => {
                // Another key has another certificate.
                if shown.0 != key {
                    shown = (key, certificate());
                }
                Some(shown.1.clone())
            }
        };
        if api.archaic {
            router.spawn(refuse_tls(stream));
            continue;
        }
        let (api, visited) = (api.clone(), router.clone());
        router.spawn(async move {
            // How a visit ends is the visitor's business.
            let _ended = match tls {
                None => visit(visited, &api, stream, source.ip()).await,
                Some(acceptor) => match acceptor.accept(stream).await {
                    Ok(stream) => visit(visited, &api, stream, source.ip()).await,
                    Err(cause) => Err(cause),
                },
            };
        });
    }
}

/// To a ClientHello that offers no cipher of its own: the alert handshake_failure (RFC 5246 §7.2).
async fn refuse_tls(mut stream: TcpStream) {
    let mut hello = [0; 1024];
    if stream.read(&mut hello).await.is_ok() {
        // Who hears it goes away.
        let _gone = stream.write_all(&[21, 3, 3, 0, 2, 2, 40]).await;
    }
}

/// A certificate as `/certificate sign` makes it: our own word for who we are.
fn certificate() -> TlsAcceptor {
    let made = rcgen::generate_simple_self_signed(vec!["router".to_owned()]);
    let made = made.expect("a certificate of our own");
    let key = PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
    let provider = Arc::new(crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("ring has suites of both versions")
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .expect("the key is the certificate's");
    TlsAcceptor::from(Arc::new(config))
}

async fn visit(
    router: Router,
    api: &Api,
    stream: impl AsyncRead + AsyncWrite + Send + Unpin,
    from: IpAddr,
) -> std::io::Result<()> {
    let (source, mut sink) = tokio::io::split(stream);
    let mut source = BufReader::new(source);
    let mut guest = Guest::Stranger;
    let mut running: Vec<String> = Vec::new();
    let mut mixed: Vec<Vec<Sentence>> = Vec::new();
    let boot = router.state().boot;
    while let Some(sentence) = read(&mut source).await? {
        // A restart ends every connection.
        let (manners, since) = {
            let state = router.state();
            (state.api_manners, state.boot)
        };
        if since != boot {
            return Ok(());
        }
        let tag = sentence.tag();
        if manners == ApiManners::Silent || router.state().is_cut() {
            continue;
        }
        let mut telling = Telling::Whole;
        if let Guest::Known(_) = &guest {
            match counted(&router, &sentence).or_else(|| happens(&router, &sentence)) {
                Some(Mishap::Refuse(words)) => {
                    let replies = told(Err((None, words)), api, "", &sentence);
                    answer(&mut sink, replies, tag.as_deref()).await?;
                    continue;
                }
                Some(Mishap::Pretend) => {
                    answer(&mut sink, vec![Sentence::of(&["!done"])], tag.as_deref()).await?;
                    continue;
                }
                Some(Mishap::Reboot) => {
                    router.reboot();
                    return Ok(());
                }
                Some(Mishap::Hangup) => return Ok(()),
                Some(Mishap::Linger) => {
                    running.push(tag.unwrap_or_default());
                    continue;
                }
                Some(Mishap::Tell(how)) => telling = how,
                Some(Mishap::Unplug) | None => {}
            }
        }
        if router.state().is_cut() {
            continue;
        }
        if sentence.is("/cancel") {
            cancel(&router, &sentence, &mut running, &mut sink).await?;
            continue;
        }
        let replies = match &guest {
            Guest::Known(name) => {
                let rights = Rights::of(&router.machine(), name);
                let own = own_password(&router, name, &rights, &sentence);
                match own {
                    Some(outcome) => told(outcome, api, "/password", &sentence),
                    None if sentence.is("/tool/fetch") && rights.allow(&sentence) => {
                        let outcome = fetched(&router, &sentence).await;
                        told(outcome, api, "/tool/fetch", &sentence)
                    }
                    None => carry_out(&router, api, (&sentence, &rights), manners),
                }
            }
            Guest::Stranger | Guest::Challenged(_) => {
                let (now, replies) = log_in(&router, api, &sentence, guest, from);
                guest = now;
                replies
            }
        };
        let mut replies = told_so(replies, telling);
        for reply in &mut replies {
            reply.tagged(tag.as_deref());
        }
        if let Telling::Mixed(count) = telling {
            mixed.push(replies);
            if mixed.len() < count {
                continue;
            }
            replies = in_turn(std::mem::take(&mut mixed));
        }
        for reply in replies {
            let rate = match telling {
                Telling::Slowly => Some(SLOW_ROWS_A_SECOND),
                _ => router.state().rows_a_second,
            };
            let rate = rate.filter(|_| reply.is("!re"));
            if let Some(rate) = rate {
                tokio::time::sleep(Duration::from_secs(1) / rate.max(1)).await;
            }
            let goodbye = reply.is("!fatal");
            write(&mut sink, &reply).await?;
            if goodbye {
                return Ok(());
            }
        }
    }
    Ok(())
}

/// An answer as it is told.
fn told_so(mut replies: Vec<Sentence>, telling: Telling) -> Vec<Sentence> {
    let end = replies.pop();
    let half = replies.len() / 2;
    match telling {
        Telling::Whole | Telling::Slowly | Telling::Mixed(_) => {}
        Telling::Half => replies.truncate(half),
        Telling::HalfAndLeave => {
            replies.truncate(half);
            replies.push(Sentence::of(&["!fatal", "too many commands"]));
        }
        Telling::Twice => {
            let twice = replies.iter().flat_map(|row| [row.clone(), row.clone()]);
            replies = twice.collect();
        }
    }
    replies.extend(end);
    replies
}

/// A sentence of each answer, and again, until all of them are told.
fn in_turn(answers: Vec<Vec<Sentence>>) -> Vec<Sentence> {
    let mut answers: Vec<_> = answers.into_iter().map(Vec::into_iter).collect();
    let mut told = Vec::new();
    loop {
        let before = told.len();
        told.extend(answers.iter_mut().filter_map(Iterator::next));
        if told.len() == before {
            return told;
        }
    }
}

/// `/cancel`: what goes on under this tag, or everything, ends as interrupted; then the word itself is done.
async fn cancel(
    router: &Router,
    sentence: &Sentence,
    running: &mut Vec<String>,
    sink: &mut (impl AsyncWrite + Unpin),
) -> std::io::Result<()> {
    let wanted = sentence.value("tag").map(str::to_owned);
    let is_meant = |tag: &String| wanted.as_ref().is_none_or(|wanted| wanted == tag);
    let (stopped, rest): (Vec<String>, Vec<String>) =
        std::mem::take(running).into_iter().partition(is_meant);
    *running = rest;
    for tag in stopped {
        router.change(|state| state.counters.api_cancelled += 1);
        let mut trap = Sentence::of(&["!trap", "=category=2", "=message=interrupted"]);
        trap.tagged(Some(&tag));
        write(sink, &trap).await?;
        let mut done = Sentence::of(&["!done"]);
        done.tagged(Some(&tag));
        write(sink, &done).await?;
    }
    let mut done = Sentence::of(&["!done"]);
    done.tagged(sentence.tag().as_deref());
    write(sink, &done).await
}

async fn answer(
    sink: &mut (impl AsyncWrite + Unpin),
    replies: Vec<Sentence>,
    tag: Option<&str>,
) -> std::io::Result<()> {
    for mut reply in replies {
        reply.tagged(tag);
        write(sink, &reply).await?;
    }
    Ok(())
}

/// Notes a command that changes something, and what goes wrong with it for its place among them.
fn counted(router: &Router, sentence: &Sentence) -> Option<Mishap> {
    let path = sentence.first().filter(|path| rights::changes(path))?;
    router.change(|state| {
        let place = state.orders_of_api.len();
        state.orders_of_api.push(path.to_owned());
        let is_due = state.nth.as_ref().is_some_and(|(nth, _)| *nth == place);
        let (_, mishap) = state.nth.take_if(|_| is_due)?;
        state.unplugged |= mishap == Mishap::Unplug;
        Some(mishap)
    })
}

/// What goes wrong with this command: what is refused and pretended lasts.
fn happens(router: &Router, sentence: &Sentence) -> Option<Mishap> {
    let path = sentence.first()?.to_owned();
    router.change(|state| {
        let found = state
            .mishaps
            .iter()
            .position(|(command, _)| *command == path)?;
        match &state.mishaps[found].1 {
            Mishap::Refuse(_) | Mishap::Pretend => Some(state.mishaps[found].1.clone()),
            Mishap::Reboot | Mishap::Hangup | Mishap::Linger | Mishap::Tell(_) => {
                Some(state.mishaps.remove(found).1)
            }
            Mishap::Unplug => {
                state.unplugged = true;
                Some(state.mishaps.remove(found).1)
            }
        }
    })
}

/// Who is at the other end.
enum Guest {
    Stranger,
    Challenged([u8; 16]),
    /// By his name.
    Known(String),
}

fn log_in(
    router: &Router,
    api: &Api,
    sentence: &Sentence,
    guest: Guest,
    source: IpAddr,
) -> (Guest, Vec<Sentence>) {
    if !sentence.is("/login") {
        return (guest, vec![Sentence::of(&["!fatal", "not logged in"])]);
    }
    let name = sentence.value("name").unwrap_or_default();
    let from = router.names(source);
    let password = router.state().machine.password(name, &from);
    let named = password.is_some();
    let password = password.unwrap_or_default();
    let knows = match (api.build, guest) {
        (Build::Challenge, Guest::Challenged(challenge)) => {
            let digest = Md5::new()
                .chain_update([0])
                .chain_update(&password)
                .chain_update(challenge)
                .finalize();
            sentence.value("response") == Some(format!("00{}", hex::encode(digest)).as_str())
        }
        (Build::Challenge, Guest::Stranger | Guest::Known(_)) => {
            let challenge = router.shared.entropy.bytes();
            let ret = format!("=ret={}", hex::encode(challenge));
            return (
                Guest::Challenged(challenge),
                vec![Sentence::of(&["!done", &ret])],
            );
        }
        (Build::Plain | Build::Empty, _) => sentence.value("password") == Some(password.as_str()),
    };
    // Whether who lacks this policy hears other words is not known.
    let may = Rights::of(&router.machine(), name).has("api");
    if named && knows && may {
        let place = from.first().copied().unwrap_or(source);
        router.change(|state| {
            state.counters.api_logins += 1;
            let one = (name.to_owned(), place);
            if !state.entered.contains(&one) {
                state.entered.push(one);
            }
        });
        return (
            Guest::Known(name.to_owned()),
            vec![Sentence::of(&["!done"])],
        );
    }
    router.change(|state| state.counters.api_refusals += 1);
    let why = "=message=invalid user name or password (6)";
    let replies = vec![Sentence::of(&["!trap", why]), Sentence::of(&["!done"])];
    (Guest::Stranger, replies)
}

/// `/password`: who is in gives himself another one, where his group may; `None` for anything else.
fn own_password(
    router: &Router,
    name: &str,
    rights: &Rights,
    sentence: &Sentence,
) -> Option<Result<Vec<menus::Row>, menus::Refused>> {
    if !sentence.is("/password") {
        return None;
    }
    let given = |field| sentence.value(field).unwrap_or_default().to_owned();
    let [old, new, again] = ["old-password", "new-password", "confirm-new-password"].map(given);
    let machine = router.machine();
    let user = machine.rows("/user", "name", name).into_iter().next();
    let user = user.unwrap_or_default();
    let refused = |words: &str| Some(Err((None, words.to_owned())));
    if !rights.has("password") {
        return refused(rights::REFUSED);
    }
    if user.get("password") != Some(&old) {
        return refused("failure: old password is wrong");
    }
    if new != again {
        return refused("failure: passwords do not match");
    }
    router.configure(|machine| machine.change_password(name, &new));
    Some(Ok(Vec::new()))
}

/// `/tool/fetch`: takes as long as it takes, and ends with how it went.
async fn fetched(router: &Router, sentence: &Sentence) -> Result<Vec<menus::Row>, menus::Refused> {
    router.change(|state| state.counters.api_commands += 1);
    let given = |field| sentence.value(field).unwrap_or_default();
    let fetched = router.fetch(given("url"), given("dst-path")).await;
    fetched.map_err(|words| (None, words))?;
    Ok(vec![menus::Row(vec![("status", "finished".to_owned())])])
}

fn carry_out(
    router: &Router,
    api: &Api,
    (sentence, rights): (&Sentence, &Rights),
    manners: ApiManners,
) -> Vec<Sentence> {
    let Some(path) = sentence.first() else {
        return Vec::new();
    };
    router.change(|state| {
        state.counters.api_commands += 1;
        state.counters.api_plans += u64::from(path == "/ip/address/print");
    });
    if path == "/quit" {
        return vec![Sentence::of(&["!fatal", "session terminated on request"])];
    }
    if !rights.allow(sentence) {
        return told(Err((None, rights::REFUSED.to_owned())), api, path, sentence);
    }
    match software::carry_out(router, path, sentence) {
        Some(Ok(software::Came::Gone)) => {
            return vec![Sentence::of(&["!fatal", "router is rebooting"])];
        }
        Some(Ok(software::Came::Rows(rows))) => return told(Ok(rows), api, path, sentence),
        Some(Err(refused)) => return told(Err(refused), api, path, sentence),
        None => {}
    }
    let outcome = match (path.rsplit_once('/'), manners) {
        (Some(("/system/backup", "save")), _) => menus::save(router, sentence),
        (Some(("", "export")), _) => menus::export(router, sentence),
        (Some((menu, "print" | "getall")), _) => {
            let hidden: &[&str] = match rights.has("sensitive") {
                true => &[],
                false => rights::SENSITIVE,
            };
            menus::rows(router, api.face, menu, sentence).map(|mut rows| {
                rows.iter_mut().for_each(|row| row.hide(hidden));
                rows
            })
        }
        (Some(("/interface", "monitor-traffic")), _) => menus::traffic(router, sentence),
        (Some(("", "ping")), _) => menus::ping(sentence),
        (Some((_, "remove" | "add" | "set")), ApiManners::RefuseRemoval) => {
            Err((None, "not enough permissions (9)".to_owned()))
        }
        (Some((_, "remove")), ApiManners::PretendRemoval) => return vec![Sentence::of(&["!done"])],
        (Some((menu, "remove")), ApiManners::Obey | ApiManners::Silent) => {
            menus::remove(router, menu, sentence).map(|()| Vec::new())
        }
        (Some((menu, "add")), _) => match menus::add(router, menu, sentence) {
            Ok(id) => return vec![Sentence::of(&["!done", &format!("=ret={id}")])],
            Err(refused) => Err(refused),
        },
        (Some((menu, "set")), _) => menus::set(router, menu, sentence).map(|()| Vec::new()),
        (Some((menu, "move")), _) => menus::move_row(router, menu, sentence).map(|()| Vec::new()),
        (Some((menu, "make-static")), _) => {
            menus::make_static(router, menu, sentence).map(|()| Vec::new())
        }
        (Some((menu, "unset")), _) => menus::unset(router, menu, sentence).map(|()| Vec::new()),
        (Some(_) | None, _) => Err((Some(0), "no such command".to_owned())),
    };
    told(outcome, api, path, sentence)
}

/// What a command came to, as sentences.
fn told(
    outcome: Result<Vec<menus::Row>, menus::Refused>,
    api: &Api,
    path: &str,
    sentence: &Sentence,
) -> Vec<Sentence> {
    match outcome {
        Ok(rows) => {
            let acts = [
                "/remove",
                "/set",
                "/unset",
                "/make-static",
                "/move",
                "/save",
                "/export",
                "/upgrade",
                "/password",
            ];
            let lists = !acts.iter().any(|act| path.ends_with(act));
            let empty = rows.is_empty() && api.build == Build::Empty && lists;
            let none = empty.then(|| Sentence::of(&["!empty"]));
            let rows = rows.into_iter().map(|row| row.reply(sentence));
            let replies = rows.chain(none);
            replies.chain([Sentence::of(&["!done"])]).collect()
        }
        Err((category, message)) => {
            let mut trap = Sentence::of(&["!trap"]);
            if let Some(category) = category {
                trap.push(format!("=category={category}"));
            }
            trap.push(format!("=message={message}"));
            vec![trap, Sentence::of(&["!done"])]
        }
    }
}

/// Twenty rows a second.
const SLOW_ROWS_A_SECOND: u32 = 20;

#[cfg(test)]
mod tests;
