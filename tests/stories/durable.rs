//! Every answer to an accounting request follows a sync of the disk: seen from outside, call by call.

use std::collections::HashMap;

use anyhow::{Context, Result, ensure};
use easyisp_agent::radius::dictionary::attribute;
use easyisp_agent::radius::{Code, Secret, client};
use easyisp_shared::time::Clock;
use easyisp_tests::router::session::Usage;
use easyisp_tests::world::{Provider, Site, World, soon};
use tokio::net::UdpSocket;
use tokio::process::Command;

use crate::boxes::{start_traced_box, stop_box};
use crate::words::DAY;

const INTERIMS: usize = 20;

/// The order of system calls: request received, disk synced, answer sent. A weakened setting of the
/// database shows here at once, whatever else it does.
#[tokio::test(flavor = "multi_thread")]
async fn each_answer_to_accounting_follows_a_sync_that_follows_its_request() -> Result<()> {
    let world = World::start_on(Clock::system()).await?;
    let isp = Provider::sign_up(&world, "synced").await?;
    let mut site = Site::open(&world, &isp).await?;
    let until = world.clock.now().plus(30 * DAY);
    isp.add_subscriber("halima", "254712345650", until).await?;
    site.knows("halima", "at all", |_| true).await?;
    site.stop_agent().await;

    let folder = tempfile::tempdir()?;
    let trace = folder.path().join("trace");
    let mut strace = Command::new("strace");
    // As many of what a call gives as it can give: of none, nothing would be said.
    strace.args(["-f", "-yy", "-s", "32", "-e"]);
    strace.arg("trace=recvfrom,recvmsg,recvmmsg,sendto,sendmsg,sendmmsg,fdatasync,fsync");
    strace.arg("-o").arg(&trace);
    let child = start_traced_box(strace, &site).await?;
    let online = site.dial("halima").await.online();
    online.started().await;
    for _ in 0..INTERIMS {
        online.transfer(Usage { up: 1, down: 1 });
        ensure!(online.interim().await, "an interim update went unanswered");
    }
    ensure!(online.hang_up().await, "the Stop went unanswered");
    stop_box(child).await?;

    let socket = site.accounting().to_string();
    let answers = answers(&std::fs::read_to_string(&trace)?, &socket)?;
    // Start, Stop and the updates; a resent one is answered from memory of the first answer.
    ensure!(
        answers >= INTERIMS + 2,
        "only {answers} answers in the trace"
    );
    site.stop().await;
    world.stop().await
}

/// Many report at once, so that requests are read, written and answered together: each answer follows a sync that
/// began after the record of its own request was written.
#[tokio::test(flavor = "multi_thread")]
async fn each_of_many_answers_at_once_follows_a_sync_of_its_own_record() -> Result<()> {
    const TOGETHER: usize = 24;
    const ROUNDS: usize = 8;
    let world = World::start_on(Clock::system()).await?;
    let isp = Provider::sign_up(&world, "together").await?;
    let mut site = Site::open(&world, &isp).await?;
    site.stop_agent().await;

    let folder = tempfile::tempdir()?;
    let trace = folder.path().join("trace");
    let mut strace = Command::new("strace");
    // Whole pages, in which the records are told by their session's id.
    strace.args(["-f", "-yy", "-s", "8192", "-e"]);
    strace.arg(
        "trace=recvfrom,recvmsg,recvmmsg,sendto,sendmsg,sendmmsg,write,pwrite64,fdatasync,fsync",
    );
    strace.arg("-o").arg(&trace);
    let child = start_traced_box(strace, &site).await?;
    let secret = Secret::new(site.secret().as_bytes());
    let mut routers = Vec::new();
    for _ in 0..TOGETHER {
        let socket = UdpSocket::bind("127.0.0.1:0").await?;
        socket.connect(site.accounting()).await?;
        routers.push(socket);
    }
    for round in 0..ROUNDS {
        let mut requests = Vec::new();
        for place in 0..TOGETHER {
            let id = format!("{OF_A_BATCH}{:04}", round * TOGETHER + place);
            let attributes: [(u8, &[u8]); 3] = [
                (attribute::ACCT_STATUS_TYPE, &[0, 0, 0, 1]),
                (attribute::USER_NAME, b"halima"),
                (attribute::ACCT_SESSION_ID, id.as_bytes()),
            ];
            requests.push(client::accounting_request(
                &attributes,
                round as u8,
                &secret,
            )?);
        }
        for (socket, request) in routers.iter().zip(&requests) {
            socket.send(request).await?;
        }
        for (socket, request) in routers.iter().zip(&requests) {
            let mut answer = [0; 4096];
            let length = soon("an answer", socket.recv(&mut answer)).await??;
            let read = client::read_answer(&answer[..length], request, &secret);
            let read = read.map_err(|error| anyhow::anyhow!("{error:?}"))?;
            ensure!(read.code() == Some(Code::AccountingResponse));
        }
    }
    stop_box(child).await?;

    let socket = site.accounting().to_string();
    let syncs = syncs_of_own(&std::fs::read_to_string(&trace)?, &socket)?;
    let answers: usize = syncs.iter().sum();
    println!("{answers} answers, so many after each sync: {syncs:?}");
    ensure!(answers == TOGETHER * ROUNDS, "{answers} answers");
    ensure!(
        syncs.iter().any(|together| *together > 3),
        "nothing was done together: {syncs:?}"
    );
    site.stop().await;
    world.stop().await
}

