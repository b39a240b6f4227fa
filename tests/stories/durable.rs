//! Every answer to an accounting request follows a sync of the disk: seen from outside, call by call.

use std::collections::HashMap;

use anyhow::{Context, Result, ensure};
use easyisp_shared::time::Clock;
use easyisp_tests::router::session::Usage;
use easyisp_tests::world::{Provider, Site, World};
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