/// The sessions that a call names, by their digits.
fn ids(text: &str) -> Vec<&str> {
    let found = text.split(OF_A_BATCH).skip(1);
    found.filter_map(|rest| rest.get(..4)).collect()
}

/// What the id of every session of a batch begins with; four digits follow.
const OF_A_BATCH: &str = "together-";

/// How many answers from `socket` each sync stands for; an error for one whose record was not written before a sync that
/// began and ended well before it was sent.
///
/// A request is known by its session's id, an answer by the port that it goes to: each has one request under way.
fn syncs_of_own(trace: &str, socket: &str) -> Result<Vec<usize>> {
    #[derive(PartialEq)]
    enum Record {
        Received,
        Written,
        Synced,
    }
    /// A call that was begun and has not ended.
    #[derive(Default)]
    struct Begun<'a> {
        ours: bool,
        ids: Vec<&'a str>,
    }
    let mut records: HashMap<&str, Record> = HashMap::new();
    let mut asked: HashMap<&str, &str> = HashMap::new();
    let mut begun: HashMap<&str, Begun<'_>> = HashMap::new();
    let mut syncs = Vec::new();
    for line in trace.lines() {
        let (process, call) = line.split_once(' ').context("a process id and a call")?;
        let call = call.trim_start();
        let resumed = call.strip_prefix("<... ");
        let (begins, ends) = (resumed.is_none(), !call.ends_with("<unfinished ...>"));
        let name = resumed.unwrap_or(call);
        let is_sync = name.starts_with("fdatasync") || name.starts_with("fsync");
        let is_write = name.starts_with("write") || name.starts_with("pwrite64");
        let own = if begins {
            let of_the_log = call.contains("/outbox.db-wal>");
            Begun {
                ours: match is_sync || is_write {
                    true => of_the_log,
                    false => call.contains(socket),
                },
                ids: match (is_sync && of_the_log, is_write && of_the_log) {
                    (true, _) => {
                        let written = records.iter().filter(|(_, it)| **it == Record::Written);
                        written.map(|(id, _)| *id).collect()
                    }
                    (false, true) => ids(call),
                    (false, false) => Vec::new(),
                },
            }
        } else {
            begun.remove(process).unwrap_or_default()
        };
        if !own.ours {
            // Somebody else's.
        } else if begins && name.starts_with("send") {
            for told in call.split("sin_port=htons(").skip(1) {
                let port = told.split(')').next().context("a port")?;
                let Some(id) = asked.remove(port) else {
                    continue;
                };
                let synced = records.get(id) == Some(&Record::Synced);
                ensure!(synced, "{id} was answered before its record was synced");
                records.remove(id);
            }
        } else if ends && name.starts_with("recv") {
            for heard in call.split("sin_port=htons(").skip(1) {
                let port = heard.split(')').next().context("a port")?;
                if let [id] = ids(heard)[..] {
                    asked.insert(port, id);
                    records.insert(id, Record::Received);
                }
            }
        } else if ends && is_write && !call.contains("= -1 ") {
            for id in &own.ids {
                if let Some(record) = records.get_mut(id)
                    && *record == Record::Received
                {
                    *record = Record::Written;
                }
            }
        } else if ends && is_sync && call.ends_with("= 0") {
            let own = own.ids.iter().filter(|id| {
                let record = records.get_mut(**id);
                record.is_some_and(|record| {
                    std::mem::replace(record, Record::Synced) == Record::Written
                })
            });
            syncs.push(own.count());
        }
        if !ends {
            begun.insert(process, own);
        }
    }
    Ok(syncs.into_iter().filter(|together| *together > 0).collect())
}

#[test]
fn the_reader_of_traces_sees_an_answer_of_a_batch_that_was_not_in_the_sync() {
    let heard = |ids: &[u32]| {
        let one = |id| {
            format!(
                "{{msg_hdr={{msg_name={{sa_family=AF_INET, sin_port=htons(4{id:04}), sin_addr=inet_addr(\"127.0.0.1\")}}, \
                 msg_iov=[{{iov_base=\"\\4\\1together-{id:04}\", iov_len=4096}}]}}, msg_len=50}}"
            )
        };
        let all: Vec<String> = ids.iter().map(one).collect();
        format!(
            "7 recvmmsg(9<UDP:[127.1.0.1:1813]>,  <unfinished ...>\n\
             7 <... recvmmsg resumed>[{}], 32, MSG_WAITFORONE, NULL) = {}\n",
            all.join(", "),
            ids.len()
        )
    };
    let written = |ids: &[u32]| {
        let page: String = ids
            .iter()
            .map(|id| format!("\\0together-{id:04}"))
            .collect();
        format!("8 pwrite64(4</box/outbox.db-wal>, \"{page}\"..., 4096, 56) = 4096\n")
    };
    let answered = |ids: &[u32]| {
        let one = |id| format!("{{msg_hdr={{msg_name={{sin_port=htons(4{id:04})}}}}, msg_len=20}}");
        let all: Vec<String> = ids.iter().map(one).collect();
        format!(
            "8 sendmmsg(9<UDP:[127.1.0.1:1813]>, [{}], 2, 0) = 2\n",
            all.join(", ")
        )
    };
    let begun = "8 fdatasync(4</box/outbox.db-wal> <unfinished ...>\n".to_owned();
    let done = "8 <... fdatasync resumed>) = 0\n".to_owned();
    let failed = "8 <... fdatasync resumed>) = -1 EIO (Input/output error)\n".to_owned();
    let other = "8 fdatasync(5</box/cache.db-wal>) = 0\n".to_owned();
    let read = |lines: &[&String]| {
        let text: String = lines.iter().map(|line| line.as_str()).collect();
        syncs_of_own(&text, "127.1.0.1:1813").ok()
    };
    let (both, first, second) = (&[1, 2][..], &[1][..], &[2][..]);
    let (heard_both, both_written, both_answered) = (heard(both), written(both), answered(both));

    let sound = [&heard_both, &both_written, &begun, &done, &both_answered];
    assert_eq!(read(&sound), Some(vec![2]));
    let apart = [
        &heard(first),
        &written(first),
        &heard(second),
        &begun,
        &written(second),
        &done,
        &answered(first),
        &begun,
        &done,
        &answered(second),
    ];
    assert_eq!(read(&apart), Some(vec![1, 1]));
    // The second was written while the sync was under way already.
    let late = [
        &heard_both,
        &written(first),
        &begun,
        &written(second),
        &done,
        &both_answered,
    ];
    assert_eq!(read(&late), None);
    assert_eq!(read(&[&heard_both, &both_written, &both_answered]), None);
    assert_eq!(read(&[&heard_both, &begun, &done, &both_answered]), None);
    assert_eq!(
        read(&[&heard_both, &both_written, &begun, &failed, &both_answered]),
        None
    );
    assert_eq!(
        read(&[&heard_both, &both_written, &other, &both_answered]),
        None
    );
}

/// Counts the answers sent from `socket`; an error for one before which nothing was synced.
///
/// One request is under way at a time, so between two answers there is one receipt. A resent request
/// has its answer on disk already and needs no second sync: only a first answer is counted.
fn answers(trace: &str, socket: &str) -> Result<usize> {
    // A call that waits is written twice, with its socket only where it begins.
    let mut waiting = HashMap::new();
    let (mut synced, mut received, mut answers) = (false, false, 0);
    for line in trace.lines() {
        let (process, call) = line.split_once(' ').context("a process id and a call")?;
        let call = call.trim_start();
        let resumed = call.strip_prefix("<... ");
        let begins = resumed.is_none();
        let ends = !call.ends_with("<unfinished ...>");
        let ours = match waiting.remove(process) {
            Some(ours) if !begins => ours,
            Some(_) | None => call.contains(socket),
        };
        if !ends {
            waiting.insert(process, ours);
        }

        let name = resumed.unwrap_or(call);
        if name.starts_with("fdatasync") || name.starts_with("fsync") {
            synced |= ends && call.ends_with("= 0");
        } else if ours && ends && name.starts_with("recv") {
            // An empty datagram is the agent waking its own thread. A call that reads several says of each how long it is.
            let mut lengths = call.split("msg_len=").skip(1).peekable();
            let says = match lengths.peek() {
                Some(_) => lengths.any(|length| !length.starts_with('0')),
                None => !call.ends_with("= 0"),
            };
            let took = says && !call.contains("= -1 ");
            if took && !received {
                (received, synced) = (true, false);
            }
        } else if ours && begins && name.starts_with("send") && received {
            ensure!(synced, "an answer without a sync before it: {line}");
            (received, answers) = (false, answers + 1);
        }
    }
    Ok(answers)
}

#[test]
fn the_reader_of_traces_sees_an_answer_without_a_sync() {
    const RECEIVED: &str = "7 recvfrom(9<UDP:[127.1.0.1:1813]>,  <unfinished ...>\n7 <... recvfrom resumed>\"\", 99) = 50\n";
    const SEVERAL: &str =
        "7 recvmmsg(9<UDP:[127.1.0.1:1813]>, [{msg_len=0}, {msg_len=50}], 32, 0, NULL) = 2\n";
    const WOKEN: &str = "7 recvmmsg(9<UDP:[127.1.0.1:1813]>, [{msg_len=0}], 32, 0, NULL) = 1\n";
    const SYNCED: &str =
        "8 fdatasync(4</outbox.db-wal> <unfinished ...>\n8 <... fdatasync resumed>) = 0\n";
    const ANSWERED: &str = "8 sendto(9<UDP:[127.1.0.1:1813]>, \"\"..., 20) = 20\n";
    let count = |lines: &[&str]| answers(&lines.concat(), "127.1.0.1:1813").ok();

    assert_eq!(
        count(&[RECEIVED, SYNCED, ANSWERED, RECEIVED, SYNCED, ANSWERED]),
        Some(2)
    );
    assert_eq!(count(&[SEVERAL, SYNCED, ANSWERED]), Some(1));
    assert_eq!(count(&[RECEIVED, ANSWERED]), None);
    assert_eq!(count(&[SEVERAL, ANSWERED]), None);
    assert_eq!(count(&[WOKEN, ANSWERED]), Some(0));
    assert_eq!(count(&[SYNCED, RECEIVED, ANSWERED]), None);
    let failed = SYNCED.replace("= 0", "= -1 EIO (Input/output error)");
    assert_eq!(count(&[RECEIVED, &failed, ANSWERED]), None);
}
